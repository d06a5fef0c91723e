package config

import (
	"errors"
	"fmt"
	"html"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/template"
)

var receiverName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

func (k *checker) receivers() {
	seen := map[string]bool{}
	for i := range k.c.Receivers {
		r, at := &k.c.Receivers[i], fmt.Sprintf("receivers[%d]", i)
		switch {
		case r.Name == "":
			k.at(at+".name", "the receiver has no name")
		case !receiverName.MatchString(r.Name):
			k.at(at+".name", "%q is no name of a receiver: use letters, digits, '-', '_' and '.', at most 63", r.Name)
		case seen[r.Name]:
			k.at(at+".name", "%s is the name of an earlier receiver too: choose another", r.Name)
		}
		seen[r.Name] = true
		k.receiver(at, r)
	}
}

func (k *checker) receiver(at string, r *Receiver) {
	switch kinds := r.kinds(); len(kinds) {
	case 0:
		k.at(at, "it says nowhere whom to tell: add one of pagerduty, slack, grafana, webhook and email")
		return
	case 1:
		at += "." + kinds[0]
	default:
		k.at(at, "it is %s at once: make a receiver of each", strings.Join(kinds, " and "))
		return
	}
	switch {
	case r.PagerDuty != nil:
		k.file(at+".routing_key_file", r.PagerDuty.RoutingKeyFile, "the integration key of the service")
		k.url(at+".url", r.PagerDuty.URL)
		if r.PagerDuty.Curves && !strings.HasPrefix(k.c.ExternalURL, "https://") {
			k.at(at+".curves", "PagerDuty fetches curves from external_url, and shows none that is not https: set external_url to an https address it reaches, or remove curves")
		}
	case r.Slack != nil:
		k.slack(at, r.Slack)
	case r.Grafana != nil:
		k.grafana(at, r.Grafana)
	case r.Webhook != nil:
		k.webhook(at, r.Webhook)
	case r.Email != nil:
		k.email(at, r.Email)
	}
	c := r.connection()
	if k.given(at + ".connection.timeout") {
		k.between(at+".connection.timeout", c.Timeout, 100*time.Millisecond, 30*time.Second)
	}
	k.proxy(at+".connection.proxy_url", c.ProxyURL)
}

// proxy checks an optional URL of a proxy.
func (k *checker) proxy(at, text string) {
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme == "socks5" || scheme == "socks5h" {
		text = "http://" + rest
	}
	if err := checkURL(text); text != "" && err != nil {
		k.at(at, "%s; a proxy is written like http://proxy.example.com:3128 or socks5://proxy.example.com:1080", err)
	}
}

// file checks that a file is named; whether it can be read is seen when it is
// needed, since secrets may be mounted later.
func (k *checker) file(at, name, holds string) {
	if name == "" {
		k.at(at, "the file that holds %s is missing", holds)
	}
}

var slackChannel = regexp.MustCompile(`^[CGD][A-Z0-9]{2,20}$`)

func (k *checker) slack(at string, s *Slack) {
	k.slackButtons(at, s)
	k.file(at+".token_file", s.TokenFile, "the bot token")
	k.url(at+".url", s.URL)
	switch {
	case s.Channel == "":
		k.at(at+".channel", "the channel is missing: add its ID, such as C024BE91L")
	case !slackChannel.MatchString(s.Channel):
		k.at(at+".channel", "%q is no ID of a channel: it stands at the foot of the channel's details in Slack and looks like C024BE91L; a name can change, and then nobody is told", s.Channel)
	}
}

var slackUser = regexp.MustCompile(`^[UW][A-Z0-9]{2,20}$`)

// slackButtons checks who may press buttons, and how they are heard of.
func (k *checker) slackButtons(at string, s *Slack) {
	listens := s.AppTokenFile != "" || s.SigningSecretFile != ""
	if len(s.Users) > 0 && !listens {
		k.at(at+".users", "nobody hears of their clicks: add app_token_file (Socket Mode) or signing_secret_file (HTTP)")
	}
	if listens && len(s.Users) == 0 {
		k.at(at, "nobody may press a button: add users, or remove app_token_file and signing_secret_file")
	}
	seen := map[string]bool{}
	for i, u := range s.Users {
		at := fmt.Sprintf("%s.users[%d]", at, i)
		switch {
		case !slackUser.MatchString(u.ID):
			k.at(at+".id", "%q is no ID of a user: it stands in the user's profile in Slack, below the three dots, and looks like U024BE7LH", u.ID)
		case seen[u.ID]:
			k.at(at+".id", "%s is there twice", u.ID)
		case u.Name == "":
			k.at(at+".name", "the name is missing: the audit shows it")
		case !slices.Contains([]string{"view", "approve", "admin"}, u.Role):
			k.at(at+".role", "%q is no role: use view, approve or admin", u.Role)
		}
		seen[u.ID] = true
	}
}

func (k *checker) grafana(at string, g *Grafana) {
	if g.URL == "" {
		k.at(at+".url", "the URL of Grafana is missing: add url: https://host")
	} else {
		k.url(at+".url", g.URL)
	}
	k.file(at+".token_file", g.TokenFile, "the token of a service account")
	k.within(at+".organisation", g.Organisation, 0, 1<<30)
	k.grafanaPlaces(at, g.Places)
	for i, o := range g.Others {
		other := fmt.Sprintf("%s.others[%d]", at, i)
		k.within(other+".organisation", o.Organisation, 1, 1<<30)
		k.file(other+".token_file", o.TokenFile, "the token of a service account")
		k.grafanaPlaces(other, o.Places)
	}
}

