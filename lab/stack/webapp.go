package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

const webappPackage = "github.com/watchtower-verify/watchtower/lab/webapp"

// fillsCatalogue says whether the images of the sample service go into the
// catalogue: into the lab's own always, into a file that was named only to make
// it.
func (l *Lab) fillsCatalogue() (bool, error) {
	if l.opt.Catalogue == l.state.path(catalogueName) {
		return true, nil
	}
	_, err := os.Stat(l.opt.Catalogue)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("open image catalogue: %w", err)
	}
	return false, nil
}

// findWebapp returns the executable of the sample service: the one that was
// named, the one beside this executable, or one built from the lab's sources,
// when the working folder is in their module.
func (l *Lab) findWebapp(ctx context.Context) (string, error) {
	if l.opt.Webapp != "" {
		path, err := exec.LookPath(l.opt.Webapp)
		if err != nil {
			return "", fmt.Errorf("executable of the sample service: %w", err)
		}
		return filepath.Abs(path)
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "webapp")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	out := l.state.path("bin", "webapp")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", out, webappPackage)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the sample service (or name its executable, or put one called webapp beside lab): %w\n%s", err, bytes.TrimSpace(said.Bytes()))
	}
	return out, nil
}
