package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/app"
)

func newServeCommand() *cobra.Command {
	var path, format, level string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Watch the cluster, judge every release, act as far as the policy allows",
		Long: `Watch the cluster, judge every release, act as far as the policy allows.

Without an autonomy in the configuration or on the Deployment it only observes.
SIGHUP reads the policies again; SIGTERM and SIGINT stop it.`,
		Example: "  watchtower serve --config watchtower.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(format, level)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			err = app.Serve(ctx, app.Options{
				ConfigPath: path, Version: version, Log: log, Reload: hangups(ctx),
				Listening: func(addr net.Addr) { log.Info("listening", "addr", addr.String()) },
			})
			if err == nil || errors.Is(err, context.Canceled) {
				log.Info("stopped")
				return nil
			}
			return err
		},
	}
	cmd.Flags().StringVar(&path, "config", "watchtower.yaml", "configuration file")
	cmd.Flags().StringVar(&format, "log-format", "text", "text or json")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func newLogger(format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is unknown: use debug, info, warn or error", level)
	}
	opt := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, opt)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, opt)), nil
	default:
		return nil, fmt.Errorf("--log-format %q is unknown: use text or json", format)
	}
}

// hangups turns SIGHUP into a channel of reloads.
func hangups(ctx context.Context) <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	out := make(chan struct{})
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				select {
				case out <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}
