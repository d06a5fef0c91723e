package wire

// slab carves slices from shared arrays, so that a series costs no allocation
// of its own. Whoever keeps one slice keeps the array it is of.
type slab[T any] struct {
	open []T // being filled; what is behind it in the array is free
	size int // of the last array
}

const maxSlab = 8192

func (s *slab[T]) add(v T) {
	if len(s.open) == cap(s.open) {
		s.size = min(max(2*s.size, 64), maxSlab)
		s.open = append(make([]T, 0, max(s.size, 2*len(s.open))), s.open...)
	}
	s.open = append(s.open, v)
}

// cut returns what was added since the last cut.
func (s *slab[T]) cut() []T {
	n := len(s.open)
	out := s.open[:n:n]
	s.open = s.open[n:]
	if n == 0 {
		return nil
	}
	return out
}

// drop forgets what was added since the last cut.
func (s *slab[T]) drop() { s.open = s.open[:0] }
