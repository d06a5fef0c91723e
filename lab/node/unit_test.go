package node

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/lab/images"
)

func TestNoProcessOutlivesAKilledAgent(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.Command(self)
	agent.Env = append(os.Environ(), "NODE_TEST_PROGRAM=agent", "NODE_TEST_DIR="+dir)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = agent.Process.Kill(); _ = agent.Wait() }()
	leader := readPID(t, filepath.Join(dir, "ready"))
	child := readPID(t, filepath.Join(dir, "child"))
	if !running(leader) || !running(child) {
		t.Fatal("they do not run")
	}
	if err := agent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return !running(leader) && !running(child) }, func() string {
		return fmt.Sprintf("after the agent: leader runs %t, its child %t", running(leader), running(child))
	})
}

func TestAnAgentKillsTheGroupsOfAnEarlierOneAndNobodyElses(t *testing.T) {
	dir := t.TempDir()
	start := func() *exec.Cmd {
		cmd := exec.Command("sleep", "1000")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	left, stranger := start(), start()
	earlier := &groups{dir: filepath.Join(dir, "agent-1"), log: slog.New(slog.DiscardHandler)}
	if err := os.Mkdir(earlier.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	earlier.add(left.Process.Pid)
	if err := os.WriteFile(earlier.path(stranger.Process.Pid), []byte("another start time"), 0o600); err != nil {
		t.Fatal(err)
	}
	now, err := openGroups(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer now.close()
	waitFor(t, func() bool { return !running(left.Process.Pid) }, func() string { return "the group that was left runs still" })
	if !running(stranger.Process.Pid) {
		t.Error("a process that only has the number was killed")
	}
	if entries, _ := os.ReadDir(earlier.dir); len(entries) != 0 {
		t.Errorf("%d records are left", len(entries))
	}
}

func TestAddressesAreOfTheRangeAndNeverGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := netip.MustParsePrefix(rapid.SampledFrom([]string{"127.9.1.0/24", "127.9.0.0/16", "127.0.0.0/24", "127.9.1.8/29"}).Draw(t, "prefix"))
		a := newAddresses(prefix)
		var held []netip.Addr
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "free") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				a.free(held[i])
				held = slices.Delete(held, i, i+1)
				continue
			}
			addr, err := a.take(rapid.SampledFrom([]string{"", "127.9.1.9", "10.0.0.1", "127.0.0.1"}).Draw(t, "wanted"))
			if err != nil {
				if len(held) < 5 {
					t.Fatalf("%v with %d taken", err, len(held))
				}
				continue
			}
			if !prefix.Contains(addr) || slices.Contains(held, addr) || addr.String() == "127.0.0.1" {
				t.Fatalf("took %s with %v held", addr, held)
			}
			held = append(held, addr)
		}
	})
}

func TestAnAddressIsUsedAgainAsLateAsCanBe(t *testing.T) {
	a := newAddresses(netip.MustParsePrefix("127.9.1.0/24"))
	first, err := a.take("")
	if err != nil {
		t.Fatal(err)
	}
	a.free(first)
	for range 200 {
		if addr, err := a.take(""); err != nil || addr == first {
			t.Fatalf("%s again, %v", addr, err)
		}
	}
}

