package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/client"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func newAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "What was decided, done and refused, and whether anybody changed that",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args:  knownCommand,
	}
	cmd.AddCommand(newAuditListCommand(), newAuditVerifyCommand(), newAuditExportCommand())
	return cmd
}

func newAuditListCommand() *cobra.Command {
	var id string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the last decisions and refusals with their reasons",
		Example: `  watchtower audit list
  watchtower audit list --release 4be1a0c93f27 -o json`,
		Args: noArguments,
	}
	cmd.Flags().StringVar(&id, "release", "", "only rows of this release")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many to list, at most 500")
	output := outputFlag(cmd, "table", "json", "yaml")
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 1 || limit > wire.MaxLimit {
			return usageError{fmt.Errorf("--limit is %d: use 1 to %d", limit, wire.MaxLimit), ""}
		}
		c, err := connect()
		if err != nil {
			return err
		}
		p, err := c.Audit(cmd.Context(), release.ID(id), -1, limit)
		if err != nil {
			return wrongName(err)
		}
		if output.value != "table" {
			return printAs(cmd.OutOrStdout(), output.value, p)
		}
		if len(p.Rows) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "There is no audit row.")
			return nil
		}
		return printAudit(cmd.OutOrStdout(), p.Rows)
	}
	return cmd
}

func printAudit(w io.Writer, rows []release.AuditRow) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tAT\tWHO\tRELEASE\tWHAT\tOUTCOME\tWHY")
	for _, r := range rows {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.At.UTC().Format(time.RFC3339), release.OneLine(r.Actor, 40),
			release.OneLine(string(r.Release), 12), release.OneLine(r.What, 30), release.OneLine(r.Outcome, 60), release.OneLine(r.Why, 200))
	}
	return t.Flush()
}

// auditHead is the first line of an exported audit.
type auditHead struct {
	Format string            `json:"format"`
	Base   release.AuditMark `json:"base"`
	Head   release.AuditMark `json:"head"`
}

const auditFormat = "watchtower-audit-export-1"

func newAuditExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write the whole audit to a file, or to standard output",
		Long: `Write the whole audit as JSON lines: to a file, which must not exist, or to
standard output. The first line holds the head of the chain; kept where nobody
who can write the database can write, it is an anchor for audit verify.`,
		Args: cobra.MaximumNArgs(1),
	}
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		c, err := connect()
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if len(args) == 1 {
			f, opened := os.OpenFile(args[0], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if opened != nil {
				return fmt.Errorf("write the audit: %w", opened)
			}
			defer func() { err = finish(f, err) }()
			w = f
		}
		out := bufio.NewWriter(w)
		enc := json.NewEncoder(out)
		var head auditHead
		beyond, err := eachAudit(cmd.Context(), c, func(p wire.AuditPage) error {
			head = auditHead{auditFormat, p.Base, p.Head}
			return enc.Encode(head)
		}, func(r release.AuditRow) error { return enc.Encode(r) })
		if err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("write the audit: %w", err)
		}
		if beyond > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "Row %d lies after the head of the chain and was not written by Watchtower: it is not among the exported.\n", beyond)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "The head of the chain is %d:%s\n", head.Head.ID, head.Head.Hash)
		return nil
	}
	return cmd
}

// eachAudit reads the audit up to the head it has now. It answers with the ID of a
// row that lies beyond the head and was not added since, 0 when there is none.
func eachAudit(ctx context.Context, c *client.Client, begin func(wire.AuditPage) error, row func(release.AuditRow) error) (beyond int64, err error) {
	first, err := c.Audit(ctx, "", -1, 1)
	if err != nil {
		return 0, err
	}
	if err := begin(first); err != nil {
		return 0, err
	}
	for after := first.Base.ID; ; {
		p, err := c.Audit(ctx, "", after, wire.MaxLimit)
		if err != nil {
			return 0, err
		}
		for _, r := range p.Rows {
			if r.ID > first.Head.ID {
				return lying(ctx, c, r.ID)
			}
			if err := row(r); err != nil {
				return 0, err
			}
		}
		if p.NextAfter == nil {
			return 0, nil
		}
		after = *p.NextAfter
	}
}

