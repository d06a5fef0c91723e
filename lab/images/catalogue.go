package images

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Errors of Catalogue.Resolve.
var (
	ErrInvalidName = errors.New("invalid image name")
	ErrNotFound    = errors.New("not found")
	ErrPull        = errors.New("pull refused")
)

// Catalogue is the image catalogue of one file. The file may be changed by
// others at any time: every look-up sees its newest content. It is safe for
// concurrent use.
type Catalogue struct {
	path string

	mu       sync.Mutex
	registry string // host:port of the registry that serves it; "" none yet
	stamp    stamp
	images   []Image
}

// stamp tells one content of the file from another without reading it.
type stamp struct {
	inode uint64
	size  int64
	at    time.Time
}

type document struct {
	Images []json.RawMessage `json:"images"`
}

// Load reads the catalogue at path. It is strict: an unknown field, a
// duplicate reference, a digest that does not fit its entry are errors that
// name the file and the entry.
func Load(path string) (*Catalogue, error) {
	c := &Catalogue{path: path}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(); err != nil {
		return nil, err
	}
	return c, nil
}

// Open is Load, but makes an empty catalogue when there is no file yet.
func Open(path string) (*Catalogue, error) {
	unlock, err := lock(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := write(path, nil); err != nil {
			return nil, err
		}
	}
	return Load(path)
}

// Path is the file of the catalogue.
func (c *Catalogue) Path() string { return c.path }

// Images returns the entries in the order of the file.
func (c *Catalogue) Images() ([]Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(); err != nil {
		return nil, err
	}
	out := make([]Image, len(c.images))
	for i, im := range c.images {
		out[i] = im.clone()
	}
	return out, nil
}

// Resolved is what a reference came to.
type Resolved struct {
	Image Image
	Name  string // the reference in full, as a runtime reports it: "docker.io/mycompany/webapp:v1"
	ID    string // repository and digest: "docker.io/mycompany/webapp@sha256:…"
}

// Resolve finds the image of a reference as a pod template has it, by tag or
// by digest, with or without the host of the lab's registry. Errors are
// ErrInvalidName, ErrNotFound and ErrPull, or those of reading the file.
func (c *Catalogue) Resolve(s string) (Resolved, error) {
	want, err := parse(s)
	if err != nil {
		return Resolved{}, fmt.Errorf("%w: %w", ErrInvalidName, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(); err != nil {
		return Resolved{}, err
	}
	full := want.name() + ":" + want.tag
	if want.digest != "" {
		full = want.name() + "@" + want.digest
	}
	if want.local() && c.registry != "" && want.host != c.registry {
		return Resolved{}, fmt.Errorf("%s: %w: this lab's registry is %s", full, ErrNotFound, c.registry)
	}
	for _, im := range c.images {
		have, err := parse(im.Reference)
		if err != nil || have.canonical() != want.canonical() {
			continue
		}
		if want.digest != "" && want.digest != im.Digest || want.digest == "" && want.tag != have.tag {
			continue
		}
		if im.PullError {
			return Resolved{}, fmt.Errorf("%s: %w: pull_error is set in %s", full, ErrPull, c.path)
		}
		return Resolved{Image: im.clone(), Name: full, ID: want.name() + "@" + im.Digest}, nil
	}
	return Resolved{}, fmt.Errorf("%s: %w: no such image in %s", full, ErrNotFound, c.path)
}

// Add puts images into the file, in place of those with the same reference,
// and returns them with their digests. The file changes at once or not at all.
func (c *Catalogue) Add(images ...Image) ([]Image, error) {
	var added []Image
	err := c.update(func(have []Image) ([]Image, error) {
		for _, im := range images {
			im = im.clone()
			im.Digest = ""
			if err := im.complete(); err != nil {
				return nil, fmt.Errorf("add image %q to %s: %w", im.Reference, c.path, err)
			}
			added = append(added, im)
			if i := indexOf(have, im.Reference); i >= 0 {
				have[i] = im
				continue
			}
			have = append(have, im)
		}
		return have, nil
	})
	if err != nil {
		return nil, err
	}
	return added, nil
}

// Remove takes the image of a reference out of the file; ErrNotFound when
// there is none.
func (c *Catalogue) Remove(reference string) error {
	return c.update(func(have []Image) ([]Image, error) {
		i := indexOf(have, reference)
		if i < 0 {
			return nil, fmt.Errorf("remove image %q from %s: %w", reference, c.path, ErrNotFound)
		}
		return slices.Delete(have, i, i+1), nil
	})
}

func (c *Catalogue) update(change func([]Image) ([]Image, error)) error {
	unlock, err := lock(c.path)
	if err != nil {
		return err
	}
	defer unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(); err != nil {
		return err
	}
	next, err := change(slices.Clone(c.images))
	if err != nil {
		return err
	}
	if err := write(c.path, next); err != nil {
		return err
	}
	return c.refresh()
}

func indexOf(images []Image, s string) int {
	want, err := parseTagged(s)
	if err != nil {
		return -1
	}
	return slices.IndexFunc(images, func(im Image) bool {
		have, err := parseTagged(im.Reference)
		return err == nil && have.canonical() == want.canonical() && have.tag == want.tag
	})
}

// refresh reads the file when it is not the one read last.
func (c *Catalogue) refresh() error {
	f, err := os.Open(c.path)
	if err != nil {
		return fmt.Errorf("open image catalogue: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("image catalogue %s: %w", c.path, err)
	}
	now := stamp{size: info.Size(), at: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		now.inode = sys.Ino
	}
	if now == c.stamp {
		return nil
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read image catalogue %s: %w", c.path, err)
	}
	images, err := decode(content)
	if err != nil {
		return fmt.Errorf("image catalogue %s: %w", c.path, err)
	}
	c.stamp, c.images = now, images
	return nil
}

func decode(content []byte) ([]Image, error) {
	var doc document
	if err := strict(content, &doc); err != nil {
		return nil, err
	}
	var images []Image
	for i, raw := range doc.Images {
		var im Image
		err := strict(raw, &im)
		if err == nil {
			err = im.complete()
		}
		if err == nil && indexOf(images, im.Reference) >= 0 {
			err = errors.New("the reference is there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("images[%d] (%q): %w", i, im.Reference, err)
		}
		images = append(images, im)
	}
	return images, nil
}

func strict(content []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the end of the JSON value")
	}
	return nil
}

func write(path string, images []Image) error {
	if images == nil {
		images = []Image{}
	}
	content, err := json.MarshalIndent(map[string]any{"images": images}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode image catalogue: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write image catalogue %s: %w", path, err)
	}
	_, err = tmp.Write(append(content, '\n'))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write image catalogue %s: %w", path, err)
	}
	return nil
}

// lock keeps other processes from changing the catalogue at path.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock image catalogue: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock image catalogue %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}
