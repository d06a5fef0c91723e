package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/app"
	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/store"
)

func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look after the database: migrate, check, export, import, vacuum",
		Long: `Look after the database that the configuration names.

A SQLite file can be opened by one process: stop Watchtower first. Of a
PostgreSQL database only an import asks for that.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args: knownCommand,
	}
	cmd.AddCommand(newStoreMigrateCommand(), newStoreCheckCommand(), newStoreExportCommand(), newStoreImportCommand(), newStoreVacuumCommand())
	return cmd
}

// storeFlag adds --config and returns what opens the store it names.
func storeFlag(cmd *cobra.Command) func(opts ...store.Option) (*store.Store, error) {
	path := cmd.Flags().String("config", "watchtower.yaml", "configuration file")
	return func(opts ...store.Option) (*store.Store, error) {
		cfg, err := config.Load(*path)
		if err != nil {
			return nil, err
		}
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		return app.OpenStore(cmd.Context(), cfg, log, opts...)
	}
}

func newStoreMigrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema up to date",
		Long: `Bring the schema up to date, as the start does unless store.migrate is manual.

Each step is one transaction: one that is interrupted leaves nothing behind, and
the next run goes on with it.`,
		Args: noArguments,
	}
	open := storeFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		s, err := open(store.Automatic())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		v, err := s.Schema(cmd.Context())
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "The schema has version %d, the job queue's version %d: both are current.\n", v.Version, v.Jobs)
		return nil
	}
	return cmd
}

func newStoreCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the database and the chain of its audit",
		Long: `Check that the file is not damaged, that nothing refers to what is not there, and
that the audit of every cluster is what was written. Nothing is changed.

The exit status is 0 when all is sound and 1 otherwise.`,
		Args: noArguments,
	}
	open := storeFlag(cmd)
	output := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		s, err := open(store.Manual())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		h, err := s.Check(cmd.Context())
		if err != nil {
			return err
		}
		if output.value == "json" {
			if err := printAs(cmd.OutOrStdout(), "json", h); err != nil {
				return err
			}
		} else {
			printHealth(cmd.OutOrStdout(), h)
		}
		if !h.Sound() {
			return errReported
		}
		return nil
	}
	return cmd
}

func printHealth(w io.Writer, h store.Health) {
	fmt.Fprintf(w, "schema      version %d, job queue version %d\n", h.Schema.Version, h.Schema.Jobs)
	for _, table := range h.Tables() {
		fmt.Fprintf(w, "%-11s %d rows\n", table, h.Rows[table])
	}
	for _, p := range h.Problems {
		fmt.Fprintf(w, "DAMAGED     %s\n", p)
	}
	for _, c := range h.Chains {
		fmt.Fprintf(w, "audit of %s: %d rows, head %d %s\n", orNone(c.Cluster), c.Rows, c.Head.ID, c.Head.Hash)
		printFaults(w, c.Faults)
	}
	if h.Sound() {
		fmt.Fprintln(w, "All is sound.")
	}
}

func orNone(cluster string) string {
	if cluster == "" {
		return "no cluster"
	}
	return "cluster " + cluster
}

func newStoreExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write everything there is to a file, or to standard output",
		Long: `Write everything there is, of every cluster, as JSON lines: to a file, which must
not exist, or to standard output. Jobs that are not done are among it.`,
		Example: `  watchtower store export --config sqlite.yaml all.jsonl
  watchtower store import --config postgres.yaml all.jsonl`,
		Args: cobra.MaximumNArgs(1),
	}
	open := storeFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		s, err := open(store.Manual())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		out := cmd.OutOrStdout()
		if len(args) == 1 {
			f, opened := os.OpenFile(args[0], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if opened != nil {
				return fmt.Errorf("write the export: %w", opened)
			}
			defer func() { err = finish(f, err) }()
			out = f
		}
		counts, err := s.Export(cmd.Context(), out)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "Exported %s.\n", inWords(counts))
		return nil
	}
	return cmd
}

// finish closes a file that was written whole, and removes one that was not.
func finish(f *os.File, err error) error {
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func newStoreImportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Fill an empty database with an export",
		Long: `Fill an empty database with what export wrote; - reads standard input. It is
imported as a whole or not at all: the rows are counted and the audit's chains
checked before that is settled. A database that is not empty is refused.`,
		Example: `  watchtower store import --config postgres.yaml all.jsonl`,
		Args:    oneArgument("FILE"),
	}
	open := storeFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		in := cmd.InOrStdin()
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("read the export: %w", err)
			}
			defer f.Close()
			in = f
		}
		s, err := open(store.Automatic())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		counts, err := s.Import(cmd.Context(), bufio.NewReaderSize(in, 1<<16))
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Imported %s. The counts and the audit are as they were exported.\n", inWords(counts))
		return nil
	}
	return cmd
}

func inWords(counts map[string]int) string {
	var parts []string
	for _, table := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[table], table))
	}
	return strings.Join(parts, ", ")
}

func newStoreVacuumCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vacuum",
		Short: "Give back the room of what was removed",
		Long: `Write the database anew without the room of what was removed. A SQLite file needs
as much free room again while that lasts.`,
		Args: noArguments,
	}
	open := storeFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		s, err := open(store.Manual())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		return s.Vacuum(cmd.Context())
	}
	return cmd
}
