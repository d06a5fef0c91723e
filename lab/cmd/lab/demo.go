package main

import (
	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/lab/demo"
)

func newDemo(s *settings) *cobra.Command {
	var opt demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a bad release that Watchtower catches and rolls back",
		Long: `Play a bad release that Watchtower catches and rolls back.

A lab is started, Watchtower is started against it with autonomy auto, and a
sample service is rolled out three times: a first version, one that is no worse,
and one that fails 5 % of the requests of one route. Each step is checked where
it happens: in the cluster, in Alertmanager, in the forge. If one does not
happen the exit status is 1.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt.Stack.StateDir, opt.Stack.Progress, opt.Out = s.stateDir, cmd.ErrOrStderr(), cmd.OutOrStdout()
			return demo.Run(cmd.Context(), opt)
		},
	}
	cmd.Flags().StringVar(&opt.Watchtower, "watchtower", "bin/watchtower", "the watchtower executable")
	cmd.Flags().StringVar(&opt.Stack.Webapp, "webapp", "", "executable of the sample service")
	cmd.Flags().StringVar(&opt.Standins, "standins", "", "executable of the stand-ins of receivers, which show what people are told")
	cmd.Flags().BoolVar(&opt.Exit, "exit", false, "end after the story")
	return cmd
}
