#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Behind home routers: two homes with a router each, and hosts outside, all of them network namespaces of
# this machine. The routers translate addresses by nftables; one of them may run miniupnpd, which maps
# ports. Four broadcasts: from outside to a viewer in each home, who give all of it to one outside that
# they call and the source cannot reach; from a home whose router maps the port (by PCP, while somebody
# else there has that port outside) to viewers outside, in the other home, on the broadcaster's network and
# on its machine, all with one .tstream; the same by UPnP, without viewers; and from a home whose router
# maps nothing, by a relay outside. A verdict at the end: status 0 when every viewer shows every byte from
# where it joined on, and the router maps nothing any more when a broadcast is over. Needs root; where
# namespaces or links cannot be made, or miniupnpd cannot be had (Debian: miniupnpd-nftables), it says so
# and leaves with status 77.
#
# usage: nat.sh [--show] [--help]
#
#   --show        print the end of each process's words, too

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

show=false
while (($#)); do
    case $1 in
        --show) show=true ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift
done

# What is tried is who reaches whom: a busy machine has time.
readonly bitrate=1000000 latency=3000
# Of each broadcast.
readonly seconds=10
readonly port=7764
# Outside there are addresses that count as public: miniupnpd maps no port of a private one.
readonly outside=11.79.0 home1=192.168.79 home2=192.168.80
# Milliseconds for a source to begin and, after EOS, to end, whatever its router does.
readonly quick=3000

kind=nat
# shellcheck source=tests/namespaces.bash
source "$project/tests/namespaces.bash"
# shellcheck source=tests/broadcast.bash
source "$project/tests/broadcast.bash"

# Where a process runs that is not called like its host.
declare -A at=()

launch() {
    local name=$1
    shift
    ip netns exec "$(namespace "${at[$name]-$name}")" \
        gst-launch-1.0 -e -m "$@" >"$dir/$name.log" 2>&1 </dev/null &
    children+=($!)
}

# router NAME BRIDGE PORT INSIDE OUTSIDE: between that bridge (eth0) and the one outside (eth1). Nobody
# outside calls a host inside but where a port is mapped.
router() {
    local name
    name=$(namespace "$1")
    host "$1" net "$2" "$3" "$4"
    ip -netns "$(namespace net)" link add "$3o" type veth peer name eth1 netns "$name"
    ip -netns "$(namespace net)" link set "$3o" master bridge0 addrgenmode none up
    ip -netns "$name" link set eth1 addrgenmode none up
    ip -netns "$name" address add "$5/24" dev eth1
    ip netns exec "$name" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    # The chains of miniupnpd's are named as its configuration says.
    ip netns exec "$name" nft -f - <<'EOT' 2>"$dir/why" || cannot "no rules by nftables here: $(<"$dir/why")"
table inet home {
    chain mapped_forward { }
    chain mapped_in { }
    chain mapped_out { }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "eth0" accept
        jump mapped_forward
    }
    chain input {
        type filter hook input priority filter; policy accept;
        iifname "eth1" ct state new drop
    }
    chain prerouting {
        type nat hook prerouting priority dstnat;
        jump mapped_in
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        jump mapped_out
        oifname "eth1" masquerade
    }
}
EOT
}

# inside NAME BRIDGE PORT ADDRESS ROUTER
inside() {
    host "$1" net "$2" "$3" "$4"
    ip -netns "$(namespace "$1")" route add default via "$5"
}

build_network() {
    ip -netns "$(namespace net)" link delete port0
    host open net bridge0 port1 "$outside.11"
    host far net bridge0 port2 "$outside.12"
    router router1 bridge1 port3 "$home1.1" "$outside.1"
    router router2 bridge2 port4 "$home2.1" "$outside.2"
    inside home bridge1 port5 "$home1.2" "$home1.1"
    inside mate bridge1 port6 "$home1.3" "$home1.1"
    inside away bridge2 port7 "$home2.2" "$home2.1"
}

# Cuts the viewer outside off from the source there, and counts what comes from the homes.
cut_off() {
    ip netns exec "$(namespace far)" nft -f - <<EOT
table inet cut {
    counter from_homes { }
    chain input {
        type filter hook input priority filter;
        ip saddr $outside.11 drop
        ip saddr { $outside.1, $outside.2 } counter name from_homes
    }
}
EOT
}

# Ends that, and tells the bytes.
plug_in() {
    ip netns exec "$(namespace far)" nft list counter inet cut from_homes |
        sed -n 's/.* bytes \([0-9]*\).*/\1/p'
    ip netns exec "$(namespace far)" nft delete table inet cut
}

