package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/stack"
	"github.com/watchtower-verify/watchtower/lab/traffic"
)

func newTraffic(s *settings) *cobra.Command {
	var cfg traffic.Config
	var paths []string
	cmd := &cobra.Command{
		Use:     "traffic NAME",
		Short:   "Send requests to the pods of a Deployment made by `lab deploy`",
		Example: "  lab traffic webapp --rate 20 --duration 5m",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := stack.Find(s.stateDir)
			if err != nil {
				return err
			}
			if cfg.Client, err = clientOf(info); err != nil {
				return err
			}
			cfg.Selector = "app=" + args[0]
			for _, path := range paths {
				cfg.Routes = append(cfg.Routes, traffic.Route{Path: path, Weight: 1})
			}
			report, err := traffic.Run(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return writeJSON(cmd.OutOrStdout(), report)
			}
			rows := [][]string{
				{"sent", fmt.Sprint(report.Sent)},
				{"ok", fmt.Sprint(report.OK)},
				{"failed", fmt.Sprint(report.Failed)},
				{"no pod was ready", fmt.Sprint(report.NoPod)},
				{"too many under way", fmt.Sprint(report.Dropped)},
			}
			for _, code := range slices.Sorted(maps.Keys(report.Codes)) {
				rows = append(rows, []string{"answered " + code, fmt.Sprint(report.Codes[code])})
			}
			return table(cmd.OutOrStdout(), rows...)
		},
	}
	cmd.Flags().StringVarP(&cfg.Namespace, "namespace", "n", "default", "namespace of the pods")
	cmd.Flags().IntVar(&cfg.Port, "port", deployment.DefaultPort, "port of the pods")
	cmd.Flags().Float64Var(&cfg.Rate, "rate", 20, "mean number of requests per second")
	cmd.Flags().DurationVar(&cfg.Duration, "duration", 0, "how long; 0 until stopped")
	cmd.Flags().StringSliceVar(&paths, "path", nil, "paths to ask for, each as often (default: those of the sample service)")
	return cmd
}
