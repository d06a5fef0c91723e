package release

// Issue is a hotfix issue to open on a forge. Its Body carries Marker.
type Issue struct {
	Title  string
	Body   string // Markdown
	Labels []string
}

// Commit is one change between two releases.
type Commit struct {
	SHA    string `json:"sha"`
	Title  string `json:"title"`
	Author string `json:"author"`
	URL    string `json:"url"`
}

// Marker is the hidden text by which the issue of a release is found again.
func Marker(id ID) string { return "<!-- watchtower:release=" + string(id) + " -->" }
