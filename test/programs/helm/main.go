// Reads manifests of Kubernetes from standard input, and fails at fields that Kubernetes does not know.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

var kinds = map[string]func() any{
	"ConfigMap":           func() any { return &corev1.ConfigMap{} },
	"DaemonSet":           func() any { return &appsv1.DaemonSet{} },
	"Deployment":          func() any { return &appsv1.Deployment{} },
	"Namespace":           func() any { return &corev1.Namespace{} },
	"NetworkPolicy":       func() any { return &networkingv1.NetworkPolicy{} },
	"PodDisruptionBudget": func() any { return &policyv1.PodDisruptionBudget{} },
	"Service":             func() any { return &corev1.Service{} },
}

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	failed := false
	for _, document := range bytes.Split(append([]byte("\n"), text...), []byte("\n---")) {
		if err := check(document); err != nil {
			failed = true
			fmt.Println(err)
		}
	}
	if failed {
		os.Exit(1)
	}
}

func check(document []byte) error {
	var head struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil || head.Kind == "" {
		return err
	}
	kind, known := kinds[head.Kind]
	if !known {
		return fmt.Errorf("%s %s: a kind that is not known here", head.Kind, head.Metadata.Name)
	}
	if err := yaml.UnmarshalStrict(document, kind()); err != nil {
		return fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, err)
	}
	return nil
}
