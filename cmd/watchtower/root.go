package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

// Exit statuses.
const (
	statusOK    = 0
	statusError = 1
	statusUsage = 2 // the command line or the configuration is wrong
	statusEmpty = 3 // `signals` found nothing that can be measured
	// `backtest` could not read the metric store.
	statusUnreadable = 3
)

// usageError is a command line that cannot be understood. Command is what to
// ask for help, "" where that would not help.
type usageError struct {
	error
	command string
}

func (e usageError) Unwrap() error { return e.error }

// run carries out one command line and returns its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	if version == "" {
		version = builtVersion()
	}
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return statusOK
	}
	if errors.Is(err, errNotWell) {
		return statusError
	}
	if errors.Is(err, errNothingMeasured) {
		return statusEmpty
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintf(stderr, "watchtower: %v\n", err)
	}
	var unreadable errUnreadable
	if errors.As(err, &unreadable) {
		return statusUnreadable
	}
	var usage usageError
	if errors.As(err, &usage) {
		if usage.command != "" {
			fmt.Fprintf(stderr, "Run `%s --help` for what there is.\n", usage.command)
		}
		return statusUsage
	}
	var faults config.Problems
	var dialects catalogue.Faults
	if errors.As(err, &faults) || errors.As(err, &dialects) {
		return statusUsage
	}
	return statusError
}

// errReported marks an error whose words have been printed.
var errReported = errors.New("reported")

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "watchtower",
		Short: "Did this rollout make things worse?",
		Long: `Watchtower answers one question for every rollout on a Kubernetes cluster: did
this image make things worse? If it did, it says so with evidence, puts the last
good version back and opens the hotfix issue.`,
		Example: `  watchtower config check                 is watchtower.yaml sound?
  watchtower serve                        watch the cluster
  watchtower signals shop/webapp          what is measured of webapp, or why nothing is
  watchtower releases -n shop             what was rolled out, and how it went
  watchtower backtest --help              what would it have said of last month's rollouts?
  watchtower explain shop/webapp          why the newest release of webapp got its verdict
  kubectl logs deploy/webapp | watchtower patterns     what does this log say?`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args:          knownCommand,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{err, cmd.CommandPath()}
	})
	root.AddCommand(newServeCommand(), newReleasesCommand(), newSuspectsCommand(), newExplainCommand(), newSignalsCommand(),
		newActionsCommand(), newApproveCommand(), newRejectCommand(), newRollbackCommand(), newWrongCommand(), newSnoozeCommand(), newBreakerCommand(),
		newBacktestCommand(), newPatternsCommand(), newAuditCommand(), newStoreCommand(), newConfigCommand(), newDoctorCommand(), newVersionCommand())
	markUsage(root)
	return root
}

// markUsage makes wrong arguments of every command errors of usage.
func markUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			var usage usageError
			if err == nil || errors.As(err, &usage) {
				return err
			}
			return usageError{err, cmd.CommandPath()}
		}
	}
	for _, sub := range cmd.Commands() {
		markUsage(sub)
	}
}

// knownCommand refuses the name of a command there is not, and says which one
// may have been meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("there is no command %q", strings.TrimSpace(cmd.CommandPath()+" "+args[0]))
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		message += "; did you mean " + strings.Join(meant, " or ") + "?"
	}
	return usageError{errors.New(message), cmd.CommandPath()}
}

// oneArgument requires the argument called name.
func oneArgument(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("%s is missing", name)
		case 1:
			return nil
		}
		return fmt.Errorf("give one %s, not %d: %s", name, len(args), strings.Join(args, " "))
	}
}

// noArguments refuses any.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("no argument is expected, but there is %q", args[0])
	}
	return nil
}
