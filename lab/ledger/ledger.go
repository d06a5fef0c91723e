// Package ledger adds up what the lab's programs logged of requests: the truth
// that counts are held against.
package ledger

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/watchtower-verify/watchtower/lab/series"
)

// lines are the messages of lines that stand for one request each: of those who
// serve and of those who call.
var lines = map[string]bool{"request served": true, "request sent": true}

// probes are the routes that the kubelet asks.
var probes = map[string]bool{"/healthz": true, "/readyz": true}

// Sum is how many requests there were and how many failed.
type Sum struct{ Total, Failed int64 }

// Add returns both sums together.
func (s Sum) Add(o Sum) Sum { return Sum{s.Total + o.Total, s.Failed + o.Failed} }

// Ledger has the sums by pod, also of pods that are gone.
type Ledger map[string]Sum

// Of is the sum over the pods of one ReplicaSet; "" stands for all pods.
func (l Ledger) Of(replicaSet string) Sum {
	var sum Sum
	for pod, s := range l {
		if replicaSet == "" || strings.HasPrefix(pod, replicaSet+"-") {
			sum = sum.Add(s)
		}
	}
	return sum
}

// Read adds up the logs of a Deployment's pods, which log as JSON. Probes are
// left out. It refuses a log whose beginning is gone. stateDir is the lab's.
func Read(stateDir, namespace, workload string) (Ledger, error) {
	dir := filepath.Join(stateDir, "node", "pods")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read logs of %s/%s: %w", namespace, workload, err)
	}
	out := Ledger{}
	for _, e := range entries {
		pod, ok := podOf(e.Name(), namespace)
		if !ok || series.WorkloadOf(pod) != workload {
			continue
		}
		sum, err := readFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read log of %s/%s: %w", namespace, pod, err)
		}
		out[pod] = out[pod].Add(sum)
	}
	return out, nil
}

// podOf is the pod of a log file, "namespace_pod_container.log".
func podOf(file, namespace string) (string, bool) {
	parts := strings.Split(file, "_")
	if len(parts) != 3 || parts[0] != namespace || !strings.Contains(parts[2], ".log") {
		return "", false
	}
	return parts[1], true
}

var errCut = errors.New("its beginning is gone: send less, or sum it up sooner")

// readFile adds up one file. The oldest of a container begins with what the
// program says at its start; where it does not, older ones have been removed.
func readFile(path string) (sum Sum, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) { // pruned meanwhile
		return Sum{}, nil
	}
	if err != nil {
		return Sum{}, err
	}
	defer f.Close()
	_, err = os.Stat(path + ".1")
	oldest := err != nil
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for first := true; scanner.Scan(); first = false {
		failed, ok := request(scanner.Text())
		if !ok {
			continue
		}
		if first && oldest {
			return Sum{}, errCut
		}
		sum.Total++
		if failed {
			sum.Failed++
		}
	}
	return sum, scanner.Err()
}

// request reads a line as the node writes it, "<time> <stream> F <line>"; false
// when it is not of a request.
func request(text string) (failed, ok bool) {
	parts := strings.SplitN(text, " ", 4)
	if len(parts) != 4 {
		return false, false
	}
	var line struct {
		Msg    string `json:"msg"`
		Route  string `json:"route"`
		Failed bool   `json:"failed"`
	}
	if err := json.Unmarshal([]byte(parts[3]), &line); err != nil || !lines[line.Msg] || probes[line.Route] {
		return false, false
	}
	return line.Failed, true
}
