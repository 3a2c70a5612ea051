# shellcheck shell=bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# A broadcast from one host to viewers on others, who write what they see to files, and what is to
# hold of it when something on the way broke; sourced after tests/namespaces.bash, never run. Whoever
# sources it sets `bitrate` (of the stream), `viewers` (their names) and `latency` (of all of them).

# Seconds for a viewer to end by itself after the source has.
readonly farewell=15

failed=false
fail() {
    say "  $*"
    failed=true
}

# encode SECONDS: a stream of noise, in which hardly two packets are alike.
encode() {
    gst-launch-1.0 -q videotestsrc num-buffers=$((25 * $1)) pattern=snow \
        ! video/x-raw,width=240,height=136,framerate=25/1 \
        ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=$((${bitrate:?} * 9 / 10000)) \
        key-int-max=25 ! video/x-h264,profile=baseline ! mpegtsmux ! filesink location="${dir:?}/sent.ts"
}

# start_broadcast ADDRESS PROPERTY...: by the host `source` to all viewers; done when all of them show it.
start_broadcast() {
    local address=$1 name
    shift
    launch source filesrc location="$dir/sent.ts" ! livetorrentsink name=broadcast \
        location="$dir/broadcast.tstream" public-address="$address" bitrate="$bitrate" "$@"
    await "the source's start" 15 is_ready source
    for name in "${viewers[@]}"; do
        watch "$name" latency="${latency:?}"
    done
    for name in "${viewers[@]}"; do
        await "the start of $name" 30 shows "$name" 0
    done
}

# watch VIEWER PROPERTY...: writes what it sees to VIEWER.ts.
watch() {
    local name=$1
    shift
    # Each host has a cache of its own, and none is the user's.
    launch "$name" livetorrentsrc location="$dir/broadcast.tstream" peer-cache="$dir/$name.peers" "$@" \
        ! filesink buffer-mode=unbuffered sync=false async=false location="$dir/$name.ts"
}

size() { stat --format=%s "$dir/$1.ts" 2>/dev/null || say 0; }

# shows VIEWER BYTES: more than a few packets after so many.
shows() { (($(size "$1") > $2 + 1880)); }

# said VIEWER MESSAGE: how often.
said() { grep -c "livetorrent-$2" "$dir/$1.log" || true; }

# The file ends, the source ends the broadcast, and each viewer leaves once it has seen that.
finish() {
    local deadline i
    wait "${children[0]}" || fail "the source ended badly"
    deadline=$(($(milliseconds) + 1000 * farewell))
    for ((i = 0; i < ${#viewers[@]}; i++)); do
        while kill -0 "${children[i + 1]}" 2>/dev/null; do
            if (($(milliseconds) > deadline)); then
                fail "${viewers[i]} did not leave"
                kill "${children[i + 1]}"
                break
            fi
            sleep 0.1
        done
    done
    # Others than the viewers have nothing to show.
    kill "${children[@]:1+${#viewers[@]}}" 2>/dev/null || true
    wait
    children=()
}

# compare VIEWER: whether what it shows was sent, in the order in which it was, to the end; headers (PAT
# and PMT) may stand before any part. Prints how much of the broadcast it shows (%), how many holes
# there are, and how many bytes are missing in them.
compare() {
    perl -e '
        use strict;
        local $/;
        my ($sent, $got) = map { open my $file, "<:raw", $_ or die "$_: $!"; scalar <$file> } @ARGV;
        my ($at, $shown, $holes, $missing, @tables) = (-1, 0, 0, 0);
        die "it is no whole number of packets\n" if length($got) % 188;
        for (my $i = 0; $i < length $got; $i += 188) {
            my $packet = substr $got, $i, 188;
            if (!@tables && $at >= 0 && substr($sent, $at, 188) eq $packet) { $at += 188; $shown++; next }
            # Headers: whether they are of the broadcast or put before a part, what follows tells.
            my $pid = unpack("n", substr $packet, 1, 2) & 0x1fff;
            if ($pid < 0x40 || $pid == 0x1000) { push @tables, $packet; next }
            my $next = $at < 0 ? -1 : $at - 1;
            do { $next = index $sent, $packet, $next + 1 } while ($next > 0 && $next % 188);
            die "at byte $i stands what was not sent then\n" if $next < 0;
            my $first = $next;
            while (@tables && $first > $at && $first && substr($sent, $first - 188, 188) eq $tables[-1]) {
                $first -= 188;
                pop @tables;
                $shown++;
            }
            if ($at >= 0 && $first > $at) { $holes++; $missing += $first - $at }
            ($at, @tables) = ($next + 188);
            $shown++;
        }
        # What the broadcast ends with may be headers too.
        while (@tables && substr($sent, $at, 188) eq shift @tables) { $at += 188; $shown++ }
        die "the end is missing, from byte $at of ", length $sent, " on\n" if $at < length $sent;
        printf "%.1f %d %d\n", 18800 * $shown / length $sent, $holes, $missing;
    ' "$dir/sent.ts" "$dir/$1.ts"
}

# skipped VIEWER: the bytes that it said it skipped.
skipped() {
    sed -n 's/.*livetorrent-skipped.* bytes=(guint64)\([0-9]*\).*/\1/p' "$dir/$1.log" |
        awk '{ sum += $1 } END { printf "%d", sum }'
}

# judge_bytes VIEWER...: each shows the broadcast, in order, without what it said it skipped.
judge_bytes() {
    local name part holes missing told
    for name in "$@"; do
        if ! read -r part holes missing < <(compare "$name" 2>"$dir/why") || [[ -z ${part-} ]]; then
            fail "$name: $(<"$dir/why")"
            continue
        fi
        told=$(skipped "$name")
        say "$name shows $part % of the broadcast, in order; $holes holes of $missing bytes in all"
        ((missing == told)) || fail "it told of $told bytes"
    done
}
