package main

import (
	"errors"
	"fmt"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/pattern"
	"github.com/watchtower-verify/watchtower/internal/pattern/redact"
)

// patternsFlags are the command line of `patterns`.
type patternsFlags struct {
	output  *choice
	level   choice
	against string
	follow  bool
	limit   int
	redact  []string
	email   bool
}

func newPatternsCommand() *cobra.Command {
	f := patternsFlags{level: choice{allowed: []string{"trace", "debug", "info", "warn", "error", "fatal"}}}
	cmd := &cobra.Command{
		Use:   "patterns [FILE|-]",
		Short: "Say what a log says: its templates with counts, and what is new in it",
		Long: `Say what a log says: the templates of its lines with counts, without secrets.

The lines are JSON, logfmt or text of any program, with or without a header of
time, level and logger, which is learned; stack traces are joined to one event.
Values become <*>. The log is FILE, or standard input.

With --against OLD the log is compared with an older one: which patterns are new,
gone, more or less frequent per event, and whether that may be chance. With
--follow patterns are told as they appear, and counted when the input ends or is
interrupted. With --output=jsonl there is one object for each line of the input,
in order, after all of it was read.

The exit status is 0 when the log was read, whatever it says; 1 when it could not
be read; and 2 when an argument is wrong.`,
		Example: `  kubectl logs deploy/webapp | watchtower patterns
  kubectl logs -f deploy/webapp | watchtower patterns --follow --level=error
  watchtower patterns --against yesterday.log today.log
  watchtower patterns --output=jsonl app.log | jq -r .template`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("give one FILE, not %d; compare two with --against OLD NEW", len(args))
			}
			return nil
		},
	}
	f.output = outputFlag(cmd, "text", "json", "jsonl")
	flags := cmd.Flags()
	flags.Var(&f.level, "level", "only events at least this bad: trace, debug, info, warn, error or fatal")
	flags.StringVar(&f.against, "against", "", "an older log to compare with")
	flags.BoolVarP(&f.follow, "follow", "f", false, "tell of patterns as they appear")
	flags.IntVar(&f.limit, "limit", 30, "how many patterns to print as text; 0: all")
	flags.StringArrayVar(&f.redact, "redact", nil, "regular expression of what is secret, besides what is known to be; may be repeated")
	flags.BoolVar(&f.email, "redact-email", false, "redact e-mail addresses too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		rules, err := f.check()
		if err != nil {
			return usageError{err, cmd.CommandPath()}
		}
		name := "-"
		if len(args) == 1 {
			name = args[0]
		}
		run := patternsRun{
			patternsFlags: f, in: cmd.InOrStdin(), out: cmd.OutOrStdout(),
			miner: pattern.NewMiner(pattern.Options{Redact: redact.New(redact.Options{Email: f.email, Rules: rules}).Bytes, Refs: f.output.value == "jsonl"}),
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		switch {
		case f.against != "":
			return run.compare(ctx, f.against, name)
		case f.follow:
			return run.follow(ctx, name)
		}
		return run.mine(ctx, name)
	}
	return cmd
}

// check refuses flags that do not go together and reads the rules.
func (f patternsFlags) check() ([]*regexp.Regexp, error) {
	switch {
	case f.limit < 0:
		return nil, fmt.Errorf("--limit is %d: use 0 for all patterns, or how many to print", f.limit)
	case f.follow && f.against != "":
		return nil, errors.New("--follow and --against do not go together: a comparison needs both logs whole")
	case f.follow && f.output.value != "text":
		return nil, fmt.Errorf("--follow prints text as it comes: leave out --output=%s", f.output.value)
	case f.against != "" && f.output.value == "jsonl":
		return nil, errors.New("--against prints patterns, not lines: use --output=json or text")
	}
	rules, err := redact.Compile(f.redact)
	if err != nil {
		return nil, fmt.Errorf("--redact: %w", err)
	}
	return rules, nil
}
