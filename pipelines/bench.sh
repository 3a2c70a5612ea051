#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Prints figures of this machine, and judges none of them: how soon a viewer sees a picture, the delay
# that one hop adds at 4 Mbit/s, then processor time and memory of a broadcast and a viewer at 8 Mbit/s, SRT's beside ours.
#
# usage: bench.sh [--seconds N] [--help]
#
#   --seconds N   how long each measurement takes (default 20)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

seconds=20
while (($#)); do
    case $1 in
        --seconds) seconds=${2-}; shift ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
is_number "$seconds" 5 || die "--seconds needs a number of at least 5"

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

# launch NAME PIPELINE: in the background; its process id is then in $!.
launch() {
    # shellcheck disable=SC2086 # the pipeline is words
    gst-launch-1.0 -m $2 >"$dir/$1.log" 2>&1 </dev/null &
    children+=($!)
}

# Processor time of a process in clock ticks: user and system.
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }

# report NAME PID TICKS-BEFORE
report() {
    local used memory
    used=$(($(ticks "$2") - $3))
    memory=$(awk '/^VmHWM/ { print $2 }' "/proc/$2/status")
    awk -v name="$1" -v used="$used" -v rate="$(getconf CLK_TCK)" -v seconds="$seconds" -v memory="$memory" \
        'BEGIN { printf "%-28s %5.1f %% of a core   at most %5.1f MiB\n", name, 100 * used / rate / seconds, memory / 1024 }'
}

# pair NAME SINK SOURCE: a broadcast of the file and a viewer of it, measured once both run.
pair() {
    local sink viewer sink_ticks viewer_ticks
    launch "$1-sink" "filesrc location=$dir/8M.ts ! tsparse set-timestamps=true ! $2"
    sink=$!
    sleep 2
    launch "$1-src" "$3 ! fakesink"
    viewer=$!
    sleep 3
    sink_ticks=$(ticks "$sink")
    viewer_ticks=$(ticks "$viewer")
    sleep "$seconds"
    report "$1, sink" "$sink" "$sink_ticks"
    report "$1, source" "$viewer" "$viewer_ticks"
    kill "$sink" "$viewer"
    wait "$sink" "$viewer" || true
    children=()
}

say "From PLAYING to the first picture, ten times, with a key frame a second"
(cd "$project" && cargo run --release --locked --quiet --example start-time -- 10 1000)

say "Delay of one hop at 4 Mbit/s, from the sink's pad to the source's"
(cd "$project" && cargo run --release --locked --quiet --example hop-delay -- "$seconds" 4000000)

gst-launch-1.0 -q videotestsrc num-buffers=$(((seconds + 15) * 25)) pattern=snow \
    ! video/x-raw,width=640,height=360,framerate=25/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=8000 key-int-max=25 \
    ! mpegtsmux ! filesink location="$dir/8M.ts"
say "Processor and memory at $(($(stat --format=%s "$dir/8M.ts") * 8 / (seconds + 15) / 1000)) kbit/s, over $seconds s"
pair livetorrent \
    "livetorrentsink name=bench location=$dir/bench.tstream port=0 public-address=127.0.0.1" \
    "livetorrentsrc location=$dir/bench.tstream port-mapping=false peer-cache=$dir/peers"
if gst-inspect-1.0 --exists srtsink; then
    pair srt "srtsink uri=srt://127.0.0.1:17764?mode=listener wait-for-connection=false" \
        "srtsrc uri=srt://127.0.0.1:17764"
else
    say "no SRT here to compare with"
fi
