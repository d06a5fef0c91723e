//go:build !unix

package store

import "errors"

var errLocked = errors.New("another Watchtower has it open")

type fileLock struct{}

// Without a lock that ends with its process two Watchtowers could act on one
// file, so there is no store here.
func acquireLock(string) (*fileLock, error) {
	return nil, errors.New("the SQLite store needs a Unix system")
}

func (*fileLock) release() {}
