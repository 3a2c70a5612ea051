#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# A source with many connections and a viewer with many, for long: prints what both take of processor
# and memory, and how many they are connected to. The others are viewers as well, four to a process
# and a process to a host: each host is a network namespace. A verdict at the end: status 0 when both
# had their connections throughout, take no more in the second half than in the first, and the viewer
# showed every byte as it was sent. Needs root; where namespaces or links cannot be made it says so and
# leaves with status 77.
#
# usage: load.sh [--seconds S] [--connections N] [--neighbours N] [--bitrate BITS] [--help]
#
#   --seconds S       how long is measured once all are there (default 600)
#   --connections N   of the source (default 200)
#   --neighbours N    of the viewer (default 50)
#   --bitrate BITS    of the stream, per second (default 1000000)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

seconds=600
connections=200
neighbours=50
bitrate=1000000
while (($#)); do
    case $1 in
        --seconds) seconds=${2-}; shift ;;
        --connections) connections=${2-}; shift ;;
        --neighbours) neighbours=${2-}; shift ;;
        --bitrate) bitrate=${2-}; shift ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
is_number "$seconds" 10 || die "--seconds needs a number of at least 10"
{ is_number "$connections" 2 && ((connections <= 800)); } || die "--connections needs a number from 2 to 800"
{ is_number "$neighbours" && ((neighbours * 6 / 5 < connections)); } ||
    die "--neighbours needs a number, a fifth of --connections less at least"
is_number "$bitrate" 200000 || die "--bitrate needs a number of at least 200000"

# A network that nobody else sees: the source, the viewer, then the others.
readonly subnet=10.78.0
# As many as one address may have at the source (PROTOCOL §4).
readonly per_host=4
# Connections of each of the others: the source and a few more, or they would fill those that the viewer calls, which
# have room for it.
readonly others_peers=3 called_peers=40
# ms
readonly latency=2000
# Lines of the table.
readonly lines=10
# The part of the connections (%) that has to be there at half of the lines.
readonly most_of=95
# What the second half may take more than the first: memory (KiB), pages that the allocator keeps;
# processor (%), what a machine with other work makes of it.
readonly allowed_kib=4096 allowed_percent=5

kind=load
# None but the one of which the bytes are looked at, which is started apart.
viewers=()
# shellcheck source=tests/namespaces.bash
source "$project/tests/namespaces.bash"
# shellcheck source=tests/broadcast.bash
source "$project/tests/broadcast.bash"

# More than are wanted, since some are always in search of better ones.
called=$((neighbours + neighbours / 5))
# How many of the others there are: the source is connected to the viewer, too.
others=$((connections - 1))
# Seconds for all to start before the measurement: some, and a part for each.
lead=$((20 + others / 2))

# launch_others: a few to a host.
launch_others() {
    local left=$others room_for=$called host=0 words count peers
    while ((left > 0)); do
        words=()
        for ((count = 0; count < per_host && left > 0; count++, left--)); do
            peers=$others_peers
            ((room_for-- <= 0)) || peers=$called_peers
            words+=(livetorrentsrc location="$dir/broadcast.tstream" latency="$latency"
                max-peers="$peers" peer-cache="$dir/other$host.peers" ! fakesink sync=false async=false)
        done
        host "other$host" net bridge0 "port$((host + 3))" "$subnet.$((host + 3))"
        launch "other$host" "${words[@]}"
        host=$((host + 1))
    done
}

# addresses: where the others listen, HOST:PORT,... A viewer takes in fewer callers than it may have
# neighbours, unless its uplink is a great one, but calls whom its user names.
addresses() {
    local host
    for ((host = 0; host * per_host < called; host++)); do
        sed -n "s/.*livetorrent-ready.* port=([a-z0-9]*)\([0-9]*\).*/$subnet.$((host + 3)):\1/p" "$dir/other$host.log"
    done | head -n "$called" | paste -sd,
}

all_ready() { (($(cat "$dir"/other*.log | grep -c livetorrent-ready) == others)); }

# established HOST: TCP connections there that were made in full.
established() { ip netns exec "$(namespace "$1")" ss -Htn state established | wc -l; }

memory() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
# Processor time of a process in clock ticks: user and system.
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }

