#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# A broadcast on this machine, seen by two viewers: a test picture with sound goes through
# livetorrentsink; the first viewer gets it from there, the second knows the first viewer only, so
# all it sees was passed on. Both decode what they get. At the end the bytes are compared with what
# was sent, and a verdict given: status 0 when everything arrived as it was sent.
#
# usage: demo.sh [--seconds N] [--bitrate BITS] [--latency MS] [--display] [--help]
#
#   --seconds N      how long (default 20)
#   --bitrate BITS   of the picture, per second (default 2000000)
#   --latency MS     the viewers' distance behind the source (default 1000)
#   --display        show the second viewer's picture in a window

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
# shellcheck source=pipelines/codecs.bash
source "$project/pipelines/codecs.bash"

seconds=20
bitrate=2000000
latency=1000
display=false
while (($#)); do
    case $1 in
        --seconds) seconds=${2-}; shift ;;
        --bitrate) bitrate=${2-}; shift ;;
        --latency) latency=${2-}; shift ;;
        --display) display=true ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
is_number "$seconds" 5 || die "--seconds needs a number of at least 5"
is_number "$bitrate" 100000 || die "--bitrate needs a number of at least 100000"
is_number "$latency" 0 || die "--latency needs a number"

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

# launch NAME PIPELINE...: gst-launch-1.0 in the background, its words in NAME.log.
launch() {
    local name=$1
    shift
    : >"$dir/$name.log"
    # -e: SIGINT ends the stream properly.
    # shellcheck disable=SC2048,SC2086 # the pipeline is words
    gst-launch-1.0 -e -m -v $* >"$dir/$name.log" 2>&1 </dev/null &
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
        kill -0 "${children[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    cat "$dir/$1.log" >&2
    die "$1 did not start"
}

size_of() { stat --format=%s "$dir/$1" 2>/dev/null || say 0; }
pictures_of() { grep -c 'pictures: last-message = chain' "$dir/$1.log" || true; }
milliseconds() { say $(($(date +%s%N) / 1000000)); }

# viewer NAME TSTREAM PROPERTIES WINDOW
viewer() {
    launch "$1" "livetorrentsrc location=$dir/$2 latency=$latency port-mapping=false $3 ! tee name=bytes" \
        "! queue ! filesink buffer-mode=unbuffered sync=false async=false location=$dir/$1.ts" \
        "bytes. ! queue ! decodebin name=decoder" \
        "decoder. ! queue ! videoconvert ! tee name=video" \
        "video. ! queue ! fakesink name=pictures silent=false" \
        "decoder. ! queue ! audioconvert ! fakesink" "$4"
}

start() {
    say "Broadcasting a test picture with sound, $((bitrate / 1000)) kbit/s, for $seconds s"
    launch source "$(test_picture "$bitrate") ! tee name=bytes" \
        "bytes. ! queue ! filesink buffer-mode=unbuffered sync=false async=false location=$dir/source.ts" \
        "bytes. ! queue ! livetorrentsink name=demo location=$dir/demo.tstream port=0" \
        "public-address=127.0.0.1"
    local source_port first_port nowhere=http://127.0.0.1:1/announce window=
    source_port=$(port_of source)
    say "Viewer 1 tunes in at the source, 127.0.0.1:$source_port"
    viewer viewer1 demo.tstream "" ""
    first_port=$(port_of viewer1)
    say "Viewer 2 tunes in at viewer 1, 127.0.0.1:$first_port"
    # The same stream (announce is no part of the infohash) without a way to the source.
    LC_ALL=C sed -E "1s#^d8:announce[0-9]+:http://[^/]*/announce#d8:announce${#nowhere}:$nowhere#" \
        "$dir/demo.tstream" >"$dir/second.tstream"
    ! $display || window="video. ! queue ! videoconvert ! autovideosink"
    viewer viewer2 second.tstream "peers=127.0.0.1:$first_port" "$window"
    port_of viewer2 >/dev/null
}

# Four times a second a line for the record: time and three sizes; once a second one to read.
watch_progress() {
    local began now next=0
    began=$(milliseconds)
    while now=$(($(milliseconds) - began)); ((now < seconds * 1000)); do
        say "$now $(size_of source.ts) $(size_of viewer1.ts) $(size_of viewer2.ts)" >>"$dir/record"
        if ((now >= next)); then
            printf '%4d s   sent %6d KiB   viewer 1 %6d KiB, %4d pictures   viewer 2 %6d KiB, %4d pictures\n' \
                $((now / 1000)) $(($(size_of source.ts) / 1024)) \
                $(($(size_of viewer1.ts) / 1024)) "$(pictures_of viewer1)" \
                $(($(size_of viewer2.ts) / 1024)) "$(pictures_of viewer2)"
            next=$((next + 1000))
        fi
        sleep 0.05
    done
}

# The source ends its stream; the viewers then get EOS and leave by themselves.
finish() {
    local pid tries
    say "The source ends the stream"
    kill -INT "${children[0]}"
    for pid in "${children[@]}"; do
        for ((tries = 0; tries < 200; tries++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        if kill -0 "$pid" 2>/dev/null; then
            say "    process $pid did not end by itself"
            kill "$pid"
            failed=true
        fi
    done
}

# How late $1 was over the run: for each of its sizes, how long before the source had written as
# much. Median, in ms. $2: the source's bytes before the viewer's first, $3: the file's column.
lateness() {
    awk -v offset="$2" -v column="$3" '
        { time[NR] = $1; sent[NR] = $2; got[NR] = $column }
        END {
            at = 1
            for (i = 2; i <= NR; i++) {
                if (got[i] == got[i - 1]) continue
                while (at < i && sent[at] < got[i] + offset) at++
                print time[i] - time[at]
            }
        }' "$dir/record" | sort -n | awk '{ late[NR] = $1 } END { if (NR) print late[int((NR + 1) / 2)] }'
}

# Compares what $1 got with the end of what was sent: a viewer starts at a random access point, with
# the stream's headers (PAT and PMT) before it.
judge() {
    local sent got headers offset pictures errors
    sent=$(size_of source.ts)
    got=$(size_of "$1.ts")
    pictures=$(pictures_of "$1")
    errors=$(grep -c '^ERROR' "$dir/$1.log" || true)
    for headers in 376 564 0; do
        offset=$((sent - got + headers))
        ((got > headers && offset >= 0)) || continue
        cmp --silent <(tail -c +$((offset + 1)) "$dir/source.ts") <(tail -c +$((headers + 1)) "$dir/$1.ts") || continue
        say "$3: $((got - headers)) of $sent bytes, the last $((100 * (got - headers) / sent)) %, each as it was sent;" \
            "$pictures pictures decoded, $errors errors; median $(lateness "$1" $((offset - headers)) "$2") ms late"
        ((pictures >= 25 && errors == 0)) || failed=true
        return
    done
    say "$3: $got bytes, NOT what was sent ($sent bytes); $pictures pictures decoded, $errors errors"
    grep '^ERROR' "$dir/$1.log" || true
    failed=true
}

failed=false
start
watch_progress
finish
judge viewer1 3 "Viewer 1 (from the source)"
judge viewer2 4 "Viewer 2 (from viewer 1) "
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
