// Command etcd is the server of the etcd module, built here so that go.sum pins every byte of it.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
