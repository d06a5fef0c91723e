package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "node", "pods", name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

const at = "2026-01-02T15:04:05.678901234Z stdout F "

func TestRequestsAreSummedByPodAndReplicaSet(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "node", "pods"), 0o700); err != nil {
		t.Fatal(err)
	}
	start := at + `{"msg":"webapp serves"}` + "\n"
	good := at + `{"msg":"request served","route":"/api/cart","method":"GET","status":200,"failed":false}` + "\n"
	bad := at + `{"msg":"request served","route":"/api/cart","method":"GET","status":500,"failed":true}` + "\n"
	probe := at + `{"msg":"request served","route":"/readyz","method":"GET","status":200,"failed":false}` + "\n"
	other := start + at + "panic: {}\n" + "\n" + `{"msg":"request served"}` + "\n"
	sent := at + `{"msg":"request sent","route":"/","status":0,"failed":true,"pod":"x"}` + "\n"
	write(t, dir, "mall_shop-aaa-11111_shop.log", start+good+bad+probe+other+good)
	write(t, dir, "mall_shop-aaa-22222_shop.log.1", start+good)
	write(t, dir, "mall_shop-aaa-22222_shop.log", bad)
	write(t, dir, "mall_shop-bbb-11111_shop.log", start+sent)
	write(t, dir, "mall_shop-two-aaa-11111_shop.log", good) // of another workload
	write(t, dir, "town_shop-aaa-11111_shop.log", good)     // of another namespace
	l, err := Read(dir, "mall", "shop")
	if err != nil {
		t.Fatal(err)
	}
	for replicaSet, want := range map[string]Sum{
		"": {6, 3}, "shop-aaa": {5, 2}, "shop-bbb": {1, 1}, "shop-a": {},
	} {
		if got := l.Of(replicaSet); got != want {
			t.Errorf("ReplicaSet %q has %v, want %v", replicaSet, got, want)
		}
	}
	if got := l["shop-aaa-22222"]; got != (Sum{2, 1}) {
		t.Errorf("a pod with two files has %v", got)
	}
}

func TestALogThatLostItsBeginningIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "node", "pods"), 0o700); err != nil {
		t.Fatal(err)
	}
	line := at + `{"msg":"request served","route":"/","status":200,"failed":false}` + "\n"
	write(t, dir, "mall_shop-aaa-22222_shop.log.1", line)
	write(t, dir, "mall_shop-aaa-22222_shop.log", line)
	if _, err := Read(dir, "mall", "shop"); !errors.Is(err, errCut) {
		t.Errorf("error = %v", err)
	}
}

func TestWithoutLogsThereIsAnError(t *testing.T) {
	if _, err := Read(t.TempDir(), "mall", "shop"); err == nil {
		t.Error("no error")
	}
}
