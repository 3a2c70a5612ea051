# shellcheck shell=bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Networks of this machine's own, a namespace a host; sourced after pipelines/lib.bash, never run.
# Whoever sources it sets `kind`, a word that tells its namespaces from others', and calls
# `begin_namespaces` before it makes any.

# A namespace's name tells whose it is, so that what a killed run left behind can be told.
prefix=livetorrent-${kind:?}-$$
dir=$(mktemp -d)
children=()

remove_namespaces() {
    local name
    while read -r name _; do
        [[ $name == "$1"-* ]] || continue
        # Daemons stay when all children are gone.
        ip netns pids "$name" | xargs --no-run-if-empty kill || true
        ip netns delete "$name" || true
    done < <(ip netns list 2>/dev/null)
}

clean_up() {
    trap - EXIT
    trap '' HUP INT TERM
    ((${#children[@]} == 0)) || kill "${children[@]}" 2>/dev/null || true
    wait
    remove_namespaces "$prefix"
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'clean_up; exit 129' HUP
trap 'clean_up; exit 130' INT
trap 'clean_up; exit 143' TERM

# cannot WHY: this machine is no place for namespaces.
cannot() {
    say "${0##*/}: skipped: $*"
    exit 77
}

# What runs that were killed have left.
remove_leftovers() {
    local name pid
    while read -r name _; do
        [[ $name =~ ^livetorrent-$kind-([0-9]+)- ]] || continue
        pid=${BASH_REMATCH[1]}
        [[ -d /proc/$pid ]] || ip netns delete "$name" || true
    done < <(ip netns list)
}

namespace() { say "$prefix-$1"; }

# begin_namespaces NET BRIDGE...: finds out whether there can be any here; the first has bridges only.
begin_namespaces() {
    local net=$1 bridge
    shift
    ((EUID == 0)) || cannot "network namespaces need root"
    "${project:?}/pipelines/setup.sh" --check --with iproute2
    remove_leftovers
    ip netns add "$(namespace "$net")" 2>"$dir/why" || cannot "no network namespaces here: $(<"$dir/why")"
    for bridge in "$@"; do
        ip -netns "$(namespace "$net")" link add "$bridge" type bridge 2>"$dir/why" ||
            cannot "no bridges here: $(<"$dir/why")"
        ip -netns "$(namespace "$net")" link set "$bridge" addrgenmode none up
    done
    ip -netns "$(namespace "$net")" link add port0 type veth peer name test0 2>"$dir/why" ||
        cannot "no virtual links here: $(<"$dir/why")"
}

# host NAME NET BRIDGE PORT ADDRESS: a namespace with a link to a bridge, at that port of it.
host() {
    ip netns add "$(namespace "$1")"
    ip -netns "$(namespace "$2")" -batch - <<EOT
link add $4 type veth peer name eth0 netns $(namespace "$1")
link set $4 master $3 addrgenmode none up
EOT
    ip -netns "$(namespace "$1")" -batch - <<EOT
link set lo up
link set eth0 addrgenmode none up
address add $5/24 dev eth0
EOT
}

# launch HOST PIPELINE...: gst-launch-1.0 in a host's namespace, its words in HOST.log.
launch() {
    local name=$1
    shift
    # At once, so that nobody takes what an earlier one of this name has said for its words.
    : >"$dir/$name.log"
    ip netns exec "$(namespace "$name")" gst-launch-1.0 -e -m "$@" >"$dir/$name.log" 2>&1 </dev/null &
    children+=($!)
}

# await WHAT SECONDS COMMAND...: until the command succeeds.
await() {
    local what=$1 tries=$(($2 * 20))
    shift 2
    until "$@"; do
        ((tries-- > 0)) || die "$what takes too long"
        sleep 0.05
    done
}

is_ready() { grep -qs livetorrent-ready "$dir/$1.log"; }

milliseconds() { say "$((${EPOCHREALTIME/[!0-9]/} / 1000))"; }