// lying is the ID of a row that is beyond the head, 0 when the head has come to it.
func lying(ctx context.Context, c *client.Client, id int64) (int64, error) {
	now, err := c.Audit(ctx, "", -1, 1)
	if err != nil || now.Head.ID >= id {
		return 0, err
	}
	return id, nil
}

func newAuditVerifyCommand() *cobra.Command {
	var anchors []string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check that the audit is what was written",
		Long: `Check that the audit is what was written: that no row was changed, removed, added
or moved, and that its end was not cut off. The rows are read from the server, or
from a file that audit export wrote, and checked here.

Who can write the whole database can write the chain anew. That is found by an
anchor: a head, ID:HASH, that was kept where he cannot write (audit export prints
it, the server's log has it every hour).

The exit status is 0 when all is sound and 1 otherwise.`,
		Example: `  watchtower audit verify
  watchtower audit verify --anchor 1042:9f2c…
  watchtower audit verify audit-2026-03.jsonl`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().StringArrayVar(&anchors, "anchor", nil, "a head that was kept elsewhere, ID:HASH; may be given several times")
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		marks, err := parseAnchors(anchors)
		if err != nil {
			return usageError{err, cmd.CommandPath()}
		}
		v := &verification{anchors: marks}
		var beyond int64
		if len(args) == 1 {
			err = v.file(args[0])
		} else {
			var c *client.Client
			if c, err = connect(); err == nil {
				beyond, err = eachAudit(cmd.Context(), c, func(p wire.AuditPage) error { v.begin(p.Base, p.Head); return nil }, v.row)
			}
		}
		if err != nil {
			return err
		}
		faults := v.chain.End(v.head)
		if beyond > 0 {
			faults = append(faults, release.AuditFault{ID: beyond, Why: "it lies after the head of the chain"})
		}
		printFaults(cmd.OutOrStdout(), faults)
		if len(faults) > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "The audit of %d rows is not what was written.\n", v.chain.Rows())
			return errReported
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d rows are what was written. The head of the chain is %d:%s\n", v.chain.Rows(), v.head.ID, v.head.Hash)
		return nil
	}
	return cmd
}

func parseAnchors(texts []string) (marks []release.AuditMark, err error) {
	for _, text := range texts {
		id, hash, ok := strings.Cut(text, ":")
		n, err := strconv.ParseInt(id, 10, 64)
		if !ok || err != nil || n < 0 || (n > 0 && len(hash) != 64) {
			return nil, fmt.Errorf("--anchor %q is no head: write ID:HASH, as audit export prints it", text)
		}
		marks = append(marks, release.AuditMark{ID: n, Hash: hash})
	}
	return marks, nil
}

// verification is under way.
type verification struct {
	anchors []release.AuditMark
	chain   *release.AuditChain
	head    release.AuditMark
}

func (v *verification) begin(base, head release.AuditMark) {
	v.chain, v.head = release.NewAuditChain(base, v.anchors...), head
}

func (v *verification) row(r release.AuditRow) error {
	v.chain.Add(r)
	return nil
}

// file reads an exported audit.
func (v *verification) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the audit: %w", err)
	}
	defer f.Close()
	dec := json.NewDecoder(bufio.NewReader(f))
	var head auditHead
	if err := dec.Decode(&head); err != nil || head.Format != auditFormat {
		return fmt.Errorf("%s:1: this is no audit that audit export wrote", path)
	}
	v.begin(head.Base, head.Head)
	for n := 2; ; n++ {
		var r release.AuditRow
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s:%d: this is no audit row: %w", path, n, err)
		}
		v.chain.Add(r)
	}
}

func printFaults(w io.Writer, faults []release.AuditFault) {
	for _, f := range faults {
		if f.ID == 0 {
			fmt.Fprintf(w, "FAULT       the chain: %s\n", f.Why)
			continue
		}
		fmt.Fprintf(w, "FAULT       row %d: %s\n", f.ID, f.Why)
	}
}
