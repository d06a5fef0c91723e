package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/watchtower-verify/watchtower/lab/images"
	"github.com/watchtower-verify/watchtower/lab/parts"
)

// Lab is a running lab. Its methods may be called from several goroutines.
type Lab struct {
	opt        Options
	state      *state
	ports      *ports
	certs      certificates
	admin      user
	watchtower user
	spawner    *spawner
	built      map[string]parts.Built
	components []*component
	rest       *rest.Config
	client     kubernetes.Interface
	fills      bool // the sample service's images go into the catalogue
	catalogue  *images.Catalogue
	podRange   netip.Prefix
	rangeHold  net.Listener
	failed     chan *Failure
	life       context.Context // of what runs inside this process
	end        context.CancelFunc
	down       sync.Once

	mu   sync.Mutex
	info Info
}

// Up builds what is missing, starts a lab and returns when every part is
// ready. ctx bounds the start only: when it ends before, everything is ended
// again. Afterwards the lab runs until Down, and dies with this process at the
// latest.
func Up(ctx context.Context, opt Options) (*Lab, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	st, err := openState(opt.StateDir)
	if err != nil {
		return nil, err
	}
	l := &Lab{opt: opt, state: st, ports: newPorts(), spawner: newSpawner(), failed: make(chan *Failure, 64)}
	l.life, l.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := l.up(ctx); err != nil {
		l.Down()
		return nil, err
	}
	return l, nil
}

