package main

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/lab/images"
	"github.com/watchtower-verify/watchtower/lab/stack"
)

func newImages(s *settings) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "images",
		Short: "Show and change the image catalogue",
	}
	cmd.PersistentFlags().StringVar(&file, "catalogue", "", "image catalogue file (default: that of the lab that runs, or images.json in the state folder)")
	open := func() (*images.Catalogue, error) {
		if file != "" {
			return images.Open(file)
		}
		info, err := stack.Find(s.stateDir)
		if err == nil {
			return images.Load(info.Catalogue)
		}
		if !errors.Is(err, stack.ErrNotRunning) {
			return nil, err
		}
		return stack.OpenCatalogue(s.stateDir)
	}
	cmd.AddCommand(newImagesList(s, open), newImagesAdd(s, open), newImagesRemove(open))
	return cmd
}

func newImagesList(s *settings, open func() (*images.Catalogue, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show the images and what they stand for",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cat, err := open()
			if err != nil {
				return err
			}
			list, err := cat.Images()
			if err != nil {
				return err
			}
			if s.output == "json" {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			rows := [][]string{{"IMAGE", "DIGEST", "REVISION", "COMMAND", "ENV"}}
			for _, im := range list {
				revision := im.Labels[images.LabelRevision]
				rows = append(rows, []string{im.Reference, short(im.Digest, 19), short(revision, 10), strings.Join(im.Command, " "), pairs(im.Env)})
			}
			return table(cmd.OutOrStdout(), rows...)
		},
	}
}

func newImagesAdd(s *settings, open func() (*images.Catalogue, error)) *cobra.Command {
	var im images.Image
	var args []string
	cmd := &cobra.Command{
		Use:     "add REFERENCE --command EXECUTABLE",
		Short:   "Make an executable an image, or change an image",
		Example: "  lab images add mycompany/foo:1 --command ./foo --arg=-listen=:8080 --env MODE=test --label org.opencontainers.image.revision=0a1b2c",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			path, err := exec.LookPath(im.Command[0])
			if err == nil {
				path, err = filepath.Abs(path)
			}
			if err != nil {
				return fmt.Errorf("command of image %s: %w", names[0], err)
			}
			im.Reference, im.Command = names[0], append([]string{path}, args...)
			cat, err := open()
			if err != nil {
				return err
			}
			added, err := cat.Add(im)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return writeJSON(cmd.OutOrStdout(), added[0])
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s@%s\n", added[0].Reference, added[0].Digest)
			return err
		},
	}
	im.Command = []string{""}
	cmd.Flags().StringVar(&im.Command[0], "command", "", "the executable")
	cmd.Flags().StringArrayVar(&args, "arg", nil, "argument of the executable")
	cmd.Flags().StringToStringVar(&im.Env, "env", nil, "variable of its environment, as A=B")
	cmd.Flags().StringToStringVar(&im.Labels, "label", nil, "label of the image, as A=B")
	cmd.Flags().BoolVar(&im.PullError, "pull-error", false, "make every pull of it fail")
	_ = cmd.MarkFlagRequired("command")
	return cmd
}

func newImagesRemove(open func() (*images.Catalogue, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "remove REFERENCE",
		Short: "Take an image out of the catalogue",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, names []string) error {
			cat, err := open()
			if err != nil {
				return err
			}
			return cat.Remove(names[0])
		},
	}
}

func short(s string, n int) string { return s[:min(n, len(s))] }

func pairs(m map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, name+"="+m[name])
	}
	return strings.Join(out, " ")
}
