package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/stack"
)

// deployFlags are those of `lab deploy`.
type deployFlags struct {
	replicas, port, minReady, deadline, history int32
	readyPath, metricsPath                      string
	recreate, paused                            bool
	wait                                        time.Duration
}

func newDeploy(s *settings) *cobra.Command {
	var f deployFlags
	spec := deployment.Spec{}
	cmd := &cobra.Command{
		Use:   "deploy NAME",
		Short: "Create a Deployment, or change what the flags say of one",
		Example: `  lab deploy webapp --image mycompany/webapp:v1 --replicas 4 --annotation watchtower.dev/autonomy=auto
  lab deploy webapp --image mycompany/webapp:v3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := stack.Find(s.stateDir)
			if err != nil {
				return err
			}
			client, err := clientOf(info)
			if err != nil {
				return err
			}
			spec.Name = args[0]
			f.fill(&spec, cmd.Flags())
			d, created, err := deployment.Apply(cmd.Context(), client, spec)
			if err != nil {
				return err
			}
			if f.wait > 0 {
				ctx, cancel := context.WithTimeout(cmd.Context(), f.wait)
				defer cancel()
				if err := deployment.WaitReady(ctx, client, spec.Namespace, spec.Name); err != nil {
					return err
				}
			}
			if s.output == "json" {
				return writeJSON(cmd.OutOrStdout(), map[string]any{
					"namespace": d.Namespace, "name": d.Name, "uid": d.UID, "generation": d.Generation, "created": created,
				})
			}
			done := "changed"
			if created {
				done = "created"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "deployment %s/%s %s\n", d.Namespace, d.Name, done)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.Image, "image", "", "image of the catalogue")
	flags.StringVarP(&spec.Namespace, "namespace", "n", "default", "namespace; created when missing")
	flags.StringVar(&spec.Container, "container", "", "container to change (default: the first)")
	flags.StringToStringVar(&spec.Env, "env", nil, "variable of the container, as A=B; A= removes it")
	flags.StringToStringVar(&spec.Annotations, "annotation", nil, "annotation of the Deployment, as A=B; A= removes it")
	flags.Int32Var(&f.replicas, "replicas", deployment.DefaultReplicas, "number of pods")
	flags.Int32Var(&f.port, "port", deployment.DefaultPort, "port the container listens on")
	flags.StringVar(&f.readyPath, "ready-path", deployment.DefaultReadyPath, `path of the readiness probe; "" for none`)
	flags.StringVar(&f.metricsPath, "metrics-path", deployment.DefaultMetricsPath, `path of the metrics; "" for not scraped`)
	flags.Int32Var(&f.minReady, "min-ready-seconds", 0, "how long a pod has to be ready to be available")
	flags.Int32Var(&f.deadline, "progress-deadline-seconds", 600, "how long a rollout may stand still")
	flags.Int32Var(&f.history, "revision-history-limit", 10, "old ReplicaSets to keep")
	flags.BoolVar(&f.recreate, "recreate", false, "strategy Recreate instead of RollingUpdate")
	flags.BoolVar(&f.paused, "paused", false, "pause the rollout")
	flags.BoolVar(&spec.Service, "service", false, "make a Service of the same name")
	flags.DurationVar(&f.wait, "wait", 0, "wait this long for the rollout to be through")
	return cmd
}

// fill puts the flags that were given into the Spec: those that were not are
// left as they are in the cluster.
func (f *deployFlags) fill(spec *deployment.Spec, flags *pflag.FlagSet) {
	given(flags, "replicas", &f.replicas, &spec.Replicas)
	given(flags, "port", &f.port, &spec.Port)
	given(flags, "ready-path", &f.readyPath, &spec.ReadyPath)
	given(flags, "metrics-path", &f.metricsPath, &spec.MetricsPath)
	given(flags, "min-ready-seconds", &f.minReady, &spec.MinReadySeconds)
	given(flags, "progress-deadline-seconds", &f.deadline, &spec.DeadlineSeconds)
	given(flags, "revision-history-limit", &f.history, &spec.HistoryLimit)
	given(flags, "recreate", &f.recreate, &spec.Recreate)
	given(flags, "paused", &f.paused, &spec.Paused)
}

func given[T any](flags *pflag.FlagSet, name string, value *T, to **T) {
	if flags.Changed(name) {
		*to = value
	}
}
