package heldout

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// blockMillis is the range of a block, as Prometheus cuts them.
const blockMillis = int64(2 * time.Hour / time.Millisecond)

// store writes blocks straight away instead of through a head and its log, which
// would cost several times as much. Samples of a series come in the order of time.
type store struct {
	dir    string
	opt    Options
	truth  *Truth
	blocks map[int64]*block // by the time at which they begin
	err    error            // the first of writing, told by finishBefore and finish
}

// block is one that is still being filled. Its chunks wait in a file, since the
// index wants them in the order of their series.
type block struct {
	dir, ulid string
	from      int64
	spool     *os.File
	out       *bufio.Writer
	size      int64
	series    []stored
	samples   uint64
}

// stored is a series within a block.
type stored struct {
	labels labels.Labels
	chunks []spooled
}

type spooled struct {
	offset   int64
	bytes    int32
	from, to int64
}

func newStore(dir string, opt Options, truth *Truth) (*store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		return nil, fmt.Errorf("a block is there already: %s", filepath.Dir(found[0]))
	}
	return &store{dir: dir, opt: opt, truth: truth, blocks: map[int64]*block{}}, nil
}

// block returns the one that a time falls into.
func (st *store) block(millis int64) *block {
	from := millis - millis%blockMillis
	b := st.blocks[from]
	if b != nil {
		return b
	}
	b = &block{from: from, ulid: ulid(st.opt.Seed, from)}
	b.dir = filepath.Join(st.dir, b.ulid+".tmp-for-creation")
	st.blocks[from] = b
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		st.fail(err)
		return b
	}
	f, err := os.Create(filepath.Join(b.dir, "spool"))
	if err != nil {
		st.fail(err)
		return b
	}
	b.spool, b.out = f, bufio.NewWriterSize(f, 1<<20)
	return b
}

func (st *store) fail(err error) {
	if st.err == nil {
		st.err = err
	}
}

// keep puts a chunk into the file of its block.
func (st *store) keep(b *block, data []byte, from, to int64, samples int) spooled {
	out := spooled{offset: b.size, bytes: int32(len(data)), from: from, to: to}
	if b.out == nil {
		return out
	}
	if _, err := b.out.Write(data); err != nil {
		st.fail(err)
	}
	b.size += int64(len(data))
	b.samples += uint64(samples)
	return out
}

// finishBefore writes the blocks that end by a time: nothing more comes for them.
func (st *store) finishBefore(ctx context.Context, t time.Time) error {
	return st.finishUntil(ctx, t.UnixMilli())
}

// finish writes the blocks that are left.
func (st *store) finish(ctx context.Context) error {
	return st.finishUntil(ctx, 1<<62)
}

func (st *store) finishUntil(ctx context.Context, millis int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var ready []int64
	for from := range st.blocks {
		if from+blockMillis <= millis {
			ready = append(ready, from)
		}
	}
	slices.Sort(ready)
	for _, from := range ready {
		b := st.blocks[from]
		st.addScrapeHealth(b)
		if st.err != nil {
			return st.err
		}
		if err := b.write(ctx, filepath.Join(st.dir, b.ulid)); err != nil {
			return fmt.Errorf("block %s: %w", b.ulid, err)
		}
		delete(st.blocks, from)
	}
	return st.err
}

// abandon removes what a failure left half done.
func (st *store) abandon() {
	for _, b := range st.blocks {
		if b.spool != nil {
			_ = b.spool.Close()
		}
		_ = os.RemoveAll(b.dir)
	}
}

// write sorts the series, writes chunks, index and meta.json, and gives the block
// its name.
func (b *block) write(ctx context.Context, name string) error {
	if err := b.out.Flush(); err != nil {
		return err
	}
	slices.SortFunc(b.series, func(x, y stored) int { return labels.Compare(x.labels, y.labels) })
	count, err := b.writeSeries(ctx)
	if err != nil {
		return err
	}
	if err := b.spool.Close(); err != nil {
		return err
	}
	if err := os.Remove(b.spool.Name()); err != nil {
		return err
	}
	if err := b.writeMeta(count); err != nil {
		return err
	}
	return os.Rename(b.dir, name)
}

func (b *block) writeSeries(ctx context.Context) (chunkCount int, err error) {
	to, err := chunks.NewWriter(filepath.Join(b.dir, "chunks"))
	if err != nil {
		return 0, err
	}
	ix, err := index.NewWriter(ctx, filepath.Join(b.dir, "index"))
	if err != nil {
		_ = to.Close()
		return 0, err
	}
	err = b.writeSymbols(ix)
	for i := 0; i < len(b.series) && err == nil; i++ {
		var metas []chunks.Meta
		if metas, err = b.read(b.series[i].chunks); err == nil {
			chunkCount += len(metas)
			if err = to.WriteChunks(metas...); err == nil {
				err = ix.AddSeries(storage.SeriesRef(i+1), b.series[i].labels, metas...)
			}
		}
	}
	for _, closing := range []func() error{ix.Close, to.Close} {
		if e := closing(); err == nil {
			err = e
		}
	}
	return chunkCount, err
}

func (b *block) writeSymbols(ix *index.Writer) error {
	seen := map[string]struct{}{}
	for _, s := range b.series {
		s.labels.Range(func(l labels.Label) {
			seen[l.Name] = struct{}{}
			seen[l.Value] = struct{}{}
		})
	}
	sorted := make([]string, 0, len(seen))
	for s := range seen {
		sorted = append(sorted, s)
	}
	slices.Sort(sorted)
	for _, s := range sorted {
		if err := ix.AddSymbol(s); err != nil {
			return err
		}
	}
	return nil
}

// read brings the chunks of a series back.
func (b *block) read(of []spooled) ([]chunks.Meta, error) {
	out := make([]chunks.Meta, len(of))
	for i, c := range of {
		data := make([]byte, c.bytes)
		if _, err := b.spool.ReadAt(data, c.offset); err != nil {
			return nil, err
		}
		chunk, err := chunkenc.FromData(chunkenc.EncXOR, data)
		if err != nil {
			return nil, err
		}
		out[i] = chunks.Meta{Chunk: chunk, MinTime: c.from, MaxTime: c.to}
	}
	return out, nil
}

// writeMeta writes what Prometheus wants to know of a block.
func (b *block) writeMeta(chunkCount int) error {
	type stats struct {
		Samples uint64 `json:"numSamples"`
		Floats  uint64 `json:"numFloatSamples"`
		Series  int    `json:"numSeries"`
		Chunks  int    `json:"numChunks"`
	}
	type compaction struct {
		Level   int      `json:"level"`
		Sources []string `json:"sources"`
	}
	text, err := json.MarshalIndent(struct {
		ULID       string     `json:"ulid"`
		MinTime    int64      `json:"minTime"`
		MaxTime    int64      `json:"maxTime"`
		Stats      stats      `json:"stats"`
		Compaction compaction `json:"compaction"`
		Version    int        `json:"version"`
	}{
		b.ulid, b.from, b.from + blockMillis,
		stats{b.samples, b.samples, len(b.series), chunkCount},
		compaction{1, []string{b.ulid}},
		1,
	}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "meta.json"), text, 0o644)
}

// ulid is a block's name: its time, and letters that the seed decides.
func ulid(seed uint64, millis int64) string {
	const letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	out := make([]byte, 26)
	for i := 9; i >= 0; i-- {
		out[i] = letters[millis&31]
		millis >>= 5
	}
	r := rand.New(rand.NewPCG(seed, uint64(len(letters))))
	for i := 10; i < len(out); i++ {
		out[i] = letters[r.IntN(len(letters))]
	}
	return string(out)
}
