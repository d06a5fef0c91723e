package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/rules"
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
	Warnings []string       `json:"warnings,omitempty"`
}

// checkProblem is one fault. File is "" for the configuration file itself.
type checkProblem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`

	text string // for people
}

func newConfigCheckCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration file and name every fault with its place",
		Long: `Check the configuration file and name every fault with its place; when it names a
catalogue of your own, every fault of that too.

With --render, every message of a sample release as each receiver would be told
it, by which route; --label says what the sample's labels are.

The exit status is 0 when there is none and 2 otherwise. Nothing is connected
to: only the files are read.`,
		Example: `  watchtower config check --config watchtower.yaml
  watchtower config check --render --label team=payments --label namespace=shop`,
		Args: noArguments,
	}
	cmd.Flags().StringVar(&path, "config", "watchtower.yaml", "configuration file")
	show := cmd.Flags().Bool("render", false, "show every message of a sample release as each receiver would be told it")
	labels := cmd.Flags().StringArray("label", nil, "with --render: a label of the sample, as name=value; may be given again")
	output := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *show {
			return checkAndRender(cmd.OutOrStdout(), path, *labels, output.value)
		}
		problems, warnings, err := check(path)
		if err != nil {
			return usageError{err, ""}
		}
		if output.value == "json" {
			if err := printAs(cmd.OutOrStdout(), "json", checkAnswer{path, len(problems) == 0, problems, warnings}); err != nil {
				return err
			}
		} else if len(problems) == 0 {
			for _, w := range warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: warning: %s\n", path, w)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has no fault.\n", path)
		} else {
			for _, p := range problems {
				fmt.Fprintln(cmd.ErrOrStderr(), p.text)
			}
		}
		if len(problems) > 0 {
			return usageError{errReported, ""}
		}
		return nil
	}
	return cmd
}

// check lists the faults of the configuration file and, when it has none, of
// the catalogue it names, and what it warns of. The error is that the file cannot
// be read at all.
func check(path string) (problems []checkProblem, warnings []string, err error) {
	cfg, err := config.Load(path)
	var faults config.Problems
	switch {
	case errors.As(err, &faults):
		out := make([]checkProblem, len(faults))
		for i, f := range faults {
			out[i] = checkProblem{Line: f.Line, Column: f.Column, Message: f.Message, text: f.String()}
		}
		return out, nil, nil
	case release.ErrorCode(err) == release.CodeNotFound:
		return nil, nil, fmt.Errorf("there is no configuration file %s: name it by --config", path)
	case err != nil:
		return nil, nil, err
	case cfg.Catalogue == "":
		return []checkProblem{}, cfg.Warnings(), nil
	}
	return checkCatalogue(cfg.Catalogue), cfg.Warnings(), nil
}

// checkCatalogue lists the faults of a directory of catalogue files as they
// are laid over the built-in ones, which have none.
func checkCatalogue(dir string) []checkProblem {
	_, err := catalogue.Load(rules.Signals, os.DirFS(dir))
	var faults catalogue.Faults
	switch {
	case err == nil:
		return []checkProblem{}
	case !errors.As(err, &faults):
		return []checkProblem{{File: dir, Message: err.Error(), text: dir + ": " + err.Error()}}
	}
	out := make([]checkProblem, len(faults))
	for i, f := range faults {
		f.File = filepath.Join(dir, f.File)
		out[i] = checkProblem{File: f.File, Line: f.Line, Column: f.Column, Message: f.Message, text: f.Error()}
	}
	return out
}