# map_ports PCP: has the first home's router map ports, by PCP and NAT-PMP or by UPnP alone.
map_ports() {
    cat >"$dir/miniupnpd.conf" <<EOT
ext_ifname=eth1
listening_ip=eth0
enable_natpmp=$1
enable_upnp=yes
secure_mode=yes
lease_file=$dir/leases
upnp_table_name=home
upnp_nat_table_name=home
upnp_forward_chain=mapped_forward
upnp_nat_chain=mapped_in
upnp_nat_postrouting_chain=mapped_out
uuid=$(</proc/sys/kernel/random/uuid)
allow 1024-65535 $home1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
EOT
    : >"$dir/leases"
    # It goes on by itself, as a daemon.
    ip netns exec "$(namespace router1)" miniupnpd -f "$dir/miniupnpd.conf" -P "$dir/pid"
    await "miniupnpd's start" 10 test -s "$dir/pid"
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

unmap_ports() {
    local pid
    pid=$(<"$dir/pid")
    kill "$pid"
    await "miniupnpd's end" 10 is_gone "$pid"
    rm -f "$dir/pid"
}

# The ports that lead to the host called `home`, as the router's rules have it.
mapped_port() {
    ip netns exec "$(namespace router1)" nft list chain inet home mapped_in |
        sed -n "s/.* th dport \([0-9]*\) .*dnat ip to $home1.2:$port.*/\1/p"
}
is_mapped() { [[ -n $(mapped_port) ]]; }
is_unmapped() { ! is_mapped && ! grep -qs "$home1.2" "$dir/leases"; }

# broadcast HOST PROPERTY...: the source, at that host.
broadcast() {
    local began
    at[source]=$1
    shift
    began=$(milliseconds)
    launch source filesrc location="$dir/sent.ts" ! livetorrentsink name=broadcast \
        location="$dir/broadcast.tstream" bitrate="$bitrate" port="$port" lsd=false "$@"
    await "the source's start" 15 is_ready source
    began=$(($(milliseconds) - began))
    ((began <= quick)) || fail "the source took $began ms to start"
}

# join VIEWER PROPERTY...: without local discovery, and without those it knows from the last time.
join() {
    local name=$1
    shift
    watch "$name" latency="$latency" lsd=false peer-cache="$dir/$name.peers" "$@"
}

# judge VIEWER...: each shows every byte from where it joined on.
judge() {
    local name
    judge_bytes "$@"
    for name in "$@"; do
        (($(said "$name" skipped) == 0)) || fail "$name skipped something"
    done
    ! $show || tail -n 30 "$dir"/*.log
    rm -f "$dir"/*.log
    for name in "$@"; do
        rm -rf "$dir/$name.ts" "$dir/$name.peers"
    done
}

began_at=$(milliseconds)
begin_namespaces net bridge0 bridge1 bridge2
# The package starts nothing.
"$project/pipelines/setup.sh" --check --with nftables --with miniupnpd-nftables >"$dir/why" 2>&1 ||
    cannot "no miniupnpd here: $(tail -n 1 "$dir/why")"
build_network
use_plugin
# One process brings GStreamer's list of plugins up to date, not all of them at once.
gst-inspect-1.0 livetorrentsrc >/dev/null || die "GStreamer does not find the plugin"
encode "$seconds"

say "== a broadcast from outside, viewers in two homes and outside"
viewers=(home away far)
cut_off
broadcast open
for name in home away; do join "$name" peers="$outside.12:$port"; done
join far port="$port"
finish
say "The viewers behind routers gave $(plug_in) bytes to the one outside, $(size far) of them the stream's"
judge "${viewers[@]}"

say "== a broadcast from a home whose router maps the port"
map_ports yes
cp "$dir/broadcast.tstream" "$dir/old.tstream"
# Somebody else there has the port already.
launch mate livetorrentsrc location="$dir/old.tstream" port="$port" lsd=false peer-cache="$dir/mate.peers" ! fakesink
holder=${children[-1]}
children=()
await "the other's port" 15 grep -qs "$home1.3" "$dir/leases"
viewers=(same near far away)
at[same]=home at[near]=mate
broadcast home upload-budget=0
await "the mapping" 15 grep -qs livetorrent-mapped "$dir/source.log"
is_mapped || fail "the router has no rule for the source"
where=$outside.1:$(mapped_port)
say "Those outside reach the source at $where"
[[ $where != *:$port ]] || fail "that port was somebody else's"
grep -q "livetorrent-mapped.*$where" "$dir/source.log" || fail "the message says otherwise"
grep -aq "http://$where/announce" "$dir/broadcast.tstream" || fail "the .tstream does not say so"
for name in "${viewers[@]}"; do join "$name"; done
kill "$holder"
finish
await "the end of the mapping" 2 is_unmapped
judge "${viewers[@]}"

say "== the same by UPnP"
unmap_ports
map_ports no
viewers=()
broadcast home
await "the mapping" 15 grep -qs livetorrent-mapped "$dir/source.log"
is_mapped || fail "the router has no rule for the source"
ended=$(milliseconds)
kill -INT "${children[0]}"
finish
ended=$(($(milliseconds) - ended))
say "The source ended within $ended ms"
((ended <= quick)) || fail "that took too long"
is_unmapped || fail "the mapping is still there"
unmap_ports

say "== a broadcast from a home whose router maps nothing, by a relay outside"
viewers=(relay far away)
at[relay]=open
# Nobody is there yet: the source calls it.
join relay port="$port"
relay=${children[-1]}
children=()
broadcast home auxiliary-seeders="$outside.11:$port"
children+=("$relay")
for name in far away; do join "$name" peers="$outside.11:$port"; done
finish
(($(said source mapped) == 0)) || fail "the source says that its port is mapped"
judge "${viewers[@]}"

say "In all it took $((($(milliseconds) - began_at) / 1000)) s"
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
