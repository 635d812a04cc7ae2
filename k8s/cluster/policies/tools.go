//go:build tools

// Package policies names the program that k8s/cluster/build.sh builds, so that go.sum pins it.
package policies

import _ "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
