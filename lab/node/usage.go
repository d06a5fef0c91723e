package node

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// usage is what the processes of a group take.
type usage struct {
	residentBytes int64
	// cpuTicks are those of its processes, and of their children that they waited
	// for. A child nobody waited for takes its ticks with it.
	cpuTicks int64
}

// ticksPerSecond is the unit of times in /proc, the same on every Linux that Go
// runs on.
const ticksPerSecond = 100

// usageByGroup adds up the processes of every process group here.
func usageByGroup() map[int]usage {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	sums := map[int]usage{}
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended since
		}
		if group, of, ok := readStat(stat); ok {
			sum := sums[group]
			sum.residentBytes += of.residentBytes
			sum.cpuTicks += of.cpuTicks
			sums[group] = sum
		}
	}
	return sums
}

// readStat reads a process's group and usage from its stat file.
func readStat(stat []byte) (group int, u usage, ok bool) {
	// After the command in parentheses: state, parent, group, …, at 11 the ticks in
	// user mode and in the kernel, the same of children, at 21 the resident pages.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 22 {
		return 0, usage{}, false
	}
	group, err := strconv.Atoi(fields[2])
	if err != nil {
		return 0, usage{}, false
	}
	for _, field := range fields[11:15] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, usage{}, false
		}
		u.cpuTicks += ticks
	}
	pages, err := strconv.ParseInt(fields[21], 10, 64)
	u.residentBytes = pages * int64(os.Getpagesize())
	return group, u, err == nil
}
