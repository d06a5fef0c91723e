package fault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Empty has Prometheus answer that there is nothing: success, no result.
func Empty() Mode {
	return Mode{rewrite: func(answer map[string]any) {
		switch data := answer["data"].(type) {
		case []any:
			answer["data"] = []any{}
		case map[string]any:
			if _, ok := data["result"]; ok {
				data["result"] = []any{}
				if kind := data["resultType"]; kind != "matrix" {
					data["resultType"] = "vector"
				}
			}
		}
	}}
}

// NaN has Prometheus answer with NaN for every value.
func NaN() Mode {
	return Mode{rewrite: func(answer map[string]any) {
		data, _ := answer["data"].(map[string]any)
		switch result := data["result"].(type) {
		case []any:
			if len(result) == 2 && (data["resultType"] == "scalar") {
				result[1] = "NaN"
				return
			}
			for _, r := range result {
				if series, ok := r.(map[string]any); ok {
					spoil(series["value"])
					if values, ok := series["values"].([]any); ok {
						for _, v := range values {
							spoil(v)
						}
					}
				}
			}
		}
	}}
}

// spoil turns a sample [time, "value"] into one of NaN.
func spoil(sample any) {
	if pair, ok := sample.([]any); ok && len(pair) == 2 {
		pair[1] = "NaN"
	}
}

// Partial has Prometheus warn that its answer is not whole, as a Thanos or a
// remote read does.
func Partial() Mode {
	return Mode{rewrite: func(answer map[string]any) {
		warnings, _ := answer["warnings"].([]any)
		answer["warnings"] = append(warnings, "a store did not answer: the result is partial")
	}}
}

// rewriteBody changes an answer of Prometheus's API; any other answer passes
// as it is.
func rewriteBody(resp *http.Response, rewrite func(map[string]any)) error {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return fmt.Errorf("read the target's answer: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // times are to stay as they were
	var answer map[string]any
	if err := decoder.Decode(&answer); err == nil && answer["status"] == "success" {
		rewrite(answer)
		if body, err = json.Marshal(answer); err != nil {
			return fmt.Errorf("encode the changed answer: %w", err)
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}
