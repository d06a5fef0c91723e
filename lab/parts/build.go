package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Built is a part that is ready to run.
type Built struct {
	Binary string // path of the program
	Assets string // folder that holds the part's Assets; empty when it has none
}

// DefaultCache is where parts are kept: $WATCHTOWER_LAB_CACHE, or watchtower-lab
// in the user's cache folder.
func DefaultCache() (string, error) {
	if dir := os.Getenv("WATCHTOWER_LAB_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (set WATCHTOWER_LAB_CACHE to name one): %w", err)
	}
	return filepath.Join(dir, "watchtower-lab"), nil
}

// Builder builds parts into a cache.
type Builder struct {
	// Cache is the folder the built parts stay in.
	Cache string
	// Out gets the progress lines. Nothing is written when nothing is missing.
	Out io.Writer
	// Every is the time between two progress lines; 0 is ten seconds, or one
	// second, on the same line, when Out is a terminal.
	Every time.Duration

	src fs.FS // the parts' requirements; nil: the embedded ones
}

// Build makes the named parts, in the order of All, as far as they are missing
// from the cache, and returns where each is. Two builds at once into the same
// cache wait for one another. Cancelling ctx stops the compiler; what was
// finished stays.
func Build(ctx context.Context, cache string, names []string, out io.Writer) (map[string]Built, error) {
	selected, err := Select(names...)
	if err != nil {
		return nil, err
	}
	return (&Builder{Cache: cache, Out: out}).Build(ctx, selected)
}

// Missing returns those of the parts that are not in the cache.
func (b *Builder) Missing(selected []Part) ([]Part, error) {
	var missing []Part
	for _, p := range selected {
		files, err := p.files(b.source())
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(b.dir(p, files), p.Name)); err != nil {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// Build is the function of the same name for any parts.
func (b *Builder) Build(ctx context.Context, selected []Part) (map[string]Built, error) {
	missing, err := b.Missing(selected)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		if err := b.buildMissing(ctx, selected); err != nil {
			return nil, err
		}
	}
	built := make(map[string]Built, len(selected))
	for _, p := range selected {
		files, err := p.files(b.source())
		if err != nil {
			return nil, err
		}
		dir := b.dir(p, files)
		one := Built{Binary: filepath.Join(dir, p.Name)}
		if len(p.Assets) > 0 {
			one.Assets = dir
		}
		built[p.Name] = one
	}
	return built, nil
}

func (b *Builder) buildMissing(ctx context.Context, selected []Part) error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("the parts of the lab are compiled, and the go command is not on PATH: install Go from https://go.dev/dl: %w", err)
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return fmt.Errorf("create the cache of parts: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(b.Cache, "build.lock"), func() {
		fmt.Fprintln(b.Out, "another build of the lab's parts is running; waiting for it")
	})
	if err != nil {
		return err
	}
	defer unlock()
	missing, err := b.Missing(selected) // the build waited for may have made them
	if err != nil {
		return err
	}
	progress := newProgress(b.Out, b.Every, missing)
	progress.begin()
	for _, p := range missing {
		progress.start(p)
		if err := b.buildOne(ctx, p, progress); err != nil {
			progress.stop()
			return err
		}
		progress.finish()
	}
	return nil
}

// buildOne compiles one part into a temporary folder and renames it, so that a
// folder of the final name is always whole.
func (b *Builder) buildOne(ctx context.Context, p Part, progress *progress) error {
	files, err := p.files(b.source())
	if err != nil {
		return err
	}
	module := filepath.Join(b.Cache, "src", p.Module)
	if err := writeFiles(module, files); err != nil {
		return fmt.Errorf("write requirements of part %s: %w", p.Name, err)
	}
	if err := checkGo(ctx, p, module); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(b.Cache, ".building-"+p.Name+"-")
	if err != nil {
		return fmt.Errorf("build part %s: %w", p.Name, err)
	}
	defer os.RemoveAll(tmp)
	args := []string{"build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w " + p.LDFlags)}
	if p.Tags != "" {
		args = append(args, "-tags", p.Tags)
	}
	args = append(args, "-o", filepath.Join(tmp, p.Name), p.Package)
	log := &compilerLog{progress: progress}
	cmd := goCommand(ctx, module, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("build part %s: %w", p.Name, context.Cause(ctx))
		}
		return fmt.Errorf("build part %s: go %s: %w\n%s", p.Name, strings.Join(args, " "), err, log.tail())
	}
	if err := copyAssets(ctx, p, module, tmp); err != nil {
		return err
	}
	final := b.dir(p, files)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("build part %s: %w", p.Name, err)
	}
	if err := os.RemoveAll(final); err != nil {
		return fmt.Errorf("build part %s: %w", p.Name, err)
	}
	if err := os.Rename(tmp, final); err != nil {
		return fmt.Errorf("build part %s: %w", p.Name, err)
	}
	return nil
}

func (b *Builder) source() fs.FS {
	if b.src != nil {
		return b.src
	}
	return modules
}

func (b *Builder) dir(p Part, files map[string][]byte) string {
	return filepath.Join(b.Cache, p.Name+"-"+p.Version+"-"+hash(p, files))
}

// goCommand runs go in a module, free of the workspace and flags of whoever
// started the lab. A cancelled build ends the compilers too.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "PWD="+dir)
	killGroup(cmd)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// checkGo fails, in the go command's own words, where Go is older than the
// part's go line and may not fetch a newer one.
func checkGo(ctx context.Context, p Part, module string) error {
	cmd := goCommand(ctx, module, "list", "-m")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("build part %s: %w", p.Name, context.Cause(ctx))
		}
		return fmt.Errorf("build part %s: the go command on PATH cannot be used: %w\n%s", p.Name, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func copyAssets(ctx context.Context, p Part, module, dest string) error {
	if len(p.Assets) == 0 {
		return nil
	}
	out, err := goCommand(ctx, module, "list", "-m", "-f", "{{.Dir}}", p.Path).Output()
	if err != nil {
		return fmt.Errorf("find the files of part %s: %w", p.Name, err)
	}
	root := strings.TrimSpace(string(out))
	for _, name := range p.Assets {
		if err := copyTree(filepath.Join(root, name), filepath.Join(dest, name)); err != nil {
			return fmt.Errorf("copy %s of part %s: %w", name, p.Name, err)
		}
	}
	return nil
}

// copyTree copies a folder with its own modes: files in the module cache are
// read-only, and so would the copy be.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
}

// writeFiles leaves files alone that hold the same bytes already.
func writeFiles(dir string, files map[string][]byte) error {
	for name, data := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if old, err := os.ReadFile(file); err == nil && string(old) == string(data) {
			continue
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
