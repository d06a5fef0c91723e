package release

import (
	"errors"
	"time"
)

// Code is a machine-readable kind of error.
type Code string

// The codes.
const (
	CodeNotFound     Code = "not_found"
	CodeInvalid      Code = "invalid"
	CodeVoid         Code = "void"    // the ground of an action fell away
	CodeRefused      Code = "refused" // a rule forbids it; trying again will not help
	CodeUnavailable  Code = "unavailable"
	CodeRateLimited  Code = "rate_limited"
	CodeTooExpensive Code = "too_expensive"
	CodePartial      Code = "partial"
	CodeBadQuery     Code = "bad_query"
	CodeInternal     Code = "internal"
)

// Error carries a code and words for the user; Err is for the log.
type Error struct {
	Code    Code
	Message string
	Err     error
	// RetryAfter is how long the other side asked to be left alone; 0 when it
	// did not say.
	RetryAfter time.Duration
}

// Error returns the words and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// E makes an Error.
func E(code Code, message string, err error) *Error {
	return &Error{Code: code, Message: message, Err: err}
}

// ErrorCode returns the code of the first Error in err's chain, CodeInternal
// for another error, "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// RetryAfter returns how long the other side asked to be left alone, 0 when it
// did not say.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
