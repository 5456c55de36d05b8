// A Kubernetes API server that keeps what it is told in an etcd of its own, all in one process: nothing runs pods.
package main

import (
	"fmt"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: kube-apiserver-alone DIR ETCD-URL [flags of kube-apiserver]")
		os.Exit(2)
	}
	etcd, err := startEtcd(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
	command := app.NewAPIServerCommand()
	command.SetArgs(append([]string{"--etcd-servers=" + os.Args[2]}, os.Args[3:]...))
	code := cli.Run(command)
	etcd.Close()
	os.Exit(code)
}

func startEtcd(dir, address string) (*embed.Etcd, error) {
	client, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config := embed.NewConfig()
	config.Dir = dir
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	config.ListenClientUrls = []url.URL{*client}
	config.AdvertiseClientUrls = config.ListenClientUrls
	config.ListenPeerUrls = []url.URL{peer}
	config.AdvertisePeerUrls = config.ListenPeerUrls
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	<-etcd.Server.ReadyNotify()
	return etcd, nil
}
