#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Pulls network cables and plugs them in again: a source and a viewer at one switch, two viewers at
# another, each a network namespace of this machine. The cable is pulled at a viewer, between the
# switches and at the source. A verdict at the end: status 0 when everybody who was cut off said so,
# showed the stream again soon after the cable was back, nobody else stalled, every byte shown was
# broadcast, in order, and all viewers left by themselves at the end. Needs root; where namespaces or
# links cannot be made it says so and leaves with status 77.
#
# usage: cables.sh [--viewer S] [--between S] [--source S] [--allow MS] [--show] [--help]
#
#   --viewer S    seconds without the cable at a viewer (default 2; 0: it stays)
#   --between S   the same between the switches (default 6)
#   --source S    the same at the source (default 20)
#   --allow MS    longest time from plugging in to bytes (default 3000: two seconds, and one until the
#                 next random access point)
#   --show        print the end of each process's words, too

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

at_viewer=2
between=6
at_source=20
allowed=3000
show=false
while (($#)); do
    case $1 in
        --viewer) at_viewer=${2-}; shift ;;
        --between) between=${2-}; shift ;;
        --source) at_source=${2-}; shift ;;
        --allow) allowed=${2-}; shift ;;
        --show) show=true ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
for number in "$at_viewer" "$between" "$at_source" "$allowed"; do
    is_number "$number" 0 || die "'$number' is no number"
done

readonly bitrate=1000000
readonly subnet=10.78.0
readonly viewers=(near far1 far2)
readonly latency=1000
# Seconds for viewers to join and to settle after each cable.
readonly lead=4 settling=4
# Without the source for so long a viewer says that it is away.
readonly away=4

kind=cables
# shellcheck source=tests/namespaces.bash
source "$project/tests/namespaces.bash"
# shellcheck source=tests/broadcast.bash
source "$project/tests/broadcast.bash"

in_net() { ip -netns "$(namespace net)" "$@"; }

build_network() {
    begin_namespaces net bridge0 bridge1
    in_net link delete port0
    in_net link add between0 type veth peer name between1
    in_net link set between0 master bridge0 addrgenmode none up
    in_net link set between1 master bridge1 addrgenmode none up
    host source net bridge0 port1 "$subnet.1"
    host near net bridge0 port2 "$subnet.2"
    host far1 net bridge1 port3 "$subnet.3"
    host far2 net bridge1 port4 "$subnet.4"
}

# pull WHERE DEVICE SECONDS CUT...: the cable of the device, which cuts these viewers off.
pull() {
    local where=$1 device=$2 seconds=$3 name began after latest=0
    shift 3
    ((seconds)) || return 0
    local -A stalls aways sizes cut
    for name in "${viewers[@]}"; do
        stalls[$name]=$(said "$name" stalled)
        aways[$name]=$(said "$name" source-away)
    done
    in_net link set "$device" down
    sleep "$seconds"
    for name in "$@"; do
        cut[$name]=true
        sizes[$name]=$(size "$name")
        ((seconds < away)) || (($(said "$name" stalled) > stalls[$name])) || fail "$name did not tell of a stall"
        ((seconds < away)) || (($(said "$name" source-away) > aways[$name])) || fail "$name did not miss the source"
    done
    in_net link set "$device" up
    began=$(milliseconds)
    for name in "$@"; do
        await "$name, after the cable was back," 60 shows "$name" "${sizes[$name]}"
        after=$(($(milliseconds) - began))
        ((after <= latest)) || latest=$after
    done
    say "The cable $where was out for $seconds s: bytes again after $latest ms at the latest"
    ((latest <= allowed)) || fail "that is more than $allowed ms"
    sleep "$settling"
    for name in "${viewers[@]}"; do
        [[ -n ${cut[$name]-} ]] || (($(said "$name" stalled) == stalls[$name])) || fail "$name stalled, whose cable stayed"
        (($(said "$name" source-back) == $(said "$name" source-away))) || fail "$name still misses the source"
        (($(said "$name" resumed) == $(said "$name" stalled))) || fail "$name still stalls"
    done
}

build_network
use_plugin
# One process brings GStreamer's list of plugins up to date, not all of them at once.
gst-inspect-1.0 livetorrentsrc >/dev/null || die "GStreamer does not find the plugin"
encode $((2 * lead + at_viewer + between + at_source + 3 * settling + 3 * allowed / 1000))
start_broadcast "$subnet.1"
sleep "$lead"
pull "at a viewer" port3 "$at_viewer" far1
pull "between the switches" between0 "$between" far1 far2
pull "at the source" port1 "$at_source" near far1 far2
finish
judge_bytes "${viewers[@]}"
if $show; then
    tail -n 30 "$dir"/*.log
fi
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
