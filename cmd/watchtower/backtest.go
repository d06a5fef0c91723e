package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/app"
	"github.com/watchtower-verify/watchtower/internal/backtest"
	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

// errUnreadable ends a replay whose metric store could not be read to the end.
type errUnreadable struct{ error }

func (e errUnreadable) Unwrap() error { return e.error }

// backtestFlags are the command line of a replay.
type backtestFlags struct {
	config, prometheusURL, from, to, knownGood, out string
	loki, elasticsearch                             string
	observe, tick, lag                              string
	output                                          *choice
}

func newBacktestCommand() *cobra.Command {
	var f backtestFlags
	cmd := &cobra.Command{
		Use:   "backtest",
		Short: "Replay the rollouts of the past: what would have been said, and done?",
		Long: `Replay the rollouts of the past from the metrics that are stored: what would
Watchtower have said of each, when, and what would it have done?

Rollouts are found by kube-state-metrics. Each is lived again tick by tick, as the
service would have: a tick sees the samples that were stored by then and no later
ones. It needs no cluster and no database, and it changes nothing.

Without --config the built-in policy is in force and the report says what autonomy
auto would have done. --known-good names releases that were good, one
namespace/replicaset a line; the report then tells how many of them would have
been called regressed, with the exact 95 % interval.

The exit status is 0 when the replay ran, whatever it found; 2 when an argument or
the configuration is wrong; 3 when the metric store could not be read, in which
case there is no report.`,
		Example: `  watchtower backtest --prometheus-url=http://prometheus:9090 --from=2026-11-01T00:00:00Z --to=2026-11-08T00:00:00Z
  watchtower backtest --config=watchtower.yaml --from=2026-11-01T00:00:00Z --to=2026-11-08T00:00:00Z -o html --out=report.html`,
		Args: noArguments,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.prometheusURL, "prometheus-url", "", "metric store to read, if not the configuration's")
	flags.StringVar(&f.config, "config", "", "configuration file with policies and access; default: the built-in policy")
	flags.StringVar(&f.from, "from", "", "replay releases that began from this time on (RFC 3339)")
	flags.StringVar(&f.to, "to", "", "… and before this one; nothing later is read")
	flags.StringVar(&f.observe, "observe", "", "how long each is watched (default the policy's, which is 30m unless configured)")
	flags.StringVar(&f.tick, "tick", "", "how often the judge looks (default 15s)")
	flags.StringVar(&f.lag, "lag", "", "how late samples arrive (default 0s)")
	flags.StringVar(&f.knownGood, "known-good", "", "file of releases that were good: namespace/replicaset, one a line")
	flags.StringVar(&f.loki, "loki-url", "", "not read yet: logs are no evidence so far")
	flags.StringVar(&f.elasticsearch, "elasticsearch-url", "", "not read yet: logs are no evidence so far")
	flags.StringVar(&f.out, "out", "", "file to write the report to (default standard output)")
	f.output = outputFlag(cmd, "text", "json", "html")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runBacktest(cmd, f) }
	return cmd
}

// A replay allocates much that is dead at once: the collector runs a third as often as
// usual until so much is held.
const (
	replayGCPercent = 300
	replayMemory    = 768 << 20
)

func runBacktest(cmd *cobra.Command, f backtestFlags) error {
	if os.Getenv("GOGC")+os.Getenv("GOMEMLIMIT") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(replayGCPercent))
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(replayMemory))
	}
	opt, good, err := f.options()
	if err != nil {
		return usageError{err, cmd.CommandPath()}
	}
	stderr := cmd.ErrOrStderr()
	for name, url := range map[string]string{"--loki-url": f.loki, "--elasticsearch-url": f.elasticsearch} {
		if url != "" {
			fmt.Fprintf(stderr, "watchtower: %s is not read yet: logs are no evidence so far\n", name)
		}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	opt.Progress, opt.KnownGood = progress(stderr), good
	fmt.Fprintf(stderr, "looking for rollouts from %s to %s\n", opt.From.Format(time.RFC3339), opt.To.Format(time.RFC3339))
	report, err := app.Backtest(ctx, opt)
	if err != nil {
		return backtestError(ctx, err, cmd.CommandPath())
	}
	if f.knownGood != "" {
		report.Judge(good)
	}
	return f.write(cmd.OutOrStdout(), report)
}

