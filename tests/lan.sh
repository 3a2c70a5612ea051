#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Local discovery: a broadcaster and two viewers at one switch, each a network namespace of this
# machine, and a .tstream that names a broadcaster where nobody is. One viewer takes nobody in. By IPv4,
# then by IPv6. A verdict at the end: status 0 when both show the stream each time, and neither does
# with lsd=false. Needs root; where namespaces or links cannot be made it says so and leaves with
# status 77.
#
# usage: lan.sh [--allow MS] [--show] [--help]
#
#   --allow MS    longest time from the start of a viewer's process to its first bytes (default 5000)
#   --show        print the end of each process's words, too

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

allowed=5000
show=false
while (($#)); do
    case $1 in
        --allow) allowed=${2-}; shift ;;
        --show) show=true ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
is_number "$allowed" || die "--allow needs a number"

# For documentation (RFC 5737): nobody's.
readonly nowhere=192.0.2.1
readonly subnet=10.79.0 subnet6=fd79:
# Seconds that a viewer without local discovery is given to show nothing.
readonly without=3

kind=lan
# shellcheck source=tests/namespaces.bash
source "$project/tests/namespaces.bash"
# shellcheck source=tests/broadcast.bash
source "$project/tests/broadcast.bash"

end_all() {
    kill "${children[@]}" 2>/dev/null || true
    wait
    children=()
}

# try FAMILY
try() {
    local began name
    launch source videotestsrc is-live=true ! video/x-raw,width=240,height=136,framerate=25/1 \
        ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=10 \
        ! video/x-h264,profile=baseline ! mpegtsmux ! livetorrentsink name=broadcast \
        location="$dir/broadcast.tstream" public-address="$nowhere" local-addresses=false
    await "the source's start" 15 is_ready source
    watch open lsd=false
    sleep "$without"
    ! shows open 0 || fail "a viewer found the broadcaster without local discovery"
    kill "${children[-1]}"
    wait "${children[-1]}" || true
    unset 'children[-1]'
    for name in open closed; do
        began=$(milliseconds)
        if [[ $name == open ]]; then watch open; else watch closed upload-enabled=false; fi
        await "the start of the viewer $name by $1" 30 shows "$name" 0
        began=$(($(milliseconds) - began))
        say "By $1 the viewer $name shows the stream $began ms after its start"
        ((began <= allowed)) || fail "that is more than $allowed ms"
    done
    if $show; then
        tail -n 30 "$dir"/*.log
    fi
    end_all
    rm "$dir"/*.ts
}

begin_namespaces net bridge0
ip -netns "$(namespace net)" link delete port0
number=0
for name in source open closed; do
    number=$((number + 1))
    host "$name" net bridge0 "port$number" "$subnet.$number"
done
use_plugin
# One process brings GStreamer's list of plugins up to date, not all of them at once.
gst-inspect-1.0 livetorrentsrc >/dev/null || die "GStreamer does not find the plugin"
try IPv4
number=0
for name in source open closed; do
    number=$((number + 1))
    ip -netns "$(namespace "$name")" -batch - <<EOT
address flush dev eth0
address add $subnet6:$number/64 dev eth0 nodad
EOT
done
try IPv6
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
