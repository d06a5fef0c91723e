package stack

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// forge speaks the part of Gitea's API that a lab needs to fill it.
type forge struct {
	url, token string
	client     *http.Client
}

// createRepository makes the repository with its history and returns the
// commit each image tag was built from.
func (f *forge) createRepository(ctx context.Context) (map[string]Commit, error) {
	err := f.post(ctx, "/api/v1/orgs", map[string]any{"username": forgeOwner, "visibility": "public"}, nil)
	if err != nil {
		return nil, err
	}
	err = f.post(ctx, "/api/v1/orgs/"+forgeOwner+"/repos", map[string]any{
		"name": forgeName, "description": "The sample service of the lab", "default_branch": mainBranch, "auto_init": false,
	}, nil)
	if err != nil {
		return nil, err
	}
	commits := map[string]Commit{}
	for _, c := range history() {
		sha, err := f.commit(ctx, c)
		if err != nil {
			return nil, err
		}
		if c.tag != "" {
			commits[c.tag] = Commit{SHA: sha, Title: c.title}
		}
	}
	return commits, nil
}

func (f *forge) commit(ctx context.Context, c commit) (sha string, err error) {
	type operation struct {
		Operation string `json:"operation"`
		Path      string `json:"path"`
		Content   string `json:"content"`
	}
	var files []operation
	for _, file := range c.files {
		files = append(files, operation{"upload", file.path, base64.StdEncoding.EncodeToString([]byte(file.content))})
	}
	who := map[string]string{"name": c.author, "email": c.email()}
	at := c.at.Format(time.RFC3339)
	body := map[string]any{
		"branch": c.from, "message": c.title, "files": files,
		// Dates given, so that the same history has the same commits in every lab.
		"author": who, "committer": who, "dates": map[string]string{"author": at, "committer": at},
	}
	if c.branch != c.from {
		body["new_branch"] = c.branch
	}
	var answer struct {
		Commit struct {
			SHA string `json:"sha"`
		} `json:"commit"`
	}
	if err := f.post(ctx, "/api/v1/repos/"+forgeOwner+"/"+forgeName+"/contents", body, &answer); err != nil {
		return "", fmt.Errorf("commit %q: %w", c.title, err)
	}
	if answer.Commit.SHA == "" {
		return "", fmt.Errorf("commit %q: %w", c.title, errors.New("the forge names no commit"))
	}
	return answer.Commit.SHA, nil
}

func (f *forge) post(ctx context.Context, path string, body, answer any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+path, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "token "+f.token)
	resp, err := f.client.Do(req)
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("post %s: the forge answers %s: %s", path, resp.Status, bytes.TrimSpace(data[:min(len(data), 500)]))
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("post %s: read the answer: %w", path, err)
	}
	return nil
}
