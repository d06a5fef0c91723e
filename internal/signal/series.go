package signal

import (
	"hash/maphash"
	"math/bits"
)

// hashSeed is this process's own, so that no workload can choose its labels to
// collide.
var hashSeed = maphash.MakeSeed()

// identity is what tells processes, scrapers and series apart.
type identity struct {
	process, scraper, key uint64
}

// identify reads a series' identity from its labels. Instance is what a
// process answers at; job and the replica labels of highly available scrapers
// say who asked. Where there is no instance, a job is a process.
func identify(set map[string]string, slot int32) identity {
	var id identity
	for name, value := range set {
		h := labelHash(name, value)
		id.key += h
		switch name {
		case "instance":
			if value != "" {
				id.process = h
			}
		case "job", "prometheus", "prometheus_replica", "__replica__":
			id.scraper += h
		}
	}
	if id.process == 0 {
		id.process, id.scraper = id.scraper, 0
	}
	id.key += uint64(slot) * 0x9e3779b97f4a7c15
	return id
}

// labelHash hashes a label so that the sum over a set does not depend on the
// order.
func labelHash(name, value string) uint64 {
	h := maphash.String(hashSeed, name) ^ bits.RotateLeft64(maphash.String(hashSeed, value), 31)
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	return h
}
