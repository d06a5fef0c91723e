package kube

import (
	"regexp"
	"strings"
	"testing"
)

func TestDigest(t *testing.T) {
	sum := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	tests := []struct{ name, in, want string }{
		{"containerd with repository", "docker.io/library/webapp@" + sum, sum},
		{"registry with a port", "registry.test:5000/webapp@" + sum, sum},
		{"bare digest", sum, sum},
		{"docker pullable", "docker-pullable://registry.test/webapp@" + sum, sum},
		{"docker image", "docker://" + sum, sum},
		{"sha512", "webapp@sha512:" + strings.Repeat("0", 128), "sha512:" + strings.Repeat("0", 128)},
		{"nothing yet", "", ""},
		{"a tag", "docker.io/library/webapp:1.0", ""},
		{"too short", "webapp@sha256:abc", ""},
		{"not hexadecimal", "webapp@sha256:" + strings.Repeat("g", 64), ""},
		{"upper case", "webapp@sha256:" + strings.Repeat("A", 64), ""},
		{"unknown algorithm", "webapp@md5:" + strings.Repeat("0", 64), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Digest(tt.in); got != tt.want {
				t.Errorf("Digest(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

var digestForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

func FuzzDigest(f *testing.F) {
	f.Add("docker-pullable://x@sha256:" + strings.Repeat("0", 64))
	f.Add("sha256:")
	f.Add("://@:")
	f.Fuzz(func(t *testing.T, in string) {
		got := Digest(in)
		if got != "" && (!digestForm.MatchString(got) || !strings.HasSuffix(in, got)) {
			t.Errorf("Digest(%q) = %q", in, got)
		}
	})
}
