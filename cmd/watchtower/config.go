package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Work with the configuration file",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args:  knownCommand,
	}
	cmd.AddCommand(newConfigCheckCommand())
	return cmd
}

// checkAnswer is the outcome for machines.
type checkAnswer struct {
	File     string         `json:"file"`
	Valid    bool           `json:"valid"`
	Problems []checkProblem `json:"problems"`
}

type checkProblem struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

func newConfigCheckCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration file and name every fault with its place",
		Long: `Check the configuration file and name every fault with its place.

The exit status is 0 when there is none and 2 otherwise. Nothing is connected
to: only the file is read.`,
		Example: "  watchtower config check --config watchtower.yaml",
		Args:    noArguments,
	}
	cmd.Flags().StringVar(&path, "config", "watchtower.yaml", "configuration file")
	output := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, err := config.Load(path)
		var faults config.Problems
		switch {
		case release.ErrorCode(err) == release.CodeNotFound:
			return usageError{fmt.Errorf("there is no configuration file %s: name it by --config", path), ""}
		case err != nil && !errors.As(err, &faults):
			return usageError{err, ""}
		}
		if output.value == "json" {
			if err := printAs(cmd.OutOrStdout(), "json", answerOf(path, faults)); err != nil {
				return err
			}
		} else if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "%s has no fault.\n", path)
		} else {
			for _, f := range faults {
				fmt.Fprintln(cmd.ErrOrStderr(), f)
			}
		}
		if err != nil {
			return usageError{fmt.Errorf("%w: %w", errReported, err), ""}
		}
		return nil
	}
	return cmd
}

func answerOf(path string, faults config.Problems) checkAnswer {
	a := checkAnswer{File: path, Valid: len(faults) == 0, Problems: []checkProblem{}}
	for _, f := range faults {
		a.Problems = append(a.Problems, checkProblem{f.Line, f.Column, f.Message})
	}
	return a
}
