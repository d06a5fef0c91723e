package stack

import (
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/lab/images"
)

const mainBranch = "main"

// commit is one of the forge's repository.
type commit struct {
	tag    string // of the image built from it; empty: none was
	branch string
	parent int // its number in the history, from one; 0: none
	title  string
	author string
	at     time.Time
	files  []file
}

type file struct{ path, content string }

func (c commit) email() string {
	first, _, _ := strings.Cut(strings.ToLower(c.author), " ")
	return first + "@example.com"
}

// history is the sample service's: v1 to v4 on the main branch, with commits
// in between as people make them, and each other image of the catalogue on a
// branch from v2.
func history() []commit {
	at := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
	commits := mainHistory()
	parent := 0 // of the branches
	known := map[string]bool{}
	for i := range commits {
		commits[i].branch, commits[i].parent = mainBranch, i
		commits[i].at = at.Add(time.Duration(i) * 26 * time.Hour)
		known[commits[i].tag] = true
		if commits[i].tag == "v2" {
			parent = i + 1
		}
	}
	for _, image := range images.Builtin("webapp", "", nil) {
		_, tag, _ := strings.Cut(image.Reference, ":")
		if known[tag] {
			continue
		}
		commits = append(commits, commit{
			tag: tag, branch: "try/" + tag, parent: parent, author: "Robin Vale",
			title: "Try " + strings.ReplaceAll(tag, "-", " "),
			at:    commits[parent-1].at.Add(time.Hour),
			files: []file{{"VERSION", tag + "\n"}},
		})
	}
	return commits
}

// mainHistory is written oldest first. The commit that makes v3 fail is one of
// three that went into it.
func mainHistory() []commit {
	return []commit{
		{
			title: "Serve the catalogue and the cart", author: "Ada Brook",
			files: []file{{"README.md", "# webapp\n\nThe shop's front door: catalogue, cart, checkout.\n"}, {"go.mod", "module example.com/mycompany/webapp\n\ngo 1.26\n"}},
		},
		{
			tag: "v1", title: "Take payments at checkout", author: "Ada Brook",
			files: []file{{"VERSION", "v1\n"}, {"checkout/checkout.go", checkoutV1}},
		},
		{
			title: "Explain how to run it", author: "Robin Vale",
			files: []file{{"README.md", "# webapp\n\nThe shop's front door: catalogue, cart, checkout.\n\n    go run . -listen :8080\n"}},
		},
		{
			tag: "v2", title: "Round prices to the cent", author: "Robin Vale",
			files: []file{{"VERSION", "v2\n"}, {"catalogue/price.go", "package catalogue\n\n// Round returns a price in whole cents.\nfunc Round(price float64) int64 { return int64(price*100 + 0.5) }\n"}},
		},
		{
			title: "Name the carrier in the order mail", author: "Ada Brook",
			files: []file{{"mail/order.txt", "Your order is on its way with {{.Carrier}}.\n"}},
		},
		{
			title: "Reuse the payment gateway's connection", author: "Kim Sato",
			files: []file{{"checkout/checkout.go", checkoutV3}},
		},
		{
			tag: "v3", title: "Show the delivery date at checkout", author: "Robin Vale",
			files: []file{{"VERSION", "v3\n"}, {"checkout/delivery.go", "package checkout\n\nimport \"time\"\n\n// Delivery returns the day an order of today arrives.\nfunc Delivery(today time.Time) time.Time { return today.AddDate(0, 0, 2) }\n"}},
		},
		{
			tag: "v4", title: "Open a connection for each payment again", author: "Kim Sato",
			files: []file{{"VERSION", "v4\n"}, {"checkout/checkout.go", checkoutV1}},
		},
	}
}

const checkoutV1 = `package checkout

import "context"

// Pay charges an order over a connection of its own.
func Pay(ctx context.Context, gateway Gateway, order Order) error {
	conn, err := gateway.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Charge(ctx, order.Total)
}
`

const checkoutV3 = `package checkout

import "context"

// Pay charges an order over the connection that is open already.
func Pay(ctx context.Context, gateway Gateway, order Order) error {
	return gateway.Conn().Charge(ctx, order.Total)
}
`
