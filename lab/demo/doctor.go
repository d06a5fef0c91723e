package demo

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// doctor has `watchtower doctor` try every part, and prints what it says. It is
// run after the story: it sends each receiver a message that is marked as a test.
func (d *demo) doctor(ctx context.Context) error {
	d.say.title("Does every part work? watchtower doctor")
	return d.within(ctx, time.Minute, func(ctx context.Context) error {
		config := d.service.ConfigFile()
		binary, err := filepath.Abs(d.opt.Watchtower) // it runs elsewhere
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, binary, "doctor", "--config", config)
		cmd.Dir = filepath.Dir(config)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err = cmd.Run()
		for line := range strings.Lines(out.String()) {
			d.say.line("%s", strings.TrimRight(line, "\n"))
		}
		if err != nil {
			return fmt.Errorf("watchtower doctor: %w: %s", err, strings.TrimSpace(errs.String()))
		}
		return nil
	})
}