func (l *Lab) up(ctx context.Context) error {
	var err error
	if l.built, err = parts.Build(ctx, l.opt.Cache, l.opt.buildNames(), l.opt.Progress); err != nil {
		return err
	}
	if l.opt.Catalogue == "" {
		l.opt.Catalogue = l.state.path(catalogueName)
	}
	fills, err := l.fillsCatalogue()
	if err != nil {
		return err
	}
	if fills {
		if l.opt.Webapp, err = l.findWebapp(ctx); err != nil {
			return err
		}
	}
	l.fills = fills
	begin := time.Now()
	if err := l.prepare(); err != nil {
		return err
	}
	if err := l.startAll(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	l.info.StartedSeconds = time.Since(begin).Seconds()
	l.mu.Unlock()
	return l.publish()
}

// prepare takes ports and addresses and writes credentials: all that the parts
// have to know of one another before any is started.
func (l *Lab) prepare() error {
	for _, name := range portNames(&l.opt) {
		if err := l.ports.reserve(name, l.opt.Ports[name]); err != nil {
			return err
		}
	}
	var err error
	if l.podRange, l.rangeHold, err = claimPodRange(); err != nil {
		return err
	}
	if l.certs, err = newCertificates(l.state.path("auth")); err != nil {
		return err
	}
	l.admin = user{name: "admin", group: "system:masters", token: randomToken()}
	l.watchtower = user{name: "watchtower", group: "watchtower", token: randomToken()}
	if err := writeTokens(l.state.path("auth", "tokens.csv"), l.admin, l.watchtower); err != nil {
		return err
	}
	server := "https://" + l.ports.addr(APIServer)
	for file, u := range map[string]user{kubeconfigFile: l.admin, watchtowerKubeconfigFile: l.watchtower} {
		if err := writeKubeconfig(l.state.path(file), server, l.certs.caPEM, u); err != nil {
			return err
		}
	}
	l.rest = &rest.Config{Host: server, BearerToken: l.admin.token, TLSClientConfig: rest.TLSClientConfig{CAData: l.certs.caPEM}, QPS: 200, Burst: 400}
	if l.client, err = kubernetes.NewForConfig(l.rest); err != nil {
		return fmt.Errorf("make a client of the lab's API server: %w", err)
	}
	l.info = l.newInfo()
	for _, c := range l.allComponents() {
		if l.opt.has(c.name) {
			c.up = make(chan struct{})
			c.after = slices.DeleteFunc(c.after, func(name string) bool { return !l.opt.has(name) })
			l.components = append(l.components, c)
		}
	}
	return nil
}

func (l *Lab) newInfo() Info {
	info := Info{
		StateDir:       l.opt.StateDir,
		PID:            os.Getpid(),
		Kubeconfig:     l.state.path(kubeconfigFile),
		WatchtowerKube: l.state.path(watchtowerKubeconfigFile),
		APIServerURL:   l.rest.Host,
		RegistryAddr:   l.ports.addr(Registry),
		Catalogue:      l.opt.Catalogue,
		PodRange:       l.podRange.String(),
		LogDir:         l.state.path("logs"),
	}
	url := func(name string) string {
		if !l.opt.has(name) {
			return ""
		}
		return "http://" + l.ports.addr(name)
	}
	info.PrometheusURL, info.AlertmanagerURL = url(Prometheus), url(Alertmanager)
	info.KubeStateMetricsURL, info.ForgeURL = url(KubeStateMetrics), url(Gitea)
	if l.opt.has(Gitea) {
		info.ForgeUser, info.ForgeRepo = forgeUser, forgeOwner+"/"+forgeName
		info.ForgePasswordFile, info.ForgeTokenFile = l.state.path("auth", "forge-password"), l.state.path("auth", "forge-token")
	}
	for _, name := range Names() {
		if l.opt.has(name) {
			info.Parts = append(info.Parts, name)
		}
	}
	return info
}

// startAll starts every part as soon as those it needs are ready. The first
// that fails ends the start of the others.
func (l *Lab) startAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	byName := map[string]*component{}
	for _, c := range l.components {
		byName[c.name] = c
	}
	var group sync.WaitGroup
	for _, c := range l.components {
		group.Go(func() {
			for _, name := range c.after {
				select {
				case <-byName[name].up:
				case <-ctx.Done():
					return
				}
			}
			begin := time.Now()
			err := c.start(ctx, l.report)
			if err == nil && c.setup != nil {
				if err = c.setup(ctx); err != nil {
					err = fmt.Errorf("set up %s: %w", c.name, err)
				}
			}
			if err != nil {
				cancel(err)
				return
			}
			l.opt.Log.Info("part is ready", "part", c.name, "seconds", time.Since(begin).Seconds())
			close(c.up)
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

func (l *Lab) report(f *Failure) {
	l.opt.Log.Error("part ended", "part", f.Part, "error", f.Err)
	select {
	case l.failed <- f:
	default: // nobody has read 64 of them
	}
}

// Failed tells of parts that ended without being told to. Start brings one back.
func (l *Lab) Failed() <-chan *Failure { return l.failed }

// Info says where the lab's parts are.
func (l *Lab) Info() Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.info
}

// RESTConfig is an administrator's way to the API server.
func (l *Lab) RESTConfig() *rest.Config { return rest.CopyConfig(l.rest) }

// Client is an administrator's client of the API server.
func (l *Lab) Client() kubernetes.Interface { return l.client }

// Catalogue is the lab's image catalogue.
func (l *Lab) Catalogue() *images.Catalogue { return l.catalogue }

// Stop ends one part, as a fault; its port and data stay its own. It returns
// when the part is gone.
func (l *Lab) Stop(name string) error {
	c, err := l.component(name)
	if err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	c.stop()
	return l.publish()
}

// Start starts a part that was stopped, or died, on the same port and data,
// and returns when it is ready.
func (l *Lab) Start(ctx context.Context, name string) error {
	c, err := l.component(name)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	if err := c.start(ctx, l.report); err != nil {
		return err
	}
	return l.publish()
}

func (l *Lab) component(name string) (*component, error) {
	for _, c := range l.components {
		if c.name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("the lab has no such part (it has %s)", strings.Join(l.Info().Parts, ", "))
}

// Down ends every part and returns when all are gone. The state folder stays,
// to be looked at. A second call does nothing.
func (l *Lab) Down() {
	l.down.Do(func() {
		// First the pods, while the control plane that knows them is there; the
		// rest in any order.
		var group sync.WaitGroup
		for _, c := range l.components {
			if c.name == Node {
				c.stop()
			}
		}
		for _, c := range l.components {
			group.Go(c.stop)
		}
		group.Wait()
		l.end()
		l.spawner.close()
		l.ports.releaseAll()
		if l.rangeHold != nil {
			_ = l.rangeHold.Close()
		}
		l.state.close()
	})
}

// publish writes lab.json, by which other processes find the lab.
func (l *Lab) publish() error {
	pids := map[string]int{}
	for _, c := range l.components {
		if pid := c.pid(); pid > 0 {
			pids[c.name] = pid
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.info.PIDs = pids
	return l.state.publish(l.info)
}

// logFile is where a part's output goes.
func (l *Lab) logFile(name string) string { return l.state.path("logs", name+".log") }

// dataDir makes the folder of a part's data.
func (l *Lab) dataDir(name string) (string, error) {
	dir := filepath.Join(l.state.path("data"), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the data folder of %s: %w", name, err)
	}
	return dir, nil
}

// process is a component that is a program; args are made when it starts, when
// its port is known. ports are those it listens on.
func (l *Lab) process(name string, grace time.Duration, portNames []string, make func() (command, error)) *component {
	c := &component{name: name, timeout: time.Minute, grace: grace, logFile: l.logFile(name)}
	c.launch = func(context.Context) (*running, error) {
		cmd, err := make()
		if err != nil {
			return nil, err
		}
		l.ports.release(portNames...)
		return l.spawner.run(name, cmd, c.logFile)
	}
	return c
}

// errEnded is how a part inside this process ended when it gave no reason.
var errEnded = errors.New("it returned")

// inside is a component that is a goroutine of this process. begin returns
// when it has begun, with what to wait for.
func (l *Lab) inside(name string, begin func(ctx context.Context) (wait func() error, err error)) *component {
	c := &component{name: name, timeout: 30 * time.Second, logFile: l.logFile(name)}
	c.launch = func(context.Context) (*running, error) {
		ctx, cancel := context.WithCancel(l.life)
		wait, err := begin(ctx)
		if err != nil {
			cancel()
			return nil, err
		}
		r := &running{done: make(chan struct{})}
		r.kill = func(time.Duration) {
			cancel()
			<-r.done
		}
		go func() {
			defer cancel()
			if r.err = wait(); r.err == nil {
				r.err = errEnded
			}
			close(r.done)
		}()
		return r, nil
	}
	return c
}
