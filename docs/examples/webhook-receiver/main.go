// Command webhook-receiver is an example of a service that takes Watchtower's
// events: it checks who sent a request and when, drops what it has seen, and
// prints what it was told.
//
//	WEBHOOK_SECRET=… go run . 127.0.0.1:8090
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	if len(os.Args) != 2 || os.Getenv("WEBHOOK_SECRET") == "" {
		log.Fatal("usage: WEBHOOK_SECRET=… webhook-receiver ADDRESS")
	}
	r := &receiver{secret: os.Getenv("WEBHOOK_SECRET"), told: func(e event) { fmt.Printf("%s %s: %s\n", e.Time, e.Type, e.Data.Headline) }}
	server := &http.Server{Addr: os.Args[1], Handler: r, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// event is as much of an event as this receiver needs.
type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Time string `json:"time"`
	Data struct {
		Key      string `json:"key"`
		Sequence int    `json:"sequence"`
		State    string `json:"state"`
		Headline string `json:"headline"`
	} `json:"data"`
}

// receiver takes events, each once. A service that must not forget keeps
// latest in its database.
type receiver struct {
	secret string
	told   func(event)

	mu     sync.Mutex
	latest map[string]int // sequence of the last event, by key
}

// A request that was signed longer ago is refused: whoever recorded it cannot
// send it again.
const signedFor = 5 * time.Minute

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 4<<20))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	if err := verify(req.Header.Get("Watchtower-Signature"), body, r.secret, time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil || e.Data.Key == "" {
		http.Error(w, "no event of Watchtower", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Events come in order, and again where an answer was lost.
	if e.Data.Sequence > r.latest[e.Data.Key] {
		r.told(e)
		if r.latest == nil {
			r.latest = map[string]int{}
		}
		r.latest[e.Data.Key] = e.Data.Sequence
	}
	w.WriteHeader(http.StatusNoContent)
}

// verify checks a header such as "t=1767323045,v1=5257a8…,v1=…": one of the
// signatures must be that of the secret, and the time must be now.
func verify(header string, body []byte, secret string, now time.Time) error {
	var stamp string
	var signatures []string
	for part := range strings.SplitSeq(header, ",") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "t":
			stamp = value
		case "v1":
			signatures = append(signatures, value)
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("the request is not signed")
	}
	if now.Sub(time.Unix(seconds, 0)).Abs() > signedFor {
		return fmt.Errorf("the request is not of now")
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	for _, s := range signatures {
		if got, err := hex.DecodeString(s); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return fmt.Errorf("the signature is wrong")
}
