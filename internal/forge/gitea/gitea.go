// Package gitea opens hotfix issues on a Gitea or Forgejo server and reads
// commits from it.
//
// It speaks the API itself: the SDK ties one context to a whole client, keeps
// nothing of Retry-After and reads answers without bound.
package gitea

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const defaultTimeout = 10 * time.Second

// Config says which server it is and how to log in.
type Config struct {
	// URL is the base URL, without /api/v1.
	URL string
	// TokenFile holds an access token with the scopes write:issue and
	// read:repository. It is read for each request.
	TokenFile string
	// Repository, "owner/name", is used where a method is given no repository.
	Repository string
	// Timeout bounds one request; 0: 10 s.
	Timeout time.Duration
}

// Client is a forge. It is safe for concurrent use.
//
// Errors are *release.Error: CodeUnavailable and CodeRateLimited (with
// RetryAfter) where trying again may help, CodeNotFound for a repository or
// commit that is not there or not to be seen with the token, CodeInvalid for
// what the forge refuses for good. None holds the token.
type Client struct {
	base       *url.URL
	repository string
	client     *outbound.Client
}

// New returns a client that does not connect before its first call, so that a
// forge that is down delays nothing.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(cfg.URL, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") || base.User != nil {
		return nil, release.E(release.CodeInvalid, "gitea: the URL must be http(s)://host without user and password", nil)
	}
	if cfg.Repository != "" && !isRepository(cfg.Repository) {
		return nil, release.E(release.CodeInvalid, fmt.Sprintf("gitea: %q is no repository: write owner/name", cfg.Repository), nil)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	return &Client{
		base:       base,
		repository: cfg.Repository,
		client: outbound.New(outbound.Config{
			Service: "gitea", Scheme: "token", SecretFile: cfg.TokenFile, Timeout: cfg.Timeout,
		}),
	}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.client.Close() }

var namePart = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

func isRepository(s string) bool {
	owner, name, ok := strings.Cut(s, "/")
	return ok && isName(owner) && isName(name)
}

func isName(s string) bool { return namePart.MatchString(s) && s != "." && s != ".." }

// Repository returns "owner/name" of a source repository URL that lies on this
// forge, such as https://host/owner/name.git; false for any other.
func (c *Client) Repository(source string) (string, bool) {
	u, err := url.Parse(source)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || hostPort(u) != hostPort(c.base) {
		return "", false
	}
	path, ok := strings.CutPrefix(u.Path, c.base.Path+"/")
	if !ok {
		return "", false
	}
	path = strings.TrimSuffix(strings.TrimSuffix(path, "/"), ".git")
	return path, isRepository(path)
}

// hostPort is the host in lower case with the port, unless it is the scheme's.
func hostPort(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if (u.Scheme == "http" && port == "80") || (u.Scheme == "https" && port == "443") {
		port = ""
	}
	return host + ":" + port
}

// do asks for a path below /repos/owner/name. repo may be empty for the
// configured one; what is completed with the repository for errors.
func (c *Client) do(ctx context.Context, what, method, repo, path string, in, out any) error {
	if repo == "" {
		repo = c.repository
	}
	if !isRepository(repo) {
		return release.E(release.CodeInvalid, fmt.Sprintf("%s: no repository to turn to: %q is not owner/name, and none is configured", what, repo), nil)
	}
	owner, name, _ := strings.Cut(repo, "/")
	target := c.base.String() + "/api/v1/repos/" + url.PathEscape(owner) + "/" + url.PathEscape(name) + path
	err := c.client.Do(ctx, what+" of "+repo, method, target, in, out)
	if outbound.Status(err) == http.StatusNotFound {
		return release.E(release.CodeNotFound, "not there, or not to be seen with this token", err)
	}
	return err
}
