package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/client"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const tokenFileVariable = "WATCHTOWER_TOKEN_FILE"

// writerFlags adds --server, --token-file and --reason, and returns what makes the
// client once the flags are read.
func writerFlags(cmd *cobra.Command) (connect func() (*client.Client, error), reason *string) {
	file := cmd.Flags().String("token-file", "", "file that holds the token to write with; without it "+tokenFileVariable)
	reason = cmd.Flags().String("reason", "", "why; it stands in the audit")
	reach := serverFlag(cmd)
	return func() (*client.Client, error) {
		if *reason == "" {
			return nil, usageError{errors.New("say why with --reason: it stands in the audit"), ""}
		}
		c, err := reach()
		if err != nil {
			return nil, err
		}
		path := cmp.Or(*file, os.Getenv(tokenFileVariable))
		if path == "" {
			return c, nil // the server says what it needs
		}
		token, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the token: %w", err)
		}
		return c.WithToken(string(token)), nil
	}, reason
}

func newActionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "actions",
		Short: "List what is done because of verdicts; retry or drop what failed",
		Long: `List what is done because of verdicts: rollbacks, alerts, messages, issues and
Events. What was given up is 'failed', a dead letter: it is kept until somebody
retries or drops it.`,
		Example: `  watchtower actions --state failed
  watchtower actions --state waiting --kind rollback
  watchtower actions retry 4be1a0c93f27/issue --reason "the forge is back"
  watchtower actions drop 4be1a0c93f27/message/slack --reason "the channel is gone"`,
		Args: knownCommand,
	}
	state := &choice{allowed: []string{"pending", "done", "void", "refused", "failed", "waiting"}}
	kind := &choice{allowed: []string{"alert", "rollback", "issue", "event", "message"}}
	cmd.Flags().Var(state, "state", "only actions in this state: pending, done, void, refused, failed or waiting")
	cmd.Flags().Var(kind, "kind", "only actions of this kind: alert, rollback, issue, event or message")
	limit := cmd.Flags().Int("limit", 50, "how many to list, at most 500")
	output := outputFlag(cmd, "table", "json", "yaml")
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 || *limit > wire.MaxLimit {
			return usageError{fmt.Errorf("--limit is %d: use 1 to %d", *limit, wire.MaxLimit), ""}
		}
		c, err := connect()
		if err != nil {
			return err
		}
		l, err := c.Actions(cmd.Context(), release.ActionState(state.value), release.ActionKind(kind.value), *limit)
		if err != nil {
			return wrongName(err)
		}
		if output.value != "table" {
			return printAs(cmd.OutOrStdout(), output.value, l)
		}
		if len(l.Actions) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "No action matches.")
			return nil
		}
		return printActions(cmd.OutOrStdout(), l.Actions)
	}
	cmd.AddCommand(
		newActionCommand("retry", "Carry out anew what failed, or what a breaker holds", "is tried again", (*client.Client).Retry),
		newActionCommand("drop", "Settle what failed: somebody has seen to it", "is dropped", (*client.Client).Drop))
	return cmd
}

func printActions(w io.Writer, actions []release.Action) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ACTION\tSTATE\tCHANGED\tATTEMPTS\tDETAIL")
	for _, a := range actions {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", release.OneLine(a.Key, 80), release.OneLine(string(a.State), 20),
			a.UpdatedAt.UTC().Format(time.RFC3339), a.Attempts, release.OneLine(a.Detail, 100))
	}
	return t.Flush()
}

// newActionCommand is a command that does something about one action.
func newActionCommand(name, short, done string, do func(c *client.Client, ctx ctx, key, reason string) (release.Action, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " KEY", Short: short, Args: oneArgument("KEY"),
		Long: short + ".\n\nKEY is as `watchtower actions` lists it.",
	}
	connect, reason := writerFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := connect()
		if err != nil {
			return err
		}
		a, err := do(c, cmd.Context(), args[0], *reason)
		if err != nil {
			return wrongName(err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s.\n", a.Key, done)
		return nil
	}
	return cmd
}

func newApproveCommand() *cobra.Command {
	return newClickCommand("approve", "Have the rollback of a release done that waits for a person", "is approved", (*client.Client).Approve)
}

func newRejectCommand() *cobra.Command {
	return newClickCommand("reject", "End the rollback of a release that waits for a person", "is rejected", (*client.Client).Reject)
}

// newClickCommand is a command that decides a rollback.
func newClickCommand(name, short, done string, do func(c *client.Client, ctx ctx, id release.ID, reason string) (release.Action, error)) *cobra.Command {
	return newAskCommand(name, short, short+".", fmt.Sprintf("  watchtower %s shop/webapp --reason \"checkout fails\" --token-file ~/.watchtower-token", name),
		func(cmd *cobra.Command, c *client.Client, d wire.Detail, reason string) (string, error) {
			_, err := do(c, cmd.Context(), d.Release.ID, reason)
			return fmt.Sprintf("The rollback of %s, release %s, %s.", d.Release.Workload, d.Release.ID, done), err
		})
}
