package web

import (
	"github.com/a-h/templ"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Curves draws every evidence of a verdict that has a curve, and Badge the verdict
// itself, for pages that are made elsewhere. They need the Stylesheet.
func Curves(rel release.Release, v release.Verdict, id string) templ.Component {
	list := panels(rel, v)
	for i := range list {
		list[i].Values.ID = id + "-" + list[i].Values.ID
		list[i].EValues.ID = id + "-" + list[i].EValues.ID
	}
	return curves(list)
}

// Badge is the verdict as the pages show it.
func Badge(kind release.VerdictKind) templ.Component { return verdictBadge(badgeOf(kind)) }

// Stylesheet is that of the pages.
func Stylesheet() string {
	text, err := assets.ReadFile("assets/style.css")
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(text)
}
