//go:build race

package respond

// raceEnabled: the race detector makes the database ten times as slow.
const raceEnabled = true
