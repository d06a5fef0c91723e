package email

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/textproto"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// ended makes the error of a connection that ended with ctx say so.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

// status is the mail server's, 0 where it gave none.
func status(err error) int {
	var sent *mail.SendError
	if errors.As(err, &sent) {
		return sent.ErrorCode()
	}
	var said *textproto.Error
	if errors.As(err, &said) {
		return said.Code
	}
	return 0
}

// refusesAddress reports that the server will not take mail for an address.
func refusesAddress(err error) bool {
	var sent *mail.SendError
	return errors.As(err, &sent) && sent.Reason == mail.ErrSMTPRcptTo && sent.ErrorCode() >= 500
}

// fault makes an error one of ours: 4xx, and a connection that fails, may pass;
// 5xx will not.
func (s *Sink) fault(err error) error {
	if err == nil {
		return nil
	}
	what := "send mail at " + service(s.cfg.Name)
	code, next := release.CodeUnavailable, outbound.Advice(err)
	switch n := status(err); {
	case n == 535 || n == 530 || n == 534:
		code, next = release.CodeInvalid, "the mail server does not take user and password: see user and password_file of the receiver"
	case refusesAddress(err):
		code, next = release.CodeInvalid, "the mail server refuses an address: see to of the receiver"
	case n == 552 || n == 554 || n >= 500:
		code, next = release.CodeInvalid, "the mail server refuses the mail: see server and from of the receiver"
	case errors.Is(err, mail.ErrNoSupportedAuthDiscovered), n == 0 && strings.Contains(err.Error(), "does not support SMTP AUTH"):
		code, next = release.CodeInvalid, "the mail server knows no way to check user and password that may be used, which without TLS are none of those that show the password: see server and plaintext of the receiver"
	case n == 0 && strings.Contains(err.Error(), "STARTTLS"):
		code, next = release.CodeInvalid, "the mail server offers no TLS: use another port, or set plaintext"
	}
	if next != "" {
		what += "; " + next
	}
	return release.E(code, what, told{s.plain(err), err})
}

// told is an error in words without secrets.
type told struct {
	text string
	err  error
}

func (t told) Error() string { return t.text }

// Is lets the reason be asked for, such as a deadline, without its words.
func (t told) Is(target error) bool { return errors.Is(t.err, target) }

// plain is an error in one line, without the password in any of the forms in
// which it goes over the line.
func (s *Sink) plain(err error) string {
	text := err.Error()
	if s.cfg.PasswordFile != "" {
		if password, err := outbound.ReadSecret(s.cfg.PasswordFile); err == nil {
			for _, form := range []string{password, "\x00" + s.cfg.User + "\x00" + password} {
				text = strings.NewReplacer(form, "[secret]", base64.StdEncoding.EncodeToString([]byte(form)), "[secret]").Replace(text)
			}
		}
	}
	return release.OneLine(text, 500)
}
