#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# A long broadcast on this machine with a lap of 20 s, seen by two viewers, the second through the
# first. A verdict at the end: status 0 when every byte from where a viewer tuned in was seen as it was
# sent, nothing stalled or was skipped, no process holds more memory at the end than after its first
# quarter, and no viewer is farther behind the source than it was then.
#
# usage: soak.sh [--minutes N] [--bitrate BITS] [--latency MS] [--help]
#
#   --minutes N      how long (default 20)
#   --bitrate BITS   of the picture, per second (default 1000000)
#   --latency MS     the viewers' distance behind the source (default 1000)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

minutes=20
bitrate=1000000
latency=1000
while (($#)); do
    case $1 in
        --minutes) minutes=${2-}; shift ;;
        --bitrate) bitrate=${2-}; shift ;;
        --latency) latency=${2-}; shift ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
is_number "$minutes" || die "--minutes needs a number"
is_number "$bitrate" 100000 || die "--bitrate needs a number of at least 100000"
is_number "$latency" 0 || die "--latency needs a number"

readonly names=(source viewer1 viewer2)
# What a process may hold more at the end (KiB): pages that the allocator keeps.
readonly allowed_kib=4096
# How much later a viewer may be at the end (ms).
readonly allowed_ms=100

use_plugin
dir=$(mktemp -d)
children=()

