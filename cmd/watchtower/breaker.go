package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// ctx keeps the types of methods short.
type ctx = context.Context

func newBreakerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breaker",
		Short: "Show whether rollbacks are held back; hold them, or let them go",
		Long: `Show whether rollbacks are held back. The breaker opens by itself when too much
is rolled back or regresses at once, and by hand; while it is open every rollback
waits for a person. It closes by hand or after its time.`,
		Example: `  watchtower breaker
  watchtower breaker open --namespace shop --for 2h --reason "migration"
  watchtower breaker close --reason "the database is back"
  watchtower breaker close --resume --reason "all of them are bad: roll back"`,
		Args: knownCommand,
	}
	output := outputFlag(cmd, "table", "json", "yaml")
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := connect()
		if err != nil {
			return err
		}
		b, err := c.Breakers(cmd.Context())
		if err != nil {
			return err
		}
		if output.value != "table" {
			return printAs(cmd.OutOrStdout(), output.value, b)
		}
		return printBreakers(cmd.OutOrStdout(), b.Breakers)
	}
	cmd.AddCommand(newBreakerOpenCommand(), newBreakerCloseCommand())
	return cmd
}

func printBreakers(w io.Writer, breakers []release.Breaker) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	open := 0
	for _, b := range breakers {
		if !b.Open {
			continue
		}
		if open++; open == 1 {
			fmt.Fprintln(t, "SCOPE\tOPEN SINCE\tCLOSES\tBY\tWHY")
		}
		closes := "by hand"
		if b.ClosesAt != nil {
			closes = b.ClosesAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", release.OneLine(b.Scope(), 80), b.ChangedAt.UTC().Format(time.RFC3339), closes,
			release.OneLine(b.Actor, 40), release.OneLine(b.Why, 100))
	}
	if open == 0 {
		_, err := fmt.Fprintln(w, "No breaker is open.")
		return err
	}
	return t.Flush()
}

func newBreakerOpenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "open", Short: "Let nothing be rolled back without a person", Args: noArguments}
	namespace := cmd.Flags().StringP("namespace", "n", "", "only rollbacks in this namespace; without it, in the whole cluster")
	within := cmd.Flags().Duration("for", 0, "after how long it closes by itself, in whole minutes; without it, when it is closed")
	connect, reason := writerFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *within < 0 || *within%time.Minute != 0 {
			return usageError{errors.New("--for takes whole minutes, such as 90m or 2h"), ""}
		}
		c, err := connect()
		if err != nil {
			return err
		}
		b, err := c.OpenBreaker(cmd.Context(), wire.OpenBreaker{Namespace: *namespace, Reason: *reason, Minutes: int(*within / time.Minute)})
		if err != nil {
			return wrongName(err)
		}
		return printBreakers(cmd.OutOrStdout(), b.Breakers)
	}
	return cmd
}

func newBreakerCloseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "close", Short: "Let rollbacks be done again", Args: noArguments,
		Long: `Let rollbacks be done again; they are counted anew from here.

What the breaker held waits on, each for its approval. With --resume it goes on as
far as the limits allow; what is more opens the breaker again.`,
	}
	namespace := cmd.Flags().StringP("namespace", "n", "", "the breaker of this namespace; without it, of the whole cluster")
	resume := cmd.Flags().Bool("resume", false, "let what it held go on")
	connect, reason := writerFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := connect()
		if err != nil {
			return err
		}
		b, err := c.CloseBreaker(cmd.Context(), wire.CloseBreaker{Namespace: *namespace, Reason: *reason, Resume: *resume})
		if err != nil {
			return wrongName(err)
		}
		return printBreakers(cmd.OutOrStdout(), b.Breakers)
	}
	return cmd
}
