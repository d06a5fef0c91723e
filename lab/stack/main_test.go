package stack

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const syscallZero = syscall.Signal(0)

func ignoreTerm()         { signal.Ignore(syscall.SIGTERM) }
func itoa(n int) string   { return strconv.Itoa(n) }
func isSet(n string) bool { return os.Getenv(n) != "" }

// TestMain lets the test binary be other programs too: the holder of a state
// folder, and the executable of an image.
func TestMain(m *testing.M) {
	switch {
	case isSet("LAB_TEST_HOLD"):
		holdState(os.Getenv("LAB_TEST_HOLD"))
	case isSet("LAB_TEST_SERVE"):
		serve()
	case isSet("LAB_TEST_PARENT"):
		parent(os.Getenv("LAB_TEST_PARENT"))
	}
	goleak.VerifyTestMain(tests{m})
}

// tests are run and leave no idle connections to parts that are gone.
type tests struct{ *testing.M }

func (t tests) Run() int {
	code := t.M.Run()
	http.DefaultClient.CloseIdleConnections()
	return code
}

// serve is a service of an image: ready, with one metric.
func serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "lab_test_up 1") })
	panic(http.ListenAndServe(os.Getenv("POD_IP")+":8080", mux))
}

// await asks until the answer is nil, for ten seconds.
func await(t *testing.T, ask func() error) {
	t.Helper()
	awaitFor(t, 10*time.Second, ask)
}

func awaitFor(t *testing.T, limit time.Duration, ask func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	t.Fatalf("after %s: %v", limit, err)
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
