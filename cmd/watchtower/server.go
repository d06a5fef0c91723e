package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/client"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	serverVariable = "WATCHTOWER_SERVER"
	defaultServer  = "http://localhost:9477"
)

// serverFlag adds --server and returns what makes the client once the flags
// are read.
func serverFlag(cmd *cobra.Command) func() (*client.Client, error) {
	server := cmd.Flags().String("server", "", "address of the server; without it "+serverVariable+", else "+defaultServer)
	return func() (*client.Client, error) {
		c, err := client.New(cmp.Or(*server, os.Getenv(serverVariable), defaultServer))
		return c, wrongName(err)
	}
}

// wrongName makes an error about what was asked for, rather than about the
// answer, one of usage.
func wrongName(err error) error {
	if release.ErrorCode(err) == release.CodeInvalid {
		return usageError{err, ""}
	}
	return err
}
