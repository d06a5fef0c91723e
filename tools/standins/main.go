// Command standins serves stand-ins of the receivers that Watchtower tells on
// loopback, to look at what each was told without an account anywhere:
//
//	go run ./tools/standins -dir DIR
//
// It writes DIR/watchtower-receivers.yaml, which names the receivers as a
// configuration does, and their secrets beside it. GET /received shows what
// they got; POST /fault?at=slack with a fault in JSON makes one of them fail,
// DELETE mends it; POST /break?what=slack/token revokes a token, and so on.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	address := flag.String("listen", "127.0.0.1:9490", "address of the stand-ins that speak HTTP, on loopback")
	mail := flag.String("mail", "127.0.0.1:9491", "address of the mail server, on loopback")
	dir := flag.String("dir", "", "folder for the secrets and the configuration of the receivers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *address, *mail, *dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "standins:", err)
		os.Exit(1)
	}
}

// listen listens on loopback only: the stand-ins are open to whoever reaches
// them.
func listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not on loopback", address)
	}
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}
