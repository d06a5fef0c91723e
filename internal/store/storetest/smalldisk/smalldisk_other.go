//go:build !linux

// Package smalldisk gives tests a disk that can really be full, or really be
// read-only: a file system of their own in memory.
package smalldisk

import "testing"

const onlyLinux = "only Linux has mounts of a process's own"

// On skips the test: only Linux has what it needs.
func On(t *testing.T, _ string, _ func(t *testing.T, dir string)) { t.Skip(onlyLinux) }

// Fill is never called where On skips.
func Fill(t *testing.T, _ string) func() { t.Skip(onlyLinux); return nil }

// ReadOnly is never called where On skips.
func ReadOnly(t *testing.T, _ string) { t.Skip(onlyLinux) }
