package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// forge fills a Gitea: by its API, and by git.
type forge struct {
	url, token string
	dir        string // for git
	client     *http.Client
}

// createRepository makes the repository with its history and returns the
// commit each image tag was built from.
func (f *forge) createRepository(ctx context.Context) (map[string]Commit, error) {
	err := f.create(ctx, "/api/v1/orgs", map[string]any{"username": forgeOwner, "visibility": "public"})
	if err != nil {
		return nil, err
	}
	err = f.create(ctx, "/api/v1/orgs/"+forgeOwner+"/repos", map[string]any{
		"name": forgeName, "description": "The sample service of the lab", "default_branch": mainBranch, "auto_init": false,
	})
	if err != nil {
		return nil, err
	}
	commits, err := f.push(ctx, history())
	if err != nil {
		return nil, err
	}
	return commits, f.waitFilled(ctx)
}

// waitFilled returns when the forge has taken notice of the push, which it
// does after it answered: until then the repository counts as empty.
func (f *forge) waitFilled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var repo struct {
			Empty bool `json:"empty"`
		}
		err := f.call(ctx, http.MethodGet, "/api/v1/repos/"+forgeOwner+"/"+forgeName, nil, http.StatusOK, &repo)
		if err != nil || !repo.Empty {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the forge to take notice of the push: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// push writes a history into a repository of its own and pushes it whole: one
// commit after the other through the API, each with its hooks, takes seconds.
func (f *forge) push(ctx context.Context, commits []commit) (map[string]Commit, error) {
	dir := filepath.Join(f.dir, "seed.git")
	if err := f.git(ctx, "", nil, "init", "--quiet", "--bare", dir); err != nil {
		return nil, err
	}
	marks := filepath.Join(dir, "marks")
	if err := f.git(ctx, dir, fastImport(commits), "fast-import", "--quiet", "--export-marks="+marks); err != nil {
		return nil, err
	}
	remote := f.url + "/" + forgeOwner + "/" + forgeName + ".git"
	if err := f.git(ctx, dir, nil, "push", "--quiet", remote, "refs/heads/*:refs/heads/*"); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(marks)
	if err != nil {
		return nil, fmt.Errorf("read the commits of the repository: %w", err)
	}
	built := map[string]Commit{}
	for line := range strings.Lines(string(content)) {
		var mark int
		var sha string
		if _, err := fmt.Sscanf(line, ":%d %s", &mark, &sha); err != nil || mark < 1 || mark > len(commits) {
			return nil, fmt.Errorf("read the commits of the repository: git wrote %q", line)
		}
		if c := commits[mark-1]; c.tag != "" {
			built[c.tag] = Commit{SHA: sha, Title: c.title}
		}
	}
	return built, nil
}

// fastImport is the history as git fast-import reads it; the mark of a commit
// is its number, from one.
func fastImport(commits []commit) []byte {
	var b bytes.Buffer
	for i, c := range commits {
		fmt.Fprintf(&b, "commit refs/heads/%s\nmark :%d\n", c.branch, i+1)
		for _, who := range []string{"author", "committer"} {
			fmt.Fprintf(&b, "%s %s <%s> %d +0000\n", who, c.author, c.email(), c.at.Unix())
		}
		fmt.Fprintf(&b, "data %d\n%s\n", len(c.title)+1, c.title+"\n")
		if c.parent > 0 {
			fmt.Fprintf(&b, "from :%d\n", c.parent)
		}
		for _, file := range c.files {
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", file.path, len(file.content), file.content)
		}
	}
	return b.Bytes()
}

// git runs git without anybody's configuration; the token goes by the
// environment, as command lines are for all to read.
func (f *forge) git(ctx context.Context, dir string, input []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(input)
	cmd.Env = append(os.Environ(),
		"HOME="+f.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: token "+f.token,
	)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

func (f *forge) create(ctx context.Context, path string, body any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	return f.call(ctx, http.MethodPost, path, content, http.StatusCreated, nil)
}

// call asks the API and decodes the answer, if into is not nil.
func (f *forge) call(ctx context.Context, method, path string, body []byte, want int, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "token "+f.token)
	resp, err := f.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: the forge answers %s: %s", method, path, resp.Status, bytes.TrimSpace(data[:min(len(data), 500)]))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}