// backtestError tells wrong arguments from a store that could not be read.
func backtestError(ctx context.Context, err error, command string) error {
	var faults config.Problems
	var dialects catalogue.Faults
	switch {
	case errors.As(err, &faults), errors.As(err, &dialects):
		return err
	case ctx.Err() != nil:
		return errUnreadable{errors.New("stopped before the replay was whole: there is no report")}
	case release.ErrorCode(err) == release.CodeInvalid, errors.Is(err, os.ErrNotExist):
		return usageError{err, command}
	}
	return errUnreadable{fmt.Errorf("%w; the replay is not whole, so there is no report", err)}
}

// options reads the arguments, and the file of good releases.
func (f backtestFlags) options() (opt app.BacktestOptions, good []string, err error) {
	opt = app.BacktestOptions{ConfigPath: f.config, PrometheusURL: f.prometheusURL}
	if f.config == "" && f.prometheusURL == "" {
		return opt, nil, errors.New("no metric store: add --prometheus-url=URL, or --config=FILE")
	}
	if opt.From, err = rfc3339("--from", f.from); err != nil {
		return opt, nil, err
	}
	if opt.To, err = rfc3339("--to", f.to); err != nil {
		return opt, nil, err
	}
	if !opt.From.Before(opt.To) {
		return opt, nil, fmt.Errorf("--from %s is not before --to %s", f.from, f.to)
	}
	if opt.Observe, err = span("--observe", f.observe, time.Minute); err != nil {
		return opt, nil, err
	}
	if opt.Tick, err = span("--tick", f.tick, time.Second); err != nil {
		return opt, nil, err
	}
	if f.lag != "" {
		lag, err := span("--lag", f.lag, 0)
		if err != nil {
			return opt, nil, err
		}
		opt.Lag = &lag
	}
	if f.knownGood != "" {
		good, err = readKnownGood(f.knownGood)
	}
	return opt, good, err
}

func readKnownGood(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--known-good: %w", err)
	}
	defer func() { _ = file.Close() }()
	return backtest.ReadKnownGood(path, file)
}

func rfc3339(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, fmt.Errorf("%s is missing: a time such as 2026-11-01T00:00:00Z", flag)
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s %q is no time: write it as 2026-11-01T00:00:00Z", flag, text)
	}
	return t.UTC(), nil
}

// span reads a duration of at least least; "" is 0.
func span(flag, text string, least time.Duration) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", flag, err)
	}
	if d < least {
		return 0, fmt.Errorf("%s %s is too short: at least %s", flag, text, least)
	}
	return d, nil
}

// write writes the report whole or not at all.
func (f backtestFlags) write(stdout io.Writer, report *backtest.Report) error {
	var b bytes.Buffer
	var err error
	switch f.output.value {
	case "json":
		err = printAs(&b, "json", report)
	case "html":
		err = report.WriteHTML(&b)
	default:
		err = report.WriteText(&b)
	}
	if err != nil {
		return err
	}
	if f.out != "" {
		return os.WriteFile(f.out, b.Bytes(), 0o644)
	}
	_, err = stdout.Write(b.Bytes())
	return err
}

// progress tells every few seconds how far the replay is.
func progress(w io.Writer) func(done, found int) {
	const every = 5 * time.Second
	begin, last := time.Now(), time.Now()
	return func(done, found int) {
		if done < found && time.Since(last) < every {
			return
		}
		last = time.Now()
		rate := float64(done) / time.Since(begin).Seconds()
		left := time.Duration(float64(found-done) / rate * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(w, "replayed %d of %d rollouts, %.1f/s, %s left\n", done, found, rate, left)
	}
}
