package respond

// point is a place between an effect outside, or a record of our own, and what
// comes after it: where a process that dies would lose or repeat something if
// this were built badly. Tests kill the process at each.
type point string

// The points, in the order a regressed release passes them.
const (
	pointDecided   point = "verdict and its actions recorded"
	pointPlanned   point = "rollback planned, not sent"
	pointPatched   point = "rollback accepted, not recorded"
	pointEvent     point = "event written, not recorded"
	pointPosted    point = "alert posted, not recorded"
	pointFound     point = "issue looked for, not opened"
	pointOpened    point = "issue opened, not recorded"
	pointDelivered point = "message delivered, not recorded"
	pointRestored  point = "restored seen, not recorded"
	pointSettled   point = "action recorded, its job not ended"
	pointWatched   point = "restored recorded, its job not ended"
	pointAsked     point = "a person's decision recorded, not begun"
)

// onPoint is called at every point; nil but in tests.
var onPoint func(point)

func at(p point) {
	if onPoint != nil {
		onPoint(p)
	}
}
