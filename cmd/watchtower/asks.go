package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/client"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const releaseArgument = `

RELEASE is an ID, the start of one, or namespace/workload for the newest release
of that workload. Who asks is known by the token.`

func newRollbackCommand() *cobra.Command {
	return newClickCommand("rollback", "Have a release rolled back although its policy would not do it", "is under way", (*client.Client).RollBack)
}

// newAskCommand is a command about one release; do answers what is printed.
func newAskCommand(name, short, long, example string, do func(cmd *cobra.Command, c *client.Client, d wire.Detail, reason string) (string, error)) *cobra.Command {
	cmd := &cobra.Command{Use: name + " RELEASE", Short: short, Args: oneArgument("RELEASE"), Long: long + releaseArgument, Example: example}
	connect, reason := writerFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := connect()
		if err != nil {
			return err
		}
		d, err := c.Find(cmd.Context(), args[0])
		if err != nil {
			return wrongName(err)
		}
		said, err := do(cmd, c, d, *reason)
		if err != nil {
			return wrongName(err)
		}
		fmt.Fprintln(cmd.OutOrStdout(), said)
		return nil
	}
	return cmd
}

func newWrongCommand() *cobra.Command {
	return newAskCommand("wrong", "Note that a release was called regressed although it is not",
		`Note that a release was called regressed although it is not. Its alert and its
incident end, it is not rolled back any more, its version may be a baseline again,
and the verdict counts as a false alarm. What was rolled back stays so.`,
		`  watchtower wrong shop/webapp --reason "the load test did it"`,
		func(cmd *cobra.Command, c *client.Client, d wire.Detail, reason string) (string, error) {
			_, err := c.MarkWrong(cmd.Context(), d.Release.ID, reason)
			return fmt.Sprintf("The verdict of %s, release %s, is marked wrong.", d.Release.Workload, d.Release.ID), err
		})
}

func newSnoozeCommand() *cobra.Command {
	var receiver string
	var within time.Duration
	cmd := newAskCommand("snooze", "Tell receivers nothing more of a release for a while",
		`Tell receivers nothing more of a release for a while. Its incident stays, its end
is told, and afterwards the newest is told where it is still open.`,
		`  watchtower snooze shop/webapp --reason "we are on it"
  watchtower snooze shop/webapp --receiver chat --for 4h --reason "we are on it"`,
		func(cmd *cobra.Command, c *client.Client, d wire.Detail, reason string) (string, error) {
			if within < time.Minute || within > wire.MaxSnoozeMinutes*time.Minute || within%time.Minute != 0 {
				return "", usageError{errors.New("--for takes whole minutes, as in 90m, up to 24h"), ""}
			}
			s, err := c.Snooze(cmd.Context(), d.Release.ID, wire.Snooze{Receiver: receiver, Minutes: int(within / time.Minute), Reason: reason})
			return fmt.Sprintf("Nothing but its end is told of %s, release %s, until %s.", d.Release.Workload, d.Release.ID, s.Until.UTC().Format(time.RFC3339)), err
		})
	cmd.Flags().StringVar(&receiver, "receiver", "", "receiver that is told nothing; every one that was told without it")
	cmd.Flags().DurationVar(&within, "for", time.Hour, "for how long")
	return cmd
}

// verdictWords is a verdict as a list shows it.
func verdictWords(v release.Verdict) string {
	if v.Wrong != nil {
		return string(v.Kind) + " (wrong)"
	}
	return string(v.Kind)
}
