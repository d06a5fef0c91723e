package stack

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"text/template"
	"time"
)

// The forge's only person, and the repository that images are built from.
const (
	forgeUser  = "lab"
	forgeOwner = "mycompany"
	forgeName  = "webapp"
)

//go:embed gitea.ini.tmpl
var giteaTemplate string

// giteaValues fill gitea.ini.tmpl.
type giteaValues struct {
	Root          bool // this process is root's, which Gitea wants said
	Dir, Static   string
	Port, URL     string
	SecretKey     string
	InternalToken string
}

func (v giteaValues) render() (string, error) {
	t, err := template.New("app.ini").Parse(giteaTemplate)
	if err != nil {
		return "", fmt.Errorf("parse gitea.ini.tmpl: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return "", fmt.Errorf("render app.ini: %w", err)
	}
	return b.String(), nil
}

func (l *Lab) gitea() *component {
	url := "http://" + l.ports.addr(Gitea)
	config := l.state.path("config", "gitea.ini")
	c := l.process(Gitea, 3*time.Second, []string{Gitea}, func() (command, error) {
		dir, err := l.dataDir(Gitea)
		if err != nil {
			return command{}, err
		}
		if _, err := os.Stat(config); err != nil { // not written again on a restart: it holds secrets
			content, err := giteaValues{
				Root: os.Geteuid() == 0, Dir: dir, Static: l.built[Gitea].Assets,
				Port: l.ports.port(Gitea), URL: url + "/",
				SecretKey: randomToken(), InternalToken: randomToken(),
			}.render()
			if err != nil {
				return command{}, err
			}
			if err := writeConfig(config, content); err != nil {
				return command{}, err
			}
		}
		return l.giteaCommand(dir, config, "web"), nil
	})
	c.ready = func(ctx context.Context) error { return answers(ctx, http.DefaultClient, url+"/api/healthz") }
	c.setup = func(ctx context.Context) error {
		dir := l.state.path("data", Gitea)
		token, err := l.createForgeUser(ctx, dir, config)
		if err != nil {
			return err
		}
		commits, err := (&forge{url: url, token: token, dir: dir, client: http.DefaultClient}).createRepository(ctx)
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.info.ForgeCommits = commits
		l.mu.Unlock()
		return nil
	}
	return c
}

func (l *Lab) giteaCommand(dir, config string, args ...string) command {
	return command{
		path: l.built[Gitea].Binary, dir: dir, grace: 3 * time.Second,
		args: append(args, "--config", config, "--work-path", dir),
		// Its git must not read the configuration of whoever started the lab.
		env: []string{"HOME=" + dir, "GITEA_WORK_DIR=" + dir, "GIT_CONFIG_NOSYSTEM=1"},
	}
}

var forgeTokenPattern = regexp.MustCompile(`\b[0-9a-f]{40}\b`)

// createForgeUser makes the administrator and a token for the API, and leaves
// both secrets in files.
func (l *Lab) createForgeUser(ctx context.Context, dir, config string) (token string, err error) {
	password := randomToken()
	c := l.giteaCommand(dir, config, "admin", "user", "create", "--admin", "--username", forgeUser, "--password", password,
		"--email", forgeUser+"@example.com", "--must-change-password=false",
		"--access-token", "--access-token-name", "lab", "--access-token-scopes", "all")
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("create user %s: %w: %s", forgeUser, err, strings.TrimSpace(strings.ReplaceAll(stderr.String(), password, "…")))
	}
	token = forgeTokenPattern.FindString(string(out))
	if token == "" {
		return "", errors.New("create user " + forgeUser + ": gitea printed no access token")
	}
	for file, secret := range map[string]string{l.info.ForgePasswordFile: password, l.info.ForgeTokenFile: token} {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("keep the forge's credentials: %w", err)
		}
	}
	return token, nil
}
