package count

import (
	"hash/maphash"
	"math/bits"

	"github.com/prometheus/prometheus/model/labels"
)

// hashSeed is this process's own, so that no workload can choose its labels to
// collide.
var hashSeed = maphash.MakeSeed()

// Identity is what tells processes, scrapers and series apart.
type Identity struct{ Process, Scraper, Key uint64 }

// Own reads the identity of a series that a process exports of itself. Instance
// is what a process answers at; job and the replica labels of highly available
// scrapers say who asked. Where there is no instance, a job is a process. Salt
// tells metrics apart that are counted for different ends.
func Own(set labels.Labels, salt uint64) Identity {
	var id Identity
	set.Range(func(l labels.Label) {
		h := labelHash(l.Name, l.Value)
		id.Key += h
		switch {
		case l.Name == "instance" && l.Value != "":
			id.Process = h
		case scrapersOwn(l.Name):
			id.Scraper += h
		}
	})
	if id.Process == 0 {
		id.Process, id.Scraper = id.Scraper, 0
	}
	id.Key += salt * saltFactor
	return id
}

// Exported reads the identity of a series by which an exporter (cAdvisor,
// kube-state-metrics) tells of a pod: whichever instance of the exporter was
// asked, the series is the same, so instance and scraper are one.
func Exported(set labels.Labels, salt uint64) Identity {
	id := Identity{Process: 1 + salt*saltFactor}
	set.Range(func(l labels.Label) {
		h := labelHash(l.Name, l.Value)
		if l.Name == "instance" || scrapersOwn(l.Name) {
			id.Scraper += h
			return
		}
		id.Key += h
	})
	id.Key += salt * saltFactor
	return id
}

const saltFactor = 0x9e3779b97f4a7c15

// scrapersOwn reports whether a label tells who scraped.
func scrapersOwn(name string) bool {
	switch name {
	case "job", "prometheus", "prometheus_replica", "__replica__":
		return true
	}
	return false
}

// Sub is the identity of a part of a series, such as a bucket.
func (id Identity) Sub(part uint64) Identity {
	id.Key = bits.RotateLeft64(id.Key, 17) ^ (part+1)*0xd6e8feb86659fd93
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
