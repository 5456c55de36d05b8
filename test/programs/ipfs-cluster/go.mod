module registry-facade.test/ipfs-cluster

go 1.26

require github.com/ipfs-cluster/ipfs-cluster v1.1.6
