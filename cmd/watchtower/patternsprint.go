package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/app"
	"github.com/watchtower-verify/watchtower/internal/pattern"
)

// widest is how many characters of a template or example are printed as text.
const widest = 200

// printPatterns prints patterns as text, the most frequent first.
func printPatterns(w io.Writer, patterns []pattern.Pattern, stats pattern.Stats, limit int) {
	shown := patterns
	if limit > 0 && len(shown) > limit {
		shown = shown[:limit]
	}
	if len(shown) > 0 {
		fmt.Fprintf(w, "%9s %6s  %-5s  %-15s  %-12s  %s\n", "COUNT", "SHARE", "LEVEL", "LINES", "ID", "TEMPLATE")
	}
	total := counted(patterns)
	for _, p := range shown {
		fmt.Fprintf(w, "%9s %6s  %-5s  %-15s  %s  %s\n", thousands(p.Count), share(p.Count, total), dash(p.Level.String()),
			lineRange(p.First, p.Last), p.ID, shorten(printable(p.Template)))
		if strings.Contains(p.Template, pattern.Wildcard) && p.Example != "" {
			fmt.Fprintf(w, "%56se.g. %s\n", "", shorten(printable(p.Example)))
		}
	}
	if len(shown) > 0 {
		fmt.Fprintln(w)
	}
	if hidden := patterns[len(shown):]; len(hidden) > 0 {
		fmt.Fprintf(w, "%s more patterns with %s events are not shown: --limit 0 shows all.\n", thousands(uint64(len(hidden))), thousands(counted(hidden)))
	}
	fmt.Fprintln(w, minedSummary(stats, len(patterns)))
}

// minedSummary is the last line: what was read, and what is not in the table.
func minedSummary(s pattern.Stats, templates int) string {
	text := fmt.Sprintf("%s lines, %s events, %s templates; %s redacted, %s dropped, %s merged", thousands(s.Lines), thousands(s.Events),
		thousands(uint64(templates)), thousands(s.Redacted), thousands(s.Dropped), thousands(s.Merged))
	if s.Truncated > 0 {
		text += fmt.Sprintf(", %s truncated", thousands(s.Truncated))
	}
	if s.Below > 0 {
		text += fmt.Sprintf(", %s lines below --level", thousands(s.Below))
	}
	return text + "."
}

func counted(patterns []pattern.Pattern) (n uint64) {
	for _, p := range patterns {
		n += p.Count
	}
	return n
}

func share(n, total uint64) string {
	if total == 0 {
		return "-"
	}
	percent := 100 * float64(n) / float64(total)
	if percent < 0.1 {
		return "<0.1%"
	}
	return fmt.Sprintf("%.1f%%", percent)
}

