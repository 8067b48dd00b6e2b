#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A Docker Engine for the tests of one process, which ends with it: engine.sh FOLDER OWNER BRIDGE ADDRESS/PREFIX
#
# Engine, shims and containers have a space of processes and of mounts of their own, so none of them outlives the engine,
# however that ends. The bridge is in the network of the tests, who call the containers. No rule of the packet filter is made.
set -eu
folder=$1 owner=$2 bridge=$3 address=$4
group=martlet-engine-$owner

ip link add name "$bridge" type bridge
ip address add "$address" dev "$bridge"
ip link set "$bridge" up

# When the tests are gone, whatever became of them, so is all that was made here.
engine=$$
(
    tail --pid="$owner" -f /dev/null
    kill -KILL "$engine"
    tail --pid="$engine" -f /dev/null
    ip link delete "$bridge"
    until rm -rf "$folder" 2>/dev/null; do sleep 0.1; done
    find /sys/fs/cgroup -depth \( -name "$group" -o -path "*/$group/*" \) -type d -exec rmdir {} +
) >/dev/null 2>&1 </dev/null &

# Images that are not here are looked for at a proxy that is not there: no test waits for a registry in the world.
export HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.0/8
exec unshare --pid --fork --kill-child --mount --mount-proc --propagation private sh -c '
    mkdir -p /etc/docker
    mount -t tmpfs none /etc/docker
    mount -t tmpfs none /run
    exec dockerd "$@"
' engine \
    --data-root "$folder/data" --exec-root "$folder/exec" --host "unix://$folder/docker.sock" --pidfile "$folder/pid" \
    --bridge "$bridge" --cgroup-parent "/$group" \
    --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
