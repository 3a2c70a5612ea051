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
# then by IPv6. At the end without it, a .tstream that names the broadcaster by both, where whatever goes
# to it by one of them is lost, and then by the other. A verdict: status 0 when the viewers show the
# stream each time, and none does by the first file with lsd=false. Needs root; where namespaces or links
# cannot be made it says so and leaves with status 77.
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

# broadcast ADDRESS: from the host `source`, and the file names that.
broadcast() {
    launch source videotestsrc is-live=true ! video/x-raw,width=240,height=136,framerate=25/1 \
        ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=10 \
        ! video/x-h264,profile=baseline ! mpegtsmux ! livetorrentsink name=broadcast \
        location="$dir/broadcast.tstream" public-address="$1" local-addresses=false
    await "the source's start" 15 is_ready source
}

has_story() { grep -qs ' livetorrentsrc .*first byte: ' "$dir/$1.log"; }

# times NAME: when it had its first peer and its first byte, as its log says.
times() {
    awk '
        function milliseconds(time) {
            split(time, part, ":")
            return 1000 * (3600 * part[1] + 60 * part[2] + part[3])
        }
        !/ livetorrentsrc / { next }
        began == "" { began = milliseconds($1) }
        peer == "" && /has shaken hands/ { peer = milliseconds($1) - began }
        byte == "" && /first byte: / { byte = milliseconds($1) - began }
        END {
            if (peer == "" || byte == "") exit 1
            printf "after PLAYING the first peer in %d ms, the first byte in %d ms", peer, byte
        }
    ' "$dir/$1.log" || die "the log of $1 says nothing of its start"
}

# try FAMILY
try() {
    local began name
    broadcast "$nowhere"
    watch open lsd=false
    sleep "$without"
    ! shows open 0 || fail "a viewer found the broadcaster without local discovery"
    kill "${children[-1]}"
    wait "${children[-1]}" || true
    unset 'children[-1]'
    for name in open closed; do
        began=$(milliseconds)
        if [[ $name == open ]]; then
            GST_DEBUG=livetorrentsrc:5 watch open
        else
            GST_DEBUG=livetorrentsrc:5 watch closed upload-enabled=false
        fi
        await "the start of the viewer $name by $1" 30 shows "$name" 0
        began=$(($(milliseconds) - began))
        # The log may be behind the file.
        await "what the log says of it" 15 has_story "$name"
        say "By $1 the viewer $name shows the stream $began ms after its start: $(times "$name")"
        ((began <= allowed)) || fail "that is more than $allowed ms"
    done
    if $show; then
        tail -n 30 "$dir"/*.log
    fi
    end_all
    rm "$dir"/*.ts
}

# try_hole FAMILY LOST: nothing that goes to the source by the family (ip6 or ip) of the address LOST comes.
try_hole() {
    local began
    in_source nft add table inet hole
    in_source nft add chain inet hole input '{ type filter hook input priority 0; }'
    in_source nft add rule inet hole input "$1" daddr "$2" meta l4proto tcp counter drop
    broadcast "[$subnet6:1],$subnet.1"
    began=$(milliseconds)
    watch open lsd=false
    await "the start of the viewer where $2 is a hole" 30 shows open 0
    began=$(($(milliseconds) - began))
    say "With $2 lost the viewer shows the stream $began ms after its start"
    ((began <= allowed)) || fail "that is more than $allowed ms"
    # IPv6 goes first (RFC 8305, 4); where it is answered nobody need try IPv4.
    [[ $1 == ip || $(in_source nft list table inet hole) == *"packets "[1-9]* ]] || fail "$2 was never tried"
    in_source nft delete table inet hole
    end_all
    rm -rf "$dir"/*.ts "$dir"/*.peers
}

in_source() { ip netns exec "$(namespace source)" "$@"; }

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
number=0
for name in source open closed; do
    number=$((number + 1))
    ip -netns "$(namespace "$name")" address add "$subnet.$number/24" dev eth0
done
"$project/pipelines/setup.sh" --check --with nftables
try_hole ip6 "$subnet6:1"
try_hole ip "$subnet.1"
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
