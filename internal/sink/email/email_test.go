package email

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/outbound/outboundtest"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/email/smtptest"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "mail-s3cr3t-31"

type world struct {
	server *smtptest.Server
	cfg    Config
	log    func() string
}

func newWorld(t *testing.T, s sinktest.Settings) *world {
	cert, ca := certificate(t)
	w := serve(t, smtptest.New("watchtower", password, &cert))
	w.cfg.Timeout = s.Timeout
	if !s.TLS || s.Trust {
		w.cfg.CAFile = sinktest.File(t, ca)
	}
	if s.Away {
		w.cfg.Server = sinktest.Nowhere(t)
	}
	return w
}

// serve has a mail server take mail until the test ends.
func serve(t *testing.T, server *smtptest.Server) *world {
	w := &world{server: server}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.server.Serve(l) }()
	t.Cleanup(func() {
		_ = w.server.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	log, lines := sinktest.Log()
	w.log = lines
	w.cfg = Config{
		Name: "list", Server: l.Addr().String(), From: "Watchtower <watchtower@example.com>", To: []string{"Ops <ops@example.com>"},
		User: "watchtower", PasswordFile: sinktest.File(t, password), Log: log,
	}
	return w
}

// certificate is one for 127.0.0.1 and its authority.
func certificate(t *testing.T) (cert tls.Certificate, ca string) {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	return srv.TLS.Certificates[0], string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
}

func (w *world) sink(t *testing.T) *Sink {
	t.Helper()
	s, err := New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shown are conversations, as a mail program makes them of References and shows
// each mail once. In plain text < begins nothing.
func (w *world) shown() (out []sinktest.Shown) {
	var roots, ids []string
	for _, m := range w.server.Mails() {
		if slices.Contains(ids, m.MessageID) {
			continue
		}
		ids = append(ids, m.MessageID)
		i := slices.Index(roots, m.References)
		if i < 0 {
			i, roots, out = len(roots), append(roots, m.References), append(out, sinktest.Shown{First: m.Subject})
		}
		out[i].Text += strings.ReplaceAll(m.Subject+"\n"+m.Text, "<", "‹") + "\n" + m.HTML + "\n"
	}
	return out
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Name: "mail server (receiver list)", SecretSetting: "password_file", NoRetryAfter: true,
		Raw: []string{"<script>", "<!channel>", "<@U012>"},
		Statuses: map[int]release.Code{
			421: release.CodeUnavailable, 450: release.CodeUnavailable, 451: release.CodeUnavailable, 452: release.CodeUnavailable, 454: release.CodeUnavailable,
			500: release.CodeInvalid, 530: release.CodeInvalid, 535: release.CodeInvalid, 550: release.CodeInvalid, 552: release.CodeInvalid, 554: release.CodeInvalid,
		},
		New: func(t *testing.T, s sinktest.Settings) sinktest.World {
			w := newWorld(t, s)
			w.cfg.ProxyURL = s.ProxyURL
			return sinktest.World{
				Start: func() sinktest.Sink { return w.sink(t) }, Door: &w.server.Door, Shown: w.shown, Log: w.log,
				Secrets: []string{password, base64.StdEncoding.EncodeToString([]byte("\x00watchtower\x00" + password))}, Revoke: func() { w.server.Change("another") },
			}
		},
	})
}

