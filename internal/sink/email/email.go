// Package email tells people of releases by mail: a mail for each thing that
// becomes of one, tied together so that mail programs show them as one
// conversation, each with an id of its own, by which mail servers know one that
// comes twice.
package email

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	stdmail "net/mail"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	defaultTimeout = 10 * time.Second
	portTLS        = "465"
)

// Config says who gets mail, and through which server.
type Config struct {
	// Name is what the receiver is called in the configuration; errors name it.
	Name string
	// Server is host:port. On port 465 TLS comes first; on others it is asked for,
	// and without it nothing is sent.
	Server string
	// From is the sender, with or without a name.
	From string
	// To are those who get the mail.
	To []string
	// User and PasswordFile are for servers that ask who sends; "" for others. The
	// file is read for each mail.
	User, PasswordFile string
	// Plaintext sends without TLS where the server has none.
	Plaintext bool
	CAFile    string
	// ProxyURL is the proxy to go through, of http, https or socks5; "": none.
	ProxyURL string
	// Timeout bounds one mail; 0: ten seconds.
	Timeout time.Duration
	Log     *slog.Logger // nil: slog.Default
}

// Sink sends mail. It is safe for concurrent use.
type Sink struct {
	cfg  Config
	host string
	port int
	from *stdmail.Address
	to   []*stdmail.Address
}

// New returns a sink that does not connect before its first mail.
func New(cfg Config) (*Sink, error) {
	invalid := func(format string, args ...any) error {
		return release.E(release.CodeInvalid, "email receiver "+cfg.Name+": "+fmt.Sprintf(format, args...), nil)
	}
	s := &Sink{cfg: cfg}
	host, port, err := net.SplitHostPort(cfg.Server)
	if err == nil {
		s.port, err = strconv.Atoi(port)
	}
	if s.host = host; err != nil || host == "" || s.port < 1 || s.port > 65535 {
		return nil, invalid("server must be host:port, as in mail.example:587")
	}
	if s.from, err = stdmail.ParseAddress(cfg.From); err != nil {
		return nil, invalid("from is no address: %v", err)
	}
	for _, text := range cfg.To {
		a, err := stdmail.ParseAddress(text)
		if err != nil {
			return nil, invalid("to has %q, which is no address: %v", text, err)
		}
		s.to = append(s.to, a)
	}
	switch {
	case len(s.to) == 0:
		return nil, invalid("to is empty")
	case (cfg.User == "") != (cfg.PasswordFile == ""):
		return nil, invalid("user and password_file go together")
	}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.Default()
	}
	s.cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	return s, nil
}

func service(name string) string { return "mail server (receiver " + name + ")" }

// Close does nothing: no connection is kept.
func (s *Sink) Close() {}

// memory is what a ref holds.
type memory struct {
	Sequence int `json:"sequence"`
}

// Deliver sends the mail of a message to all who get it. One whose answer was
// lost is sent again with the same Message-ID, which most mail servers and
// programs show once.
//
// Errors are *release.Error: CodeUnavailable may pass, CodeInvalid will not. An
// address that the server refuses for good keeps the mail from no other.
func (s *Sink) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	var told memory
	if ref != nil {
		if err := json.Unmarshal(ref, &told); err != nil {
			return ref, release.E(release.CodeInvalid, service(s.cfg.Name)+": what was remembered of the message is not a ref of a mail's", err)
		}
	}
	if m.Sequence > 0 && m.Sequence <= told.Sequence {
		return ref, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := s.sendAll(ctx, m); err != nil {
		return ref, err
	}
	told.Sequence = m.Sequence
	return json.Marshal(told)
}

// sendAll sends one mail to all; where the server refuses some of them, one to
// each.
func (s *Sink) sendAll(ctx context.Context, m release.Message) error {
	err := s.send(ctx, m, s.to)
	if len(s.to) == 1 || !refusesAddress(err) {
		return s.fault(err)
	}
	took := 0
	for _, to := range s.to {
		switch each := s.send(ctx, m, []*stdmail.Address{to}); {
		case each == nil:
			took++
		case !refusesAddress(each):
			return s.fault(each)
		default:
			err = each
			s.cfg.Log.Warn("email: the mail server refuses an address; see to of the receiver", "receiver", s.cfg.Name, "to", to.Address, "err", s.fault(each))
		}
	}
	if took > 0 {
		return nil
	}
	return s.fault(err)
}

// send sends one mail over a connection of its own.
func (s *Sink) send(ctx context.Context, m release.Message, to []*stdmail.Address) error {
	msg, err := s.mail(m, to)
	if err != nil {
		return err
	}
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	err = client.SendWithSMTPClient(conn, msg)
	_ = client.CloseWithSMTPClient(conn)
	if msg.IsDelivered() { // whatever the server says after it took the mail
		return nil
	}
	return ended(ctx, err)
}

// client is one that ends with ctx.
func (s *Sink) client(ctx context.Context) (*mail.Client, error) {
	trust := &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	if s.cfg.CAFile != "" {
		var err error
		if trust, err = outbound.TLS(s.cfg.CAFile); err != nil {
			return nil, err
		}
		trust.ServerName = s.host
	}
	policy := mail.TLSMandatory
	if s.cfg.Plaintext {
		policy = mail.TLSOpportunistic
	}
	options := []mail.Option{
		mail.WithPort(s.port), mail.WithTimeout(s.cfg.Timeout), mail.WithTLSConfig(trust), mail.WithTLSPolicy(policy), mail.WithoutNoop(),
		mail.WithDialContextFunc(s.dial(ctx, trust)),
	}
	if strconv.Itoa(s.port) == portTLS {
		options = append(options, mail.WithSSL())
	}
	if s.cfg.User != "" {
		password, err := outbound.ReadSecret(s.cfg.PasswordFile)
		if err != nil {
			return nil, err
		}
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.cfg.User), mail.WithPassword(password))
	}
	return mail.NewClient(s.host, options...)
}

// dial connects such that the end of ctx ends the connection, whatever it waits
// for.
func (s *Sink) dial(ctx context.Context, trust *tls.Config) mail.DialContextFunc {
	return func(dialing context.Context, _, address string) (net.Conn, error) {
		conn, err := outbound.Dial(dialing, s.cfg.ProxyURL, s.cfg.CAFile, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		if strconv.Itoa(s.port) != portTLS {
			return conn, nil
		}
		secured := tls.Client(conn, trust)
		if err := secured.HandshakeContext(dialing); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return secured, nil
	}
}
