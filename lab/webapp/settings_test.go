package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func TestABadSettingEndsWithCode2AndItsName(t *testing.T) {
	for variable, value := range map[string]string{
		"METRICS_DIALECT": "prometheus,statsd", "DROP_RATE": "1.1", "LOG_FORMAT": "xml", "BASE_ERROR_RATE": "1.5", "ERROR_RATE": "5%",
		"ERROR_ROUTE": "/nowhere", "ERROR_BURST": "0.5", "LATENCY_MS": "-1", "LATENCY_FACTOR": "NaN",
		"LATENCY_TAIL": "0.1", "MEMORY_LEAK_MB_PER_S": "much", "CRASH_AFTER": "10", "NEVER_READY": "maybe",
		"START_DELAY": "-1s", "HANG": "often", "DOWNSTREAM_URL": "payments:80", "DOWNSTREAM_OUTAGE": "2",
		"SEED": "x", "PORT": "70000", "POD_IP": "localhost",
	} {
		t.Run(variable, func(t *testing.T) {
			var stderr bytes.Buffer
			if code := run(context.Background(), map[string]string{variable: value}, &bytes.Buffer{}, &stderr); code != 2 {
				t.Fatalf("exit code %d", code)
			}
			if !strings.Contains(stderr.String(), variable+"=") {
				t.Fatalf("the message does not name it: %s", stderr.String())
			}
		})
	}
}

func TestEverySettingThatIsBadIsNamed(t *testing.T) {
	_, err := readSettings(map[string]string{"ERROR_RATE": "x", "HANG": "x", "ERROR_BURST": "x"})
	for _, name := range []string{"ERROR_RATE", "HANG", "ERROR_BURST"} {
		if err == nil || !strings.Contains(err.Error(), name+"=") {
			t.Errorf("%s is not in: %v", name, err)
		}
	}
}

func TestDialectsThatShareAMetricAreRefused(t *testing.T) {
	for list, ok := range map[string]bool{
		"prometheus,node": false, "spring,spring-buckets": false, "otel,otel-native": false, "prometheus,aspnet": false,
		"prometheus,otel,istio": true, "linkerd, envoy ,grpc": true, "prometheus,prometheus": false,
	} {
		_, err := readSettings(map[string]string{"METRICS_DIALECT": list})
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "METRICS_DIALECT=") {
			t.Errorf("%s: %v", list, err)
		}
	}
}

func TestABurstTooShortForItsRateIsRefused(t *testing.T) {
	if _, err := readSettings(map[string]string{"ERROR_RATE": "0.9", "ERROR_BURST": "2"}); err == nil {
		t.Fatal("accepted")
	}
	if _, err := readSettings(map[string]string{"ERROR_RATE": "0.9", "ERROR_BURST": "9"}); err != nil {
		t.Fatal(err)
	}
}

func TestSettingsThatMeanSomething(t *testing.T) {
	s, err := readSettings(map[string]string{
		"POD_IP": "127.0.3.4", "CRASH_AFTER": "0s", "HANG": "3s", "LATENCY_TAIL": "0.25:400", "SEED": "0",
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.addr != "127.0.3.4:8080" || !s.crashes || s.crashAfter != 0 || !s.hangs || s.hangAfter != 3*time.Second ||
		s.tailShare != 0.25 || s.tailExtra != 400*time.Millisecond || !s.seeded || s.baseErrorRate != 0.001 {
		t.Fatalf("got %+v", s)
	}
}

func TestEverySettingIsInTheReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("settings.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, part := range strings.Split(string(code), `"`) {
		if len(part) > 3 && strings.ToUpper(part) == part && strings.Trim(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" {
			names[part] = true
		}
	}
	if len(names) < 15 {
		t.Fatalf("only %d settings found", len(names))
	}
	for name := range names {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md has no %s", name)
		}
	}
}
