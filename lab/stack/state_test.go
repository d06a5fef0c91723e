package stack

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAStateFolderHoldsOneLabAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openState(dir); err == nil || !strings.Contains(err.Error(), "runs on "+dir) {
		t.Errorf("error = %v, want that a lab runs there", err)
	}
	s.close()
	again, err := openState(dir)
	if err != nil {
		t.Fatalf("a folder whose lab has ended cannot be used again: %v", err)
	}
	again.close()
}

func TestANewLabKeepsTheCatalogueAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(catalogueName) // made by `lab images add` before the first start
	s, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	write("data/old")
	write(kubeconfigFile)
	s.close()
	s, err = openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for name, want := range map[string]bool{catalogueName: true, "data/old": false, kubeconfigFile: false} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

func TestAFolderOfSomethingElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "data")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openState(dir); err == nil || !strings.Contains(err.Error(), "not a lab's") {
		t.Errorf("error = %v, want a refusal", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("a refused folder was changed: %v", err)
	}
}

func TestFindTellsARunningLabFromNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := Find(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("of no folder: %v, want ErrNotRunning", err)
	}
	s, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "being started") {
		t.Errorf("of a lab that is not ready: %v, want ErrNotRunning and why", err)
	}
	if err := s.publish(Info{RegistryAddr: "127.0.0.1:5000"}); err != nil {
		t.Fatal(err)
	}
	if info, err := Find(dir); err != nil || info.RegistryAddr != "127.0.0.1:5000" {
		t.Errorf("of a running lab: %+v, %v", info, err)
	}
	s.close()
	if _, err := Find(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("of a lab that has ended: %v, want ErrNotRunning", err)
	}
}

// holdState is what TestMain does in a child process: it holds a state folder,
// and does not end on SIGTERM when told so.
func holdState(dir string) {
	s, err := openState(dir)
	if err != nil {
		panic(err)
	}
	if err := s.publish(Info{}); err != nil {
		panic(err)
	}
	if os.Getenv("LAB_TEST_STUBBORN") != "" {
		ignoreTerm()
	}
	select {}
}

func TestEndEndsTheProcessThatHoldsTheLab(t *testing.T) {
	for name, stubborn := range map[string]string{"with SIGTERM": "", "and kills it after the grace": "yes"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "LAB_TEST_HOLD="+dir, "LAB_TEST_STUBBORN="+stubborn)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- child.Wait() }()
			t.Cleanup(func() { _ = child.Process.Kill() })
			await(t, func() error { _, err := Find(dir); return err })
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := End(ctx, dir, 200*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			err := <-ended
			wantKilled := stubborn != ""
			if killed := strings.Contains(err.Error(), "killed"); killed != wantKilled {
				t.Errorf("it ended with %q, killed should be %v", err, wantKilled)
			}
			if err := End(ctx, dir, time.Second); !errors.Is(err, ErrNotRunning) {
				t.Errorf("a second End: %v, want ErrNotRunning", err)
			}
		})
	}
}

func TestEndBelievesTheLockNotTheNumber(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	bystander := exec.Command("sleep", "60")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	// The number of the holder is used again by another process.
	if err := os.WriteFile(filepath.Join(dir, lockName), []byte(`{"pid":`+itoa(bystander.Process.Pid)+`,"started":"1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := End(t.Context(), dir, time.Millisecond); err == nil || !strings.Contains(err.Error(), "not by the process") {
		t.Errorf("error = %v, want a refusal", err)
	}
	if err := bystander.Process.Signal(syscallZero); err != nil {
		t.Errorf("the bystander was ended: %v", err)
	}
}