func lineRange(first, last uint64) string {
	if first == last {
		return strconv.FormatUint(first, 10)
	}
	return fmt.Sprintf("%d-%d", first, last)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// thousands writes n with a comma between its thousands.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// printable is s without what a terminal would act on.
func printable(s string) string {
	if s == "" {
		return "(empty)"
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

func shorten(s string) string {
	if utf8.RuneCountInString(s) <= widest {
		return s
	}
	return string([]rune(s)[:widest-1]) + "…"
}

type patternJSON struct {
	ID       string  `json:"id"`
	Template string  `json:"template"`
	Count    uint64  `json:"count"`
	Share    float64 `json:"share"`
	Level    string  `json:"level,omitempty"`
	Logger   string  `json:"logger,omitempty"`
	First    uint64  `json:"first_line"`
	Last     uint64  `json:"last_line"`
	Example  string  `json:"example,omitempty"`
}

func onePatternJSON(p pattern.Pattern, total uint64) patternJSON {
	return patternJSON{
		ID: p.ID, Template: p.Template, Count: p.Count, Share: float64(p.Count) / float64(max(total, 1)), Level: p.Level.String(),
		Logger: p.Logger, First: p.First, Last: p.Last, Example: p.Example,
	}
}

func patternsJSON(patterns []pattern.Pattern, stats pattern.Stats) any {
	total := counted(patterns)
	out := make([]patternJSON, len(patterns))
	for i, p := range patterns {
		out[i] = onePatternJSON(p, total)
	}
	return struct {
		Patterns []patternJSON `json:"patterns"`
		Stats    pattern.Stats `json:"stats"`
	}{out, stats}
}

// print writes one object a line of the log.
func (r *rows) print(w *bufio.Writer, miner *pattern.Miner) {
	tails := map[*pattern.Pattern][]byte{}
	line := uint64(0)
	var number []byte
	for _, e := range r.events {
		if !e.counted {
			line += uint64(e.lines)
			continue
		}
		p := miner.PatternOf(e.ref)
		tail, ok := tails[p]
		if !ok {
			tail = rowTail(p)
			tails[p] = tail
		}
		for range e.lines {
			line++
			number = strconv.AppendUint(number[:0], line, 10)
			_, _ = w.WriteString(`{"line": `)
			_, _ = w.Write(number)
			_, _ = w.Write(tail) // an error stays until Flush
		}
	}
}

// rowTail is what a row has after its line number.
func rowTail(p *pattern.Pattern) []byte {
	var template strings.Builder
	e := json.NewEncoder(&template)
	e.SetEscapeHTML(false)
	_ = e.Encode(p.Template) // a string is always written
	return fmt.Appendf(nil, `, "pattern": "%s", "template": %s}`+"\n", p.ID, strings.TrimSuffix(template.String(), "\n"))
}

// printChanges prints what became of the patterns of a log.
func printChanges(w io.Writer, changes []app.PatternChange, stats pattern.Stats, limit int) {
	fmt.Fprintf(w, "%-5s %9s %9s  %-22s  %-7s  %-5s  %-12s  %s\n", "", "OLD", "NEW", "TIMES AS FREQUENT", "E-VALUE", "LEVEL", "ID", "TEMPLATE")
	shown, same, more := 0, 0, 0
	for _, c := range changes {
		if c.Change == app.ChangeSame {
			same++
			continue
		}
		if limit > 0 && shown == limit {
			more++
			continue
		}
		shown++
		mark := " "
		if !c.Significant {
			mark = "?"
		}
		fmt.Fprintf(w, "%-4s%s %9s %9s  %-22s  %-7s  %-5s  %s  %s\n", c.Change, mark, thousands(c.Old), thousands(c.New), times(c),
			compact(c.E), dash(c.Pattern.Level.String()), c.Pattern.ID, shorten(printable(c.Pattern.Template)))
		if c.Change == app.ChangeNew && c.Pattern.Example != c.Pattern.Template {
			fmt.Fprintf(w, "%81se.g. %s\n", "", shorten(printable(c.Pattern.Example)))
		}
	}
	if shown == 0 {
		fmt.Fprintln(w, "nothing is new, gone, more or less frequent")
	}
	fmt.Fprintln(w)
	if more > 0 {
		fmt.Fprintf(w, "%s more changes are not shown: --limit 0 shows all.\n", thousands(uint64(more)))
	}
	fmt.Fprintf(w, "%s patterns are as frequent as before. \"?\" may be chance: of the changes without it at most 1 %% are expected to be.\n", thousands(uint64(same)))
	fmt.Fprintln(w, minedSummary(stats, len(changes)))
}

// times is how many times as frequent a pattern is, with its interval.
func times(c app.PatternChange) string {
	switch c.Change {
	case app.ChangeNew:
		if c.Low > 0 {
			return "at least " + compact(c.Low)
		}
		return "-"
	case app.ChangeGone:
		if !math.IsInf(c.High, 0) {
			return "at most " + compact(c.High)
		}
		return "-"
	}
	return fmt.Sprintf("%s (%s to %s)", compact(c.Ratio), compact(c.Low), compact(c.High))
}

func compact(f float64) string {
	switch {
	case math.IsInf(f, 0) || f >= 1e300:
		return "∞"
	case f >= 1e5:
		return strconv.FormatFloat(f, 'e', 0, 64)
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 2, 64)
}

type changeJSON struct {
	patternJSON
	Change      app.Change `json:"change"`
	Old         uint64     `json:"old"`
	New         uint64     `json:"new"`
	Ratio       *float64   `json:"ratio"`
	Low         *float64   `json:"ratio_low"`
	High        *float64   `json:"ratio_high"`
	LogE        float64    `json:"ln_e"`
	Significant bool       `json:"significant"`
}

func changesJSON(changes []app.PatternChange, stats pattern.Stats) any {
	total := uint64(0)
	for _, c := range changes {
		total += c.Old + c.New
	}
	out := make([]changeJSON, len(changes))
	for i, c := range changes {
		out[i] = changeJSON{
			patternJSON: onePatternJSON(c.Pattern, total), Change: c.Change, Old: c.Old, New: c.New,
			Ratio: finite(c.Ratio), Low: finite(c.Low), High: finite(c.High), LogE: c.LogE, Significant: c.Significant,
		}
	}
	return struct {
		Changes []changeJSON  `json:"changes"`
		Stats   pattern.Stats `json:"stats"`
	}{out, stats}
}

// finite is f, or nil where it has no limit.
func finite(f float64) *float64 {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil
	}
	return &f
}
