#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# The status pages of a broadcast and of one of its viewers in Chromium without a window, with another
# peer that calls itself a script: numbers move without reload, nothing is said on the console, the
# policy holds, keys reach everything, both colour schemes can be read, a phone is wide enough. And
# /metrics with Prometheus' promtool, where that is. A verdict at the end: status 0 when all of it is
# well. Where Chromium cannot be had it says so and leaves with status 77.
#
# usage: status-page.sh [--pictures FOLDER] [--help]
#
#   --pictures FOLDER   write pictures of the pages there, light and dark

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

children=()
end_children() { ((${#children[@]} == 0)) || kill "${children[@]}" 2>/dev/null || true; }
# shellcheck source=tests/pictures.bash
source "$project/tests/pictures.bash" "$@"

if ! { why=$("$project/pipelines/setup.sh" --check --with chromium --with python3 2>&1 >&3); } 3>&1 ||
    ! command -v chromium >/dev/null; then
    say "${0##*/}: skipped: no Chromium here: ${why##*$'\n'}"
    exit 77
fi
use_plugin
promtool=${CARGO_TARGET_DIR:-$project/target}/tools/promtool/promtool
[[ -x $promtool ]] || promtool=$(command -v promtool) || say "without promtool, which tests/tools.sh fetches"

# launch NAME PIPELINE...: gst-launch-1.0 in the background, its words in NAME.log.
launch() {
    local name=$1
    shift
    : >"$dir/$name.log"
    gst-launch-1.0 -e -m -v "$@" >"$dir/$name.log" 2>&1 </dev/null &
    children+=($!)
}

# port NAME PROPERTY: which port the element in NAME.log picked; waits for it.
port() {
    local tries port
    for ((tries = 0; tries < 300; tries++)); do
        port=$(sed -n "s/.*GstLiveTorrent.*: $2 = \([0-9]*\)$/\1/p" "$dir/$1.log" | head -n1)
        if [[ -n $port ]]; then
            say "$port"
            return
        fi
        sleep 0.1
    done
    cat "$dir/$1.log" >&2
    die "$1 did not start"
}

launch source videotestsrc is-live=true ! video/x-raw,width=240,height=136,framerate=25/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=25 \
    ! video/x-h264,profile=baseline ! mpegtsmux \
    ! livetorrentsink name=broadcast location="$dir/broadcast.tstream" port=0 public-address=127.0.0.1 lsd=false
source_port=$(port source port)
for name in viewer second third; do
    launch "$name" livetorrentsrc location="$dir/broadcast.tstream" status-port=0 lsd=false ! fakesink
done
viewer_port=$(port viewer status-port)
timeout --kill-after=5 120 python3 "$project/tests/status-page.py" "$source_port" "$viewer_port" \
    "$dir" "$promtool" "$pictures"
say OK