# The columns of both: connections, processor (%) since the line before, memory (KiB).
watch() {
    local began line now before hz ticks_source ticks_viewer
    local -a before_ticks
    hz=$(getconf CLK_TCK)
    say "      s   source: connections, processor %, MiB   viewer: connections, processor %, MiB"
    began=$(milliseconds)
    before=$began
    before_ticks=("$(ticks "${children[0]}")" "$(ticks "${children[1]}")")
    for ((line = 1; line <= lines; line++)); do
        while now=$(milliseconds); ((now < began + 1000 * seconds * line / lines)); do
            sleep 0.2
        done
        ticks_source=$(ticks "${children[0]}")
        ticks_viewer=$(ticks "${children[1]}")
        awk -v s="$((now - began))" -v passed="$((now - before))" -v hz="$hz" \
            -v ps="$((ticks_source - before_ticks[0]))" -v pv="$((ticks_viewer - before_ticks[1]))" \
            -v cs="$(established source)" -v cv="$(established viewer)" \
            -v ms="$(memory "${children[0]}")" -v mv="$(memory "${children[1]}")" 'BEGIN {
                part = 100000 / hz / passed
                printf "%d %d %.1f %d %d %.1f %d\n", s, cs, ps * part, ms, cv, pv * part, mv
            }' >>"$dir/table"
        tail -n1 "$dir/table" |
            awk '{ printf "%7d %20d %12.1f %4d %21d %12.1f %4d\n", $1 / 1000, $2, $3, $4 / 1024, $5, $6, $7 / 1024 }'
        before=$now
        before_ticks=("$ticks_source" "$ticks_viewer")
    done
}

# most COLUMN FIRST LAST: the greatest of some lines; `median` likewise.
most() { sed -n "$2,$3p" "$dir/table" | cut -d' ' -f"$1" | sort -g | tail -n1; }
median() {
    sed -n "$2,$3p" "$dir/table" | cut -d' ' -f"$1" | sort -g |
        awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

# judge NAME COLUMN WANTED: what stands in three columns from there.
judge() {
    local half=$((lines / 2)) count early late
    count=$(median "$2" 1 "$lines")
    ((count * 100 >= $3 * most_of)) || fail "$1 had $count connections of $3 at half of the lines"
    early=$(median $(($2 + 1)) 1 "$half")
    late=$(median $(($2 + 1)) $((half + 1)) "$lines")
    say "$1: processor $early % and $late %"
    awk -v early="$early" -v late="$late" -v more="$allowed_percent" 'BEGIN { exit !(late <= early + more) }' ||
        fail "that grows"
    early=$(most $(($2 + 2)) 1 "$half")
    late=$(most $(($2 + 2)) $((half + 1)) "$lines")
    say "$1: memory $((early / 1024)) and $((late / 1024)) MiB"
    ((late <= early + allowed_kib)) || fail "that grows"
}

all_connected() { (($(established source) >= connections && $(established viewer) >= neighbours)); }

await_connections() {
    local deadline=$(($(milliseconds) + 1000 * lead))
    until all_connected; do
        if (($(milliseconds) > deadline)); then
            fail "the source has $(established source) connections, the viewer $(established viewer)"
            return
        fi
        sleep 1
    done
}

use_plugin
begin_namespaces net bridge0
host source net bridge0 port1 "$subnet.1"
host viewer net bridge0 port2 "$subnet.2"
say "Encoding $((lead + seconds + 5)) s"
encode $((lead + seconds + 5))
say "Starting $connections viewers"
start_broadcast "$subnet.1" max-peers="$connections"
launch_others
await "the start of all" "$lead" all_ready
viewers=(viewer)
launch viewer livetorrentsrc location="$dir/broadcast.tstream" latency="$latency" max-peers="$called" \
    peers="$(addresses)" peer-cache="$dir/viewer.peers" \
    ! filesink buffer-mode=unbuffered sync=false async=false location="$dir/viewer.ts"
# Next to the source, where `finish` looks for it.
last=$((${#children[@]} - 1))
children=("${children[0]}" "${children[last]}" "${children[@]:1:last-1}")
await_connections
watch
finish
judge source 2 "$connections"
judge viewer 5 "$neighbours"
judge_bytes viewer
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
