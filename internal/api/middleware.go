package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
)

const (
	requestIDHeader = "X-Request-Id"
	maxBodyBytes    = 1 << 20
)

// contentPolicy lets a page load its own style sheet and icon and nothing
// else: no script at all, no frame, no form to elsewhere.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// soundID is what a request ID given by the caller may look like; anything
// else could forge log lines.
var soundID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID gives every request a name that stands in the answer and the log.
func requestID(c *gin.Context) {
	id := c.GetHeader(requestIDHeader)
	if !soundID.MatchString(id) {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		id = hex.EncodeToString(b[:])
	}
	c.Header(requestIDHeader, id)
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), requestIDKey{}, id))
	c.Next()
}

type requestIDKey struct{}

func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// recoverPanics turns a panic into an answer and a log line with the stack.
func recoverPanics(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // net/http's own way to drop a connection
			}
			log.ErrorContext(c.Request.Context(), "request panicked", "method", c.Request.Method, "route", route(c),
				"request", requestIDOf(c.Request.Context()), "panic", v, "stack", string(debug.Stack()))
			if c.Writer.Written() {
				c.Abort()
				return
			}
			problem(c, http.StatusInternalServerError, internalDetail(c.Request.Context()))
		}()
		c.Next()
	}
}

// secure sets the headers that keep an answer from being used for anything
// but what it is.
func secure(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if isAPI(c) {
		h.Set("Cache-Control", "no-store")
	}
	c.Next()
}

// limit bounds the body and the time of a request.
func limit(c *gin.Context) {
	bound := requestTimeout
	if route(c) == signalsRoute {
		bound = signalsTimeout
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), bound)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBodyBytes)
	c.Next()
}

func isAPI(c *gin.Context) bool { return strings.HasPrefix(c.Request.URL.Path, "/api/") }

// problem ends a request with an RFC 9457 error.
func problem(c *gin.Context, status int, detail string) {
	body, _ := json.Marshal(huma.NewError(status, detail)) // plain strings and a number
	c.Abort()
	c.Data(status, "application/problem+json", body)
}

// internalDetail tells the user where to look, and nothing of what happened.
func internalDetail(ctx context.Context) string {
	return "the request could not be answered; the log has the reason under request " + requestIDOf(ctx)
}