clean_up() {
    trap - EXIT INT TERM
    ((${#children[@]} == 0)) || kill "${children[@]}" 2>/dev/null || true
    wait
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'clean_up; exit 130' INT
trap 'clean_up; exit 143' TERM

# launch NAME PIPELINE
launch() {
    local name=$1
    shift
    # -e: SIGINT ends the stream properly.
    # shellcheck disable=SC2048,SC2086 # the pipeline is words
    gst-launch-1.0 -e -m $* >"$dir/$name.log" 2>&1 </dev/null &
    children+=($!)
}

# The port that the element in NAME.log listens on; waits for it.
port_of() {
    local tries port
    for ((tries = 0; tries < 150; tries++)); do
        port=$(sed -n 's/.*livetorrent-ready.* port=([a-z0-9]*)\([0-9]*\).*/\1/p' "$dir/$1.log" | head -n1)
        if [[ -n $port ]]; then
            say "$port"
            return
        fi
        sleep 0.1
    done
    die "$1 did not start"
}

size_of() { stat --format=%s "$dir/$1.ts" 2>/dev/null || say 0; }
memory_of() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status" 2>/dev/null || say 0; }
milliseconds() { say "$((${EPOCHREALTIME/[!0-9]/} / 1000))"; }

file() { say "! filesink buffer-mode=unbuffered sync=false async=false location=$dir/$1.ts"; }

start() {
    local nowhere=http://127.0.0.1:1/announce
    launch source "$(test_picture "$bitrate") ! tee name=bytes bytes. ! queue $(file source)" \
        "bytes. ! queue ! livetorrentsink name=soak location=$dir/soak.tstream port=0" \
        "public-address=127.0.0.1 bitrate=$bitrate duration=20000000000"
    port_of source >/dev/null
    launch viewer1 "livetorrentsrc location=$dir/soak.tstream latency=$latency peer-cache=$dir/viewer1.peers $(file viewer1)"
    # The same stream (announce is no part of the infohash) without a way to the source.
    LC_ALL=C sed -E "1s#^d8:announce[0-9]+:http://[^/]*/announce#d8:announce${#nowhere}:$nowhere#" \
        "$dir/soak.tstream" >"$dir/second.tstream"
    launch viewer2 "livetorrentsrc location=$dir/second.tstream latency=$latency peer-cache=$dir/viewer2.peers" \
        "peers=127.0.0.1:$(port_of viewer1) $(file viewer2)"
    port_of viewer2 >/dev/null
}

# Ten times a second a line of sizes, every ten seconds one of memory.
watch() {
    local began now next=0
    began=$(milliseconds)
    while now=$(($(milliseconds) - began)); ((now < minutes * 60000)); do
        say "$now $(size_of source) $(size_of viewer1) $(size_of viewer2)" >>"$dir/sizes"
        if ((now >= next)); then
            say "$now $(memory_of "${children[0]}") $(memory_of "${children[1]}") $(memory_of "${children[2]}")" \
                >>"$dir/memory"
            tail -n1 "$dir/memory" | awk '{ printf "%5d s   source %d, viewers %d and %d MiB\n",
                $1 / 1000, $2 / 1024, $3 / 1024, $4 / 1024 }'
            next=$((next + 10000))
        fi
        sleep 0.1
    done
}

fail() {
    say "  $*"
    failed=true
}

# The source ends its stream; the viewers then get EOS and leave by themselves.
finish() {
    local i tries
    kill -INT "${children[0]}"
    for i in "${!names[@]}"; do
        for ((tries = 0; tries < 200; tries++)); do
            kill -0 "${children[i]}" 2>/dev/null || break
            sleep 0.1
        done
        ! kill -0 "${children[i]}" 2>/dev/null || fail "${names[i]} did not end by itself"
    done
}

# greatest FILE COLUMN FROM TO: in the part of the run between two moments (ms).
greatest() {
    awk -v column="$2" -v from="$3" -v to="$4" \
        '$1 >= from && $1 < to && $column > most { most = $column } END { print most + 0 }' "$dir/$1"
}

# lateness COLUMN OFFSET FROM TO: how long after the source a viewer wrote as much, median (ms).
lateness() {
    awk -v column="$1" -v offset="$2" -v from="$3" -v to="$4" '
        { time[NR] = $1; sent[NR] = $2; got[NR] = $column }
        END {
            at = 1
            for (i = 2; i <= NR; i++) {
                if (got[i] == got[i - 1] || time[i] < from || time[i] >= to) continue
                while (at < i && sent[at] < got[i] + offset) at++
                print time[i] - time[at]
            }
        }' "$dir/sizes" | sort -n | awk '{ late[NR] = $1 } END { print NR ? late[int((NR + 1) / 2)] : -1 }'
}

# judge_memory NAME COLUMN
judge_memory() {
    local span=$((minutes * 60000)) early late
    early=$(greatest memory "$2" 0 $((span / 4)))
    late=$(greatest memory "$2" $((span / 4)) "$span")
    say "$1: $((early / 1024)) MiB at most in the first quarter, $((late / 1024)) MiB after it"
    ((late <= early + allowed_kib)) || fail "that is more"
}

# judge_bytes NAME COLUMN
judge_bytes() {
    local span=$((minutes * 60000)) sent got headers offset early late message
    sent=$(size_of source)
    got=$(size_of "$1")
    for message in stalled skipped; do
        ! grep -q "livetorrent-$message" "$dir/$1.log" || fail "$1: $message"
    done
    # A viewer starts at a random access point, with the stream's headers (PAT and PMT) before it.
    for headers in 376 564 0; do
        offset=$((sent - got + headers))
        ((got > headers && offset >= 0)) || continue
        cmp --silent <(tail -c +$((offset + 1)) "$dir/source.ts") <(tail -c +$((headers + 1)) "$dir/$1.ts") || continue
        early=$(lateness "$2" $((offset - headers)) $((span / 8)) $((span / 4)))
        late=$(lateness "$2" $((offset - headers)) $((span * 7 / 8)) "$span")
        say "$1: $((got - headers)) of $sent bytes, each as it was sent; $early ms late at first, $late ms in the end"
        ((early >= 0 && late >= 0 && late <= early + allowed_ms)) || fail "it fell behind"
        return
    done
    fail "$1: $got bytes, NOT what was sent ($sent bytes)"
}

failed=false
start
watch
finish
for i in "${!names[@]}"; do
    judge_memory "${names[i]}" $((i + 2))
done
judge_bytes viewer1 3
judge_bytes viewer2 4
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
