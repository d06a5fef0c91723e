package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/watchtower-verify/watchtower/lab/stack"
)

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows in columns.
func table(w io.Writer, rows ...[]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// places are the rows that say where a lab's parts are.
func places(info stack.Info) [][]string {
	rows := [][]string{
		{"kubeconfig", info.Kubeconfig},
		{"kubeconfig of Watchtower", info.WatchtowerKube},
		{"API server", info.APIServerURL},
		{"Prometheus", info.PrometheusURL},
		{"Alertmanager", info.AlertmanagerURL},
		{"kube-state-metrics", info.KubeStateMetricsURL},
		{"forge", info.ForgeURL},
		{"forge repository", info.ForgeRepo},
		{"forge login", info.ForgeUser},
		{"forge password file", info.ForgePasswordFile},
		{"forge token file", info.ForgeTokenFile},
		{"image registry", info.RegistryAddr},
		{"image catalogue", info.Catalogue},
		{"pod addresses", info.PodRange},
		{"logs", info.LogDir},
	}
	return slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
}
