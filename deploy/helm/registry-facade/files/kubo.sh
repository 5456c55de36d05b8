#!/bin/sh
# A Kubo node that knows nobody but the other nodes of this swarm. Needs IPFS_PATH, SWARM_KEY and PEERS, a name that DNS
# has the addresses of all of them for. Peers tell each other who they are over port 8090; without the key, knowing that
# is of no use.
set -eu
export LIBP2P_FORCE_PNET=1 IPFS_TELEMETRY=off

[ -f "$IPFS_PATH/config" ] || ipfs init --empty-repo
printf '/key/swarm/psk/1.0.0/\n/base16/\n%s\n' "$SWARM_KEY" > "$IPFS_PATH/swarm.key"
ipfs config profile apply autoconf-off > /dev/null
ipfs config --json AutoTLS.Enabled false
ipfs config --json Swarm.Transports.Network.Websocket false
ipfs config --json Discovery.MDNS.Enabled false
ipfs bootstrap rm --all
ipfs config Routing.Type none
ipfs config --json Provide.Enabled false
ipfs config Addresses.API /ip4/127.0.0.1/tcp/5001
ipfs config Addresses.Gateway /ip4/127.0.0.1/tcp/8080
ipfs config --json Addresses.Swarm '["/ip4/0.0.0.0/tcp/4001"]'

mkdir -p "$IPFS_PATH/peer"
ipfs config Identity.PeerID > "$IPFS_PATH/peer/id"
httpd -p 8090 -h "$IPFS_PATH/peer"

addresses() { nslookup "$PEERS" 2> /dev/null | sed -n '/^Name:/,$ s/^Address[ 0-9]*: *\([0-9.]*\).*/\1/p'; }

meet() {
  id=$(wget -q -T 2 -O - "http://$1:8090/id" | head -c 128) || return 0
  case "$id" in "" | *[!A-Za-z0-9]* | "$(cat "$IPFS_PATH/peer/id")") return 0 ;; esac
  ipfs swarm peering add "/ip4/$1/tcp/4001/p2p/$id" > /dev/null || true
}

# As long as this process is there, which the node becomes
while sleep 15 && kill -0 $$; do
  for address in $(addresses); do meet "$address"; done
done &

exec ipfs daemon --migrate=true
