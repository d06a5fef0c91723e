// Command watchtower judges every rollout of a new image on a Kubernetes
// cluster: did it make things worse?
package main

import "os"

// version is set by the linker; without it the build's own is told.
var version string

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
