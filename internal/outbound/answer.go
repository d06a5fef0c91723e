package outbound

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	maxSecretBytes  = 64 << 10
	maxDetailRunes  = 300
	maxRetryAfter   = time.Hour
	redacted        = "[secret]"
	shortestSecrets = 4 // shorter ones are not looked for in answers
)

func (c *Client) secret() (string, error) {
	if c.cfg.SecretFile == "" {
		return "", nil
	}
	return ReadSecret(c.cfg.SecretFile)
}

// ReadSecret reads a file that holds one secret, a word of printable ASCII
// with white space around it at most. Its error names the file, never the
// content.
func ReadSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	switch {
	case secret == "":
		return "", fmt.Errorf("secret file %s is empty", file)
	case len(text) > maxSecretBytes || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("secret file %s holds more than one plain word", file)
	}
	return secret, nil
}

// detail is what an answer says in words: the message of a JSON object, a JSON
// string, or plain text; nothing of HTML. One line, cut, without the secrets.
func detail(resp *http.Response, body []byte, secrets []string) string {
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		return OneLine("redirects to "+origin(to)+to.Path+", which is not followed: configure where it is now", maxDetailRunes)
	}
	if isHTML(resp, body) {
		return ""
	}
	text := string(body[:min(len(body), 64<<10)])
	var object struct {
		Message string          `json:"message"`
		Error   string          `json:"error"`
		Errors  json.RawMessage `json:"errors"`
	}
	var plain string
	switch {
	case json.Unmarshal(body, &object) == nil && object.Message+object.Error != "":
		text = object.Message
		if text == "" {
			text = object.Error
		}
		var reasons []string
		if json.Unmarshal(object.Errors, &reasons) == nil && len(reasons) > 0 {
			text += ": " + strings.Join(reasons, "; ")
		}
	case json.Unmarshal(body, &plain) == nil:
		text = plain
	}
	for _, secret := range secrets {
		if len(secret) >= shortestSecrets {
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	return OneLine(text, maxDetailRunes)
}

// OneLine makes text from outside fit for a line of ours: control characters
// and runs of white space become one space, and it is cut to a number of
// characters.
func OneLine(text string, maxRunes int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "�"))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxRunes {
		return strings.TrimSpace(string(runes[:maxRunes-1])) + "…"
	}
	return text
}

// retryAfter reads the Retry-After header, in seconds or as a date; 0 without
// one, at most an hour.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	value := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