func TestUpdatesAreOneConversation(t *testing.T) {
	w := newWorld(t, sinktest.Settings{TLS: true, Trust: true})
	m := sinktest.Regressed("abc")
	s := w.sink(t)
	ref, err := s.Deliver(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Deliver(t.Context(), sinktest.Then(m, release.SaysRestored, "shop/webapp runs 1.4.0 again"), ref); err != nil {
		t.Fatal(err)
	}
	got := w.server.Mails()
	if len(got) != 2 || got[0].References != got[1].References || got[0].MessageID == got[1].MessageID || got[0].References == "" {
		t.Fatalf("got %+v", got)
	}
	if got[0].Subject != m.Headline || !strings.Contains(got[0].Text, sinktest.Page("abc")) || !got[0].TLS || got[0].From != "watchtower@example.com" {
		t.Errorf("got %+v", got[0])
	}
	if !strings.Contains(got[0].HTML, `<a href="`+sinktest.Page("abc")+`">Release</a>`) {
		t.Errorf("got %s", got[0].HTML)
	}
}

func TestMailThroughAProxy(t *testing.T) {
	for name, test := range map[string]struct {
		proxy func(w *world) string // its URL
		ca    bool                  // the mail server's authority is known
		want  string                // of the error; "": it is sent
	}{
		"of HTTP":        {func(w *world) string { return "http://" + outboundtest.HTTP(t, w.cfg.Server).Address() }, true, ""},
		"of SOCKS5":      {func(w *world) string { return "socks5://" + outboundtest.SOCKS5(t, w.cfg.Server).Address() }, true, ""},
		"that is away":   {func(*world) string { return "socks5://" + sinktest.Nowhere(t) }, true, "see proxy_url"},
		"that refuses":   {func(*world) string { return "http://" + outboundtest.HTTP(t, "").Address() }, true, "see proxy_url, or HTTPS_PROXY and NO_PROXY in the environment: the proxy refuses to connect: status 403"},
		"SOCKS5 refuses": {func(*world) string { return "socks5://" + outboundtest.SOCKS5(t, "").Address() }, true, "see proxy_url"},
		"to a server that is not trusted": {
			func(w *world) string { return "http://" + outboundtest.HTTP(t, w.cfg.Server).Address() }, false, "ca_file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sinktest.Settings{TLS: true, Trust: test.ca})
			w.cfg.ProxyURL = test.proxy(w)
			_, err := w.sink(t).Deliver(t.Context(), sinktest.Regressed("abc"), nil)
			switch {
			case test.want == "" && (err != nil || len(w.server.Mails()) != 1 || !w.server.Mails()[0].TLS):
				t.Errorf("%d mails, %v", len(w.server.Mails()), err)
			case test.want != "" && (release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "receiver list")):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNamesAreTextInHTML(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	m.Did, m.Links[1].URL, m.Headline = sinktest.Hostile, "javascript:alert(1)", "x <script>y"
	m.Own.Title = "two\r\nBcc: eve@example.com"
	if _, err := w.sink(t).Deliver(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	got := w.server.Mails()[0]
	for _, raw := range []string{"<script>", "javascript:", "<!channel>"} {
		if strings.Contains(got.HTML, raw) {
			t.Errorf("%q is in %s", raw, got.HTML)
		}
	}
	if len(got.To) != 1 || got.Subject != "two  Bcc: eve@example.com" {
		t.Errorf("subject %q to %v", got.Subject, got.To)
	}
}

func TestWithoutTLS(t *testing.T) {
	for title, c := range map[string]struct {
		plaintext, user bool
		want            string // "": it is sent
	}{
		"nothing is sent":                            {false, false, "plaintext"},
		"it is sent where that was asked for":        {true, false, ""},
		"a password is not sent even when it was so": {true, true, "password"},
	} {
		t.Run(title, func(t *testing.T) {
			user := ""
			if c.user {
				user = "watchtower"
			}
			w := serve(t, smtptest.New(user, password, nil))
			w.cfg.Plaintext = c.plaintext
			if !c.user {
				w.cfg.User, w.cfg.PasswordFile = "", ""
			}
			_, err := w.sink(t).Deliver(t.Context(), sinktest.Regressed("abc"), nil)
			if c.want == "" && (err != nil || len(w.server.Mails()) != 1) {
				t.Errorf("%d mails, %v", len(w.server.Mails()), err)
			}
			if c.want != "" && (release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), c.want) || len(w.server.Mails()) != 0) {
				t.Errorf("%d mails, %v", len(w.server.Mails()), err)
			}
		})
	}
}

func TestAnAddressThatIsRefusedKeepsTheMailFromNoOther(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.cfg.To = []string{"gone@example.com", "ops@example.com", "dev@example.com"}
	w.server.Unknown("gone@example.com")
	m := sinktest.Regressed("abc")
	if _, err := w.sink(t).Deliver(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	var to []string
	for _, mail := range w.server.Mails() {
		to = append(to, mail.To...)
	}
	if !slices.Equal(to, []string{"ops@example.com", "dev@example.com"}) || !strings.Contains(w.log(), "gone@example.com") {
		t.Errorf("to %v, logged %s", to, w.log())
	}
	w.server.Unknown("ops@example.com")
	w.server.Unknown("dev@example.com")
	if _, err := w.sink(t).Deliver(t.Context(), m, nil); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "see to of") {
		t.Errorf("when all are refused: %v", err)
	}
}

func TestTemplatesAreTextOrHTML(t *testing.T) {
	for own, want := range map[string][2]string{
		"plain <b> & text": {"plain <b> & text", "plain &lt;b&gt; &amp; text"},
		"<p>mine</p>":      {"made things worse", "<p>mine</p>"},
	} {
		w := newWorld(t, sinktest.Settings{})
		m := sinktest.Regressed("abc")
		m.Own.Text = own
		if _, err := w.sink(t).Deliver(t.Context(), m, nil); err != nil {
			t.Fatal(err)
		}
		if got := w.server.Mails()[0]; !strings.Contains(got.Text, want[0]) || !strings.Contains(got.HTML, want[1]) {
			t.Errorf("%s: %s and %s", own, got.Text, got.HTML)
		}
	}
}

func TestADeadlineIsSaidSo(t *testing.T) {
	w := newWorld(t, sinktest.Settings{Timeout: time.Nanosecond})
	if _, err := w.sink(t).Deliver(t.Context(), sinktest.Regressed("abc"), nil); release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	good := Config{Name: "list", Server: "mail.example:587", From: "a@example.com", To: []string{"b@example.com"}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"server":        func(c *Config) { c.Server = "mail.example" },
		"from":          func(c *Config) { c.From = "nobody" },
		"no address":    func(c *Config) { c.To = []string{"ops"} },
		"to is empty":   func(c *Config) { c.To = nil },
		"password_file": func(c *Config) { c.User = "u" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "list") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
