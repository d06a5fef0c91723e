package kube

import "strings"

// Digest returns the image digest ("sha256:…") in a container status's
// imageID, or "" when there is none. Container runtimes write it as
// "sha256:…", "repository@sha256:…" or "docker-pullable://repository@sha256:…".
func Digest(imageID string) string {
	if _, after, ok := strings.Cut(imageID, "://"); ok {
		imageID = after
	}
	if i := strings.LastIndexByte(imageID, '@'); i >= 0 {
		imageID = imageID[i+1:]
	}
	algorithm, encoded, ok := strings.Cut(imageID, ":")
	if !ok || !isHex(encoded) {
		return ""
	}
	switch {
	case algorithm == "sha256" && len(encoded) == 64:
		return imageID
	case algorithm == "sha512" && len(encoded) == 128:
		return imageID
	}
	return ""
}

func isHex(s string) bool {
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return true
}
