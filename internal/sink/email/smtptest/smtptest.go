// Package smtptest stands in for a mail server: it asks who sends, offers
// STARTTLS where it has a certificate, refuses what breaks RFC 5321 and 5322,
// and keeps the mail it took.
package smtptest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

// Mail is a mail as it was taken.
type Mail struct {
	From       string    `json:"from"`
	To         []string  `json:"to"` // of the envelope
	Subject    string    `json:"subject"`
	MessageID  string    `json:"message_id"`
	References string    `json:"references"`
	Date       time.Time `json:"date"`
	Text       string    `json:"text"`
	HTML       string    `json:"html"`
	TLS        bool      `json:"tls"`
	// At is when it was taken.
	At time.Time `json:"-"`
}

// Server is a mail server.
type Server struct {
	standin.Door

	smtp *smtp.Server

	mu       sync.Mutex
	user     string
	password string
	mails    []Mail
	unknown  []string
}

// New makes a mail server. Without a user everybody may send; without a
// certificate there is no TLS.
func New(user, password string, certificate *tls.Certificate) *Server {
	s := &Server{user: user, password: password}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{server: s, conn: c}, nil }))
	s.smtp.Domain, s.smtp.AllowInsecureAuth = "mail.example", true
	s.smtp.MaxMessageBytes, s.smtp.MaxLineLength, s.smtp.MaxRecipients = 1<<20, 1000, 100
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = time.Minute, time.Minute
	s.smtp.ErrorLog = log.New(io.Discard, "", 0)
	if certificate != nil {
		s.smtp.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
	}
	return s
}

// Serve takes mail until Close. Its error is nil after Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.smtp.Serve(l); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends the server and its connections.
func (s *Server) Close() error { return s.smtp.Close() }

// Change gives the user another password.
func (s *Server) Change(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
}

// Unknown makes an address one that there is not.
func (s *Server) Unknown(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown = append(s.unknown, address)
}

// Mails are those that were taken.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// session is a connection that says who it is.
type session struct {
	server *Server
	conn   *smtp.Conn
	known  bool
	lose   bool
	mail   Mail
}

func (s *session) AuthMechanisms() []string {
	if s.server.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		if user != s.server.user || password != s.server.password {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.server.Note(standin.Request{At: time.Now(), Method: "MAIL", Path: from})
	f := s.server.Next("MAIL")
	switch {
	case f.Cut:
		_ = s.conn.Conn().Close()
		return errors.New("cut")
	case f.Hang:
		_, _ = io.Copy(io.Discard, s.conn.Conn())
		return errors.New("gone")
	case f.HTML:
		_, _ = io.WriteString(s.conn.Conn(), "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html>\r\n")
		_ = s.conn.Conn().Close()
		return errors.New("no mail server")
	case f.Echo:
		return &smtp.SMTPError{Code: max(f.Status, 500), EnhancedCode: smtp.NoEnhancedCode, Message: "cannot take " + s.server.user + " with " + s.server.password}
	case f.Status != 0:
		return &smtp.SMTPError{Code: f.Status, EnhancedCode: smtp.NoEnhancedCode, Message: "as asked for"}
	}
	s.lose = f.Lose
	if s.server.user != "" && !s.known {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	_, s.mail.TLS = s.conn.TLSConnectionState()
	s.mail.From = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if slices.Contains(s.server.unknown, to) {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user here"}
	}
	s.mail.To = append(s.mail.To, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.mail.read(text); err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	s.server.mu.Lock()
	s.mail.At = time.Now()
	s.server.mails = append(s.server.mails, s.mail)
	s.server.mu.Unlock()
	if s.lose {
		_ = s.conn.Conn().Close()
	}
	return nil
}

func (s *session) Reset() { s.mail, s.lose = Mail{}, false }

func (s *session) Logout() error { return nil }

// read takes a mail of text and HTML apart.
func (m *Mail) read(text []byte) error {
	msg, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return err
	}
	for _, name := range []string{"From", "To", "Date", "Subject", "Message-Id"} {
		if len(msg.Header[name]) != 1 {
			return fmt.Errorf("%d headers %s", len(msg.Header[name]), name)
		}
	}
	if m.Date, err = msg.Header.Date(); err != nil {
		return err
	}
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return err
	}
	m.MessageID, m.References = msg.Header.Get("Message-Id"), msg.Header.Get("References")
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return fmt.Errorf("content type %q: %w", kind, err)
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var body io.Reader = p
		if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			body = quotedprintable.NewReader(p)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			m.HTML = string(text)
		} else {
			m.Text = string(text)
		}
	}
}
