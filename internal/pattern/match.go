package pattern

import "strings"

// maxVisits bounds the nodes that are looked at for one message, so that no set
// of templates makes matching slow.
const maxVisits = 256

// matcher finds the settled template that a shape belongs to: one tree for each
// number of words, one level for each word.
type matcher struct {
	roots map[int]*node
	words []string
}

type node struct {
	next map[string]*node
	any  *node
	leaf *entry
}

func newMatcher() *matcher { return &matcher{roots: map[int]*node{}} }

// add makes e known. Templates without a wildcard word are found by their text.
func (m *matcher) add(e *entry) {
	words := strings.Split(e.text, " ")
	n := m.roots[len(words)]
	if n == nil {
		n = &node{}
		m.roots[len(words)] = n
	}
	for _, w := range words {
		if len(w) == 1 && w[0] == wild {
			if n.any == nil {
				n.any = &node{}
			}
			n = n.any
			continue
		}
		if n.next == nil {
			n.next = map[string]*node{}
		}
		child := n.next[w]
		if child == nil {
			child = &node{}
			n.next[w] = child
		}
		n = child
	}
	n.leaf = e
}

// match is the entry with the fewest wildcards at the left that text belongs
// to, or nil.
func (m *matcher) match(text []byte) *entry {
	if len(m.roots) == 0 {
		return nil
	}
	m.words = m.words[:0]
	for w := range strings.SplitSeq(string(text), " ") {
		m.words = append(m.words, w)
	}
	visits := 0
	return m.roots[len(m.words)].find(m.words, &visits)
}

func (n *node) find(words []string, visits *int) *entry {
	if n == nil {
		return nil
	}
	if len(words) == 0 {
		return n.leaf
	}
	if *visits++; *visits > maxVisits {
		return nil
	}
	if e := n.next[words[0]].find(words[1:], visits); e != nil {
		return e
	}
	return n.any.find(words[1:], visits)
}
