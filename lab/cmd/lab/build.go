package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/lab/parts"
	"github.com/watchtower-verify/watchtower/lab/stack"
)

func newBuild(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:       "build [PART…]",
		Short:     "Compile the parts that are missing, and start nothing",
		Long:      "Compile the parts that are missing from the cache, and start nothing.\nWithout names, all of: " + strings.Join(parts.Names(), ", ") + ".",
		ValidArgs: parts.Names(),
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = parts.Names()
			}
			cache, err := parts.DefaultCache()
			if err != nil {
				return err
			}
			built, err := parts.Build(cmd.Context(), cache, names, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			binaries := map[string]string{}
			rows := [][]string{}
			for _, name := range parts.Names() {
				if one, ok := built[name]; ok {
					binaries[name] = one.Binary
					rows = append(rows, []string{name, one.Binary})
				}
			}
			if s.output == "json" {
				return writeJSON(cmd.OutOrStdout(), binaries)
			}
			return table(cmd.OutOrStdout(), rows...)
		},
	}
}

func newKubectl(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "kubectl [--] ARGS…",
		Short:   "Run kubectl against the lab",
		Example: "  lab kubectl get pods -A",
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := stack.Find(s.stateDir)
			if err != nil {
				return err
			}
			cache, err := parts.DefaultCache()
			if err != nil {
				return err
			}
			const name = "kubectl"
			built, err := parts.Build(cmd.Context(), cache, []string{name}, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			env := append(os.Environ(), "KUBECONFIG="+info.Kubeconfig)
			if err := syscall.Exec(built[name].Binary, append([]string{name}, args...), env); err != nil {
				return fmt.Errorf("run kubectl: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows the first word is kubectl's
	return cmd
}