func (k *checker) grafanaPlaces(at string, list []GrafanaPlace) {
	for i, p := range list {
		one := fmt.Sprintf("%s.places[%d]", at, i)
		if p.Dashboard == "" {
			k.at(one+".dashboard", "the UID of the dashboard is missing: it stands in the dashboard's address after /d/")
		}
		k.within(one+".panel", p.Panel, 0, 1<<30)
	}
}

func (k *checker) webhook(at string, w *Webhook) {
	k.file(at+".secret_file", w.SecretFile, "the key of the signature")
	if w.URL == "" {
		k.at(at+".url", "the URL is missing: add url: https://host/path")
		return
	}
	base, query, _ := strings.Cut(w.URL, "?") // unlike a base URL it may have one
	if secretName.MatchString(query) {
		k.at(at+".url", "the URL carries a secret: sign with secret_file, and take it out")
		return
	}
	k.url(at+".url", base)
	for name, value := range w.Headers {
		in := join(at+".headers", name)
		switch {
		case !headerName.MatchString(name):
			k.at(in, "this is no name of an HTTP header")
		case secretName.MatchString(name):
			k.at(in, "a header that holds a secret does not belong into this file: use bearer_token_file")
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			k.at(in, "the value holds a control character")
		}
	}
}

func (k *checker) email(at string, e *Email) {
	if host, port, err := net.SplitHostPort(e.Server); err != nil || host == "" || port == "" || checkPort(port) != nil {
		k.at(at+".server", "%q is no server: write host:port, such as smtp.example.com:587", e.Server)
	}
	if _, err := mail.ParseAddress(e.From); err != nil {
		k.at(at+".from", "%q is no address: write it like Watchtower <watchtower@example.com>", e.From)
	}
	if len(e.To) == 0 {
		k.at(at+".to", "nobody is named: add to: [\"oncall@example.com\"]")
	}
	for i, to := range e.To {
		if _, err := mail.ParseAddress(to); err != nil {
			k.at(fmt.Sprintf("%s.to[%d]", at, i), "%q is no address", to)
		}
	}
	if (e.User == "") != (e.PasswordFile == "") {
		k.at(at, "user and password_file belong together: give both or none")
	}
}

// maxTemplateFiles bounds how many files of templates are read.
const maxTemplateFiles = 100

// templates reads the files of templates and fills every receiver's in.
func (k *checker) templates() {
	set, err := k.c.templateSet(k.folder)
	if err != nil {
		k.at("templates", "%s", err)
		return
	}
	for i := range k.c.Receivers {
		r, at := &k.c.Receivers[i], fmt.Sprintf("receivers[%d].template", i)
		t := r.Template
		if t == nil {
			continue
		}
		if *t == (Template{}) {
			k.at(at, "it has no text: add title, text or blocks, or remove it")
		}
		if t.Blocks != "" && r.Slack == nil {
			k.at(at+".blocks", "only Slack has blocks: use title and text")
			continue
		}
		if r.Grafana != nil && t.Blocks == "" && t.Title != "" && t.Text == "" {
			k.at(at+".title", "an annotation is one text: use text")
		}
		filled, faults := set.NewReceiver(r.Name, k.c.ExternalURL, template.Texts(*t), r.escape())
		if len(faults) == 0 {
			faults = filled.Check(k.c.Places(), k.c.carried())
		}
		for _, err := range faults {
			var f template.Fault
			if errors.As(err, &f) {
				k.at(join(at, f.Setting), "%s; mend the template, or remove it to have the built-in text", f.Err)
			}
		}
	}
}

// escape makes a text say what it says in the receiver's markup; nil: as it is.
func (r *Receiver) escape() func(string) string {
	switch {
	case r.Slack != nil:
		return template.SlackEscape
	case r.Grafana != nil, r.Email != nil && r.Template != nil && strings.HasPrefix(strings.TrimSpace(r.Template.Text), "<"):
		return html.EscapeString
	}
	return nil
}

// templateSet reads the files of templates; relative patterns are taken from
// folder.
func (c *Config) templateSet(folder string) (*template.Set, error) {
	files := map[string]string{}
	for _, pattern := range c.Templates {
		names, err := filepath.Glob(within(folder, pattern))
		if err != nil {
			return nil, fmt.Errorf("%q is no pattern: close every [", pattern)
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("no file is named %s", pattern)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("the file %s cannot be read: %w", filepath.Base(name), causeOf(err))
			}
			files[filepath.Base(name)] = string(text)
		}
		if len(files) > maxTemplateFiles {
			return nil, fmt.Errorf("more than %d files", maxTemplateFiles)
		}
	}
	return template.NewSet(files)
}

func causeOf(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// ReceiverTemplates are the templates of the receivers that have some, by their
// names.
func (c *Config) ReceiverTemplates() (map[string]*template.Receiver, error) {
	set, err := c.templateSet("")
	if err != nil {
		return nil, release.E(release.CodeInvalid, "read templates", err)
	}
	out := map[string]*template.Receiver{}
	for i := range c.Receivers {
		r := &c.Receivers[i]
		if r.Template == nil {
			continue
		}
		filled, faults := set.NewReceiver(r.Name, c.ExternalURL, template.Texts(*r.Template), r.escape())
		if len(faults) > 0 {
			return nil, release.E(release.CodeInvalid, "read the template of receiver "+r.Name, faults[0])
		}
		out[r.Name] = filled
	}
	return out, nil
}