func TestExpand(t *testing.T) {
	env := &environment{values: map[string]string{"A": "1", "B": "$(A)"}}
	for in, want := range map[string]string{
		"": "", "plain": "plain", "$(A)": "1", "x$(A)y$(A)": "x1y1", "$$(A)": "$(A)", "$$$(A)": "$1", "$(NONE)": "$(NONE)",
		"$(A": "$(A", "$A": "$A", "$": "$", "$(B)": "$(A)", "$()": "$()", "cost: 5$": "cost: 5$",
	} {
		if got := env.expand(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	client := fake.NewClientset(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "shop"}, Data: map[string]string{"K": "from map"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "shop"}, Data: map[string][]byte{"P": []byte("from secret")}},
	)
	yes := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "shop", UID: "u", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"n": "1"}},
		Spec:       corev1.PodSpec{NodeName: "node-1", ServiceAccountName: "sa"},
	}
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	limit := func(r, divisor string) *corev1.EnvVarSource {
		s := &corev1.ResourceFieldSelector{Resource: r}
		if divisor != "" {
			s.Divisor = resource.MustParse(divisor)
		}
		return &corev1.EnvVarSource{ResourceFieldRef: s}
	}
	mapKey := func(name, key string, optional *bool) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key, Optional: optional}}
	}
	secretKey := func(name, key string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}}
	}
	for name, c := range map[string]struct {
		env  []corev1.EnvVar
		from []corev1.EnvFromSource
		want []string
		err  string
	}{
		"the address is always there":      {want: []string{"POD_IP=127.9.1.1", "HOST=127.9.1.1", "HOSTNAME=a", "POD_ROOT=/root-of-pod"}},
		"the image's own":                  {want: []string{"IMAGE=1"}},
		"the container's over the image's": {env: []corev1.EnvVar{{Name: "IMAGE", Value: "2"}}, want: []string{"IMAGE=2"}},
		"one made of another":              {env: []corev1.EnvVar{{Name: "A", Value: "x"}, {Name: "B", Value: "$(A)-$(IMAGE)"}}, want: []string{"B=x-1"}},
		"fields": {env: []corev1.EnvVar{
			{Name: "N", ValueFrom: field("metadata.name")},
			{Name: "S", ValueFrom: field("metadata.namespace")},
			{Name: "I", ValueFrom: field("status.podIP")},
			{Name: "L", ValueFrom: field("metadata.labels['app']")},
			{Name: "O", ValueFrom: field("spec.nodeName")},
			{Name: "H", ValueFrom: field("status.hostIP")},
			{Name: "M", ValueFrom: field("metadata.annotations")},
			{Name: "U", ValueFrom: field("metadata.uid")},
			{Name: "X", ValueFrom: field("spec.serviceAccountName")},
		}, want: []string{"N=a", "S=shop", "I=127.9.1.1", "L=web", "O=node-1", "H=127.0.0.1", `M=n="1"`, "U=u", "X=sa"}},
		"a field nobody knows":     {env: []corev1.EnvVar{{Name: "N", ValueFrom: field("spec.nothing")}}, err: `no field "spec.nothing"`},
		"limits":                   {env: []corev1.EnvVar{{Name: "M", ValueFrom: limit("limits.memory", "1Mi")}, {Name: "C", ValueFrom: limit("limits.cpu", "")}, {Name: "Q", ValueFrom: limit("limits.cpu", "1m")}}, want: []string{"M=64", "C=1", "Q=250"}},
		"a resource nobody knows":  {env: []corev1.EnvVar{{Name: "M", ValueFrom: limit("wishes.memory", "")}}, err: "no resource"},
		"a key of a ConfigMap":     {env: []corev1.EnvVar{{Name: "A", ValueFrom: mapKey("c", "K", nil)}}, want: []string{"A=from map"}},
		"a missing key":            {env: []corev1.EnvVar{{Name: "A", ValueFrom: mapKey("c", "Z", nil)}}, err: "couldn't find key Z in ConfigMap shop/c"},
		"a missing key that may":   {env: []corev1.EnvVar{{Name: "A", ValueFrom: mapKey("c", "Z", &yes)}}, want: []string{"IMAGE=1"}},
		"a missing map that may":   {env: []corev1.EnvVar{{Name: "A", ValueFrom: mapKey("z", "Z", &yes)}}, want: []string{"IMAGE=1"}},
		"a key of a Secret":        {env: []corev1.EnvVar{{Name: "A", ValueFrom: secretKey("s", "P")}}, want: []string{"A=from secret"}},
		"a missing Secret":         {env: []corev1.EnvVar{{Name: "A", ValueFrom: secretKey("z", "P")}}, err: `secret "z" not found`},
		"a whole ConfigMap":        {from: []corev1.EnvFromSource{{Prefix: "X_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}}, want: []string{"X_K=from map"}},
		"a whole Secret":           {from: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}, want: []string{"P=from secret"}},
		"a whole map that is gone": {from: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "z"}}}}, err: `configmap "z" not found`},
	} {
		t.Run(name, func(t *testing.T) {
			container := &corev1.Container{Env: c.env, EnvFrom: c.from, Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{
				corev1.ResourceMemory: resource.MustParse("64Mi"), corev1.ResourceCPU: resource.MustParse("250m"),
			}}}
			im := images.Image{Env: map[string]string{"IMAGE": "1"}}
			got, err := buildEnvironment(t.Context(), client, pod, container, im, places{podIP: "127.9.1.1", hostIP: hostIP, root: "/root-of-pod"})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range c.want {
				if !slices.Contains(got.list(), line) {
					t.Errorf("no %s in %v", line, got.list())
				}
			}
		})
	}
}

func TestLookPathSeesTheContainersPathAndDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(dir, "bin", "tool")
	if err := os.WriteFile(tool, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"tool": tool, "./bin/tool": tool, tool: tool, "other": "", "./data": "", "./bin": ""} {
		got, err := lookPath(file, []string{"A=b", "PATH=/nowhere:" + filepath.Join(dir, "bin")}, dir)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s is %q, %v; want %q", file, got, err, want)
		}
	}
}

func TestVerdictCountNeedsSoManyInARow(t *testing.T) {
	v := verdictCount{successes: 2, failures: 3}
	var got []string
	for _, r := range "+-++--+---++" {
		if changed, ok := v.add(r == '+'); changed {
			got = append(got, fmt.Sprint(ok))
		} else {
			got = append(got, ".")
		}
	}
	if s := strings.Join(got, " "); s != ". . . true . . . . . false . true" {
		t.Errorf("got %s", s)
	}
}

func TestALogKeepsItsLinesAndItsBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	log, err := openLogFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer log.close()
	began := time.Now()
	out := log.stream("stdout")
	for _, piece := range []string{"one\ntw", "o\n\nthr", "ee"} {
		if n, err := out.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	out.flush()
	long := strings.Repeat("x", logLineBytes+5)
	_, _ = log.stream("stderr").Write([]byte(long + "\n"))
	read := func(view logView) string {
		var b bytes.Buffer
		if err := readLog(context.Background(), &b, func() {}, path, view, func() bool { return false }); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	all := logView{tail: -1, limit: -1}
	if got, want := read(all), "one\ntwo\n\nthree\n"+long+"\n"; got != want {
		t.Errorf("got %q…", got[:min(len(got), 40)])
	}
	tail := all
	tail.tail, tail.limit = 2, 8
	if got := read(tail); got != "three\nxx" {
		t.Errorf("the tail is %q", got)
	}
	stamped := all
	stamped.timestamps, stamped.limit = true, 30
	if at, err := time.Parse(time.RFC3339Nano, strings.Fields(read(stamped))[0]); err != nil || at.Before(began) {
		t.Errorf("time %s, %v", at, err)
	}
	later := all
	later.since = time.Now().Add(time.Hour)
	if got := read(later); got != "" {
		t.Errorf("from the future: %q", got)
	}
	before := all
	before.until = began
	if got := read(before); got != "" {
		t.Errorf("from before: %q", got)
	}

	for range 3 * logFileBytes / (logLineBytes + 1) {
		_, _ = out.Write([]byte(long[:logLineBytes] + "\n"))
	}
	for _, p := range []string{path, path + ".1"} {
		info, err := os.Stat(p)
		if err != nil || info.Size() > logFileBytes {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
}

func TestPruneLogsRemovesTheOldest(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprintf("%d.log", i))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i) * time.Minute)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	pruneLogs(dir, 2)
	left, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(left) != 2 || filepath.Base(left[0]) != "3.log" {
		t.Errorf("left: %v", left)
	}
}

func FuzzLogEntries(f *testing.F) {
	f.Add([]byte("2026-01-02T15:04:05.000000000Z stdout F hello\n"))
	f.Add([]byte("2026-01-02T15:04:05Z stdout P \n x"))
	f.Fuzz(func(t *testing.T, content []byte) {
		lines := logView{tail: -1, limit: -1}.collect(bufio.NewReader(bytes.NewReader(content)), nil)
		total := 0
		for _, line := range lines {
			total += len(line)
		}
		if total > len(content) {
			t.Fatalf("%d bytes came of %d", total, len(content))
		}
	})
}
