#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# A swarm on a network of this machine's own: each host is a network namespace with a link of
# 100 Mbit/s to a bridge, and what a viewer may send is limited on its side of that link. One source
# broadcasts a transport stream, N viewers write what they see to files. A verdict at the end:
# status 0 when every output is the broadcast byte for byte, from where the viewer joined to its
# end, nothing was skipped, and the source's link carried no more than is allowed. Needs root;
# where namespaces or links cannot be made it says so and leaves with status 77.
#
# usage: lab.sh [N] [--seconds S] [--bitrate BITS] [--uplinks LIST] [--source-upload X] [--allow X]
#               [--latency MS] [--show] [--help]
#
#   N                   how many viewers, 1 to 250 (default 20)
#   --seconds S         how long is measured once all had time to join (default 60)
#   --bitrate BITS      of the stream, per second (default 2000000)
#   --uplinks LIST      what viewers can send, as multiple of the bitrate:percent of viewers,...
#                       (default 0.25:20,1:50,3:30)
#   --source-upload X   the source's upload-budget, as multiple of the bitrate (default 3)
#   --allow X           most that the source's link may carry (default --source-upload and a 15th of it:
#                       packet headers and messages beside the pieces)
#   --latency MS        the viewers' distance behind the source (default 1500; 0 shows what comes at
#                       once, so that the lateness is the network's)
#   --show              print the end of each process's words, too

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

viewers=20
seconds=60
bitrate=2000000
uplinks=0.25:20,1:50,3:30
budget=3
allowed=
latency=1500
show=false
is_multiple() { [[ $1 =~ ^[0-9]{1,4}(\.[0-9]{1,4})?$ ]]; }

while (($#)); do
    case $1 in
        --seconds) seconds=${2-}; shift ;;
        --bitrate) bitrate=${2-}; shift ;;
        --uplinks) uplinks=${2-}; shift ;;
        --source-upload) budget=${2-}; shift ;;
        --allow) allowed=${2-}; shift ;;
        --latency) latency=${2-}; shift ;;
        --show) show=true ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *) viewers=$1 ;;
    esac
    shift || die "an option lacks its value"
done
{ is_number "$viewers" && ((viewers <= 250)); } || die "how many viewers? A number from 1 to 250"
is_number "$seconds" 5 || die "--seconds needs a number of at least 5"
is_number "$bitrate" 200000 || die "--bitrate needs a number of at least 200000"
is_number "$latency" 0 || die "--latency needs a number"
is_multiple "$budget" || die "--source-upload needs a number"
[[ -n $allowed ]] || allowed=$(awk -v budget="$budget" 'BEGIN { printf "%.2f", budget * 16 / 15 }')
is_multiple "$allowed" || die "--allow needs a number"
[[ $uplinks =~ ^([0-9.]+:[0-9]+,)*[0-9.]+:[0-9]+$ ]] || die "--uplinks needs multiple:percent,..."

# The links, where no uplink is chosen.
readonly link_rate=100000000
# Longest wait in a link's queue; what comes then is dropped, as a home router does.
readonly queue=200ms
# A network that nobody else sees; the source is its first host.
readonly subnet=10.77.0
# Seconds for the viewers to start and join before the measurement: some, and a part for each.
lead=$((4 + (viewers + 3) / 4))
# Seconds for a viewer to end by itself after the source has.
readonly farewell=15

kind=lab
# shellcheck source=tests/namespaces.bash
source "$project/tests/namespaces.bash"

# limit HOST DEVICE RATE: what DEVICE sends. The bucket holds 5 ms, and two packets at least.
limit() {
    local burst=$(($3 / 8 / 200))
    ((burst >= 3100)) || burst=3100
    tc -netns "$(namespace "$1")" qdisc add dev "$2" root tbf rate "$3" burst "$burst" latency "$queue"
}

# limited_host NAME NUMBER UPLINK
limited_host() {
    host "$1" net bridge0 "port$2" "$subnet.$2"
    limit net "port$2" "$link_rate"
    limit "$1" eth0 "$3"
}

# Finds out whether a lab can be built here; its bridge is the first part of it.
build_bridge() {
    begin_namespaces net bridge0
    limit net port0 "$link_rate" 2>"$dir/why" || cannot "no limits by tc tbf here: $(<"$dir/why")"
    ip -netns "$(namespace net)" link delete port0
}

# Each viewer's uplink as a multiple of the bitrate, in `classes`: as many of each as --uplinks says,
# in an order that is mixed and always the same.
classes=()
draw_uplinks() {
    local i j class
    mapfile -t classes < <(awk -v list="$uplinks" -v n="$viewers" 'BEGIN {
        split(list, parts, ",")
        for (i = 1; i in parts; i++) { split(parts[i], part, ":"); total += part[2] }
        if (total != 100) exit
        for (i = 0; i < n; i++) {
            sum = 0
            for (k = 1; k in parts; k++) {
                split(parts[k], part, ":")
                if ((sum += part[2]) >= (i + 0.5) * 100 / n) break
            }
            print part[1]
        }
    }')
    ((${#classes[@]} == viewers)) || die "the percentages of --uplinks must make 100"
    RANDOM=1
    for ((i = viewers - 1; i > 0; i--)); do
        j=$((RANDOM % (i + 1)))
        class=${classes[i]}
        classes[i]=${classes[j]}
        classes[j]=$class
    done
}

# multiple X: that many times the bitrate, in bit/s and no more than the link's.
multiple() {
    awk -v x="$1" -v rate="$bitrate" -v most="$link_rate" \
        'BEGIN { rate *= x; printf "%d", (rate > most) ? most : (rate < 8000) ? 8000 : rate }'
}

build_network() {
    local i
    limited_host source 1 "$link_rate"
    for ((i = 0; i < viewers; i++)); do
        limited_host "v$i" $((i + 2)) "$(multiple "${classes[i]}")"
    done
}

# A stream of noise at the bitrate, exactly: the multiplexer fills up.
encode() {
    gst-launch-1.0 -q videotestsrc num-buffers=$((25 * (lead + seconds + 2))) pattern=snow \
        ! video/x-raw,width=320,height=180,framerate=25/1 \
        ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=$((bitrate * 92 / 100000)) \
        vbv-buf-capacity=400 key-int-max=25 ! video/x-h264,profile=baseline \
        ! mpegtsmux bitrate="$bitrate" ! filesink location="$dir/sent.ts"
}

# The source's place in its file, in `sent`: what it has broadcast but for a buffer.
position=
find_position() {
    local fd
    for fd in "/proc/${children[0]}/fd/"*; do
        if [[ $(readlink "$fd") == "$dir/sent.ts" ]]; then
            position=/proc/${children[0]}/fdinfo/${fd##*/}
            return
        fi
    done
    return 1
}
sent=0
read_position() { read -r _ sent 2>/dev/null <"$position" || true; }

# Bytes that HOST's link has carried away.
uploaded() { ip netns exec "$(namespace "$1")" cat /sys/class/net/eth0/statistics/tx_bytes; }

# Processor time of process $1 in clock ticks: user and system.
ticks() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '{ print $12 + $13 }'; }

# One line for each counter of every host: its name, its bytes, its processor's ticks.
counters() {
    local i
    say "time $(milliseconds)"
    # user, nice, system, idle, iowait and so on of all cores.
    awk '/^cpu / { print "machine", $2 + $3 + $4 + $7 + $8 }' /proc/stat
    say "source $(uploaded source) $(ticks "${children[0]}")"
    for ((i = 0; i < viewers; i++)); do
        say "v$i $(uploaded "v$i") $(ticks "${children[i + 1]}")"
    done
}

start() {
    local i
    launch source filesrc location="$dir/sent.ts" ! livetorrentsink name=lab \
        location="$dir/lab.tstream" public-address="$subnet.1" bitrate="$bitrate" upload-budget="$budget"
    await "the source's start" 15 is_ready source
    await "the broadcast" 15 find_position
    for ((i = 0; i < viewers; i++)); do
        started[i]=$(milliseconds)
        launch "v$i" livetorrentsrc location="$dir/lab.tstream" latency="$latency" \
            peer-cache="$dir/v$i.peers" \
            ! filesink buffer-mode=unbuffered sync=false async=false location="$dir/v$i.ts"
    done
}

# watch UNTIL: ten times a second a line for the record, what was sent and what each viewer has;
# once in five seconds one to read.
watch() {
    local sizes now next=0 i
    while now=$(milliseconds) && ((now < $1)); do
        read_position
        mapfile -t sizes < <(stat --format=%s "${outputs[@]}" 2>/dev/null)
        # A file that is not there yet would shift the columns.
        if ((${#sizes[@]} == viewers)); then
            say "$now $sent ${sizes[*]}" >>"$dir/record"
        fi
        for ((i = 0; i < ${#children[@]}; i++)); do
            kill -0 "${children[i]}" 2>/dev/null || died "$i"
        done
        if ((now >= next)); then
            printf '%4d s   sent %6d KiB, seen %s KiB\n' $(((now - began) / 1000)) $((sent / 1024)) \
                "$(range_of "${sizes[@]}")"
            next=$((now + 5000))
        fi
        sleep 0.07
    done
}

# range_of SIZES...: the least and the most, in KiB.
range_of() {
    (($#)) || set -- 0
    printf '%s\n' "$@" | sort -n | awk 'NR == 1 { least = $1 } END { printf "%d to %d", least / 1024, $1 / 1024 }'
}

# died CHILD: one that should still be there.
died() {
    local name=source
    (($1 == 0)) || name=v$(($1 - 1))
    tail -n 5 "$dir/$name.log" >&2
    die "$name ended before the broadcast"
}

# The file ends, the source ends the broadcast, and each viewer leaves once it has seen that.
finish() {
    local deadline=$(($(milliseconds) + 1000 * farewell)) i
    for ((i = 0; i <= viewers; i++)); do
        while kill -0 "${children[i]}" 2>/dev/null; do
            if (($(milliseconds) > deadline)); then
                kill "${children[i]}"
                ((i == 0)) || late[i - 1]=true
                break
            fi
            sleep 0.1
        done
    done
    wait
    children=()
}

# Compares FILE with what was sent. Prints where in the broadcast it starts, its headers' length (PAT
# and PMT, put before the stream where a viewer joins), how many bytes after them are right, and how
# many there are.
compare() {
    perl -e '
        use strict;
        local $/;
        my ($sent, $got) = map { open my $file, "<:raw", $_ or die "$_: $!"; scalar <$file> } @ARGV;
        $got //= "";
        for my $headers (376, 564, 752, 0) {
            next if length $got < $headers + 1880;
            my $rest = substr $got, $headers;
            my $start = index $sent, substr $rest, 0, 1880;
            next if $start < 0;
            my $differing = $rest ^ substr $sent, $start, length $rest;
            $differing =~ /^\0*/;
            print "$start $headers $+[0] ", length $rest, "\n";
            exit;
        }
        print "-1 0 0 ", length $got, "\n";
    ' "$dir/sent.ts" "$1"
}

# lateness VIEWER OFFSET LENGTH: how long the broadcast had been past what the viewer showed, in ms:
# median and most. OFFSET is what stands in the broadcast before the viewer's first byte; after LENGTH
# bytes of its output, one that skipped is no longer at a place that could be told.
lateness() {
    awk -v offset="$2" -v whole="$3" -v column=$(($1 + 3)) '
        { time[NR] = $1; sent[NR] = $2; got[NR] = $column }
        END {
            at = 1
            for (i = 2; i <= NR; i++) {
                if (got[i] == got[i - 1]) continue
                if (got[i] > whole) exit
                while (at < i && sent[at] < got[i] + offset) at++
                print time[i] - time[at]
            }
        }' "$dir/record" | sort -n |
        awk '{ late[NR] = $1 } END { if (NR) print late[int((NR + 1) / 2)], $1; else print "-", "-" }'
}

# When VIEWER's first byte was there, in ms after its start.
join_time() {
    awk -v column=$(($1 + 3)) -v started="${started[$1]}" \
        '$column > 0 { print $1 - started; found = 1; exit } END { if (!found) print "-" }' "$dir/record"
}

# A field of HOST's counters during the measurement: 2 is bytes, 3 is ticks.
difference() {
    awk -v host="$1" -v field="$2" '$1 == host { if (seen++) print $field - first; first = $field }' \
        "$dir/before" "$dir/after"
}

# over BYTES: as a multiple of the stream's bytes in the time measured.
over() { awk -v bytes="$1" -v rate="$bitrate" -v ms="$elapsed" 'BEGIN { printf "%.2f", bytes / (rate / 8 * ms / 1000) }'; }

# judge VIEWER: a line of the table.
judge() {
    local start headers right got skipped median most due verdict=exact
    read -r start headers right got < <(compare "$dir/v$1.ts")
    skipped=$(grep -c livetorrent-skipped "$dir/v$1.log" || true)
    read -r median most < <(lateness "$1" $((start - headers)) $((headers + right)))
    due=$((start < 0 ? size : size - start))
    if ((start < 0)); then
        verdict="NOT the broadcast"
    elif ((right < got)); then
        verdict="WRONG after $right bytes"
    elif ((got < due)); then
        verdict="INCOMPLETE"
    fi
    ((skipped == 0)) || verdict="$verdict, SKIPPED $skipped times"
    ! ${late[$1]:-false} || verdict="$verdict, did NOT END"
    ! grep -q '^ERROR' "$dir/v$1.log" || verdict="$verdict, $(grep -m1 '^ERROR' "$dir/v$1.log")"
    [[ $verdict == exact ]] || failed=true
    printf '%6s %7s x %8s %8s %8s %8s x %8.2f %%  %s\n' "$1" "${classes[$1]}" "$(join_time "$1")" "$median" "$most" \
        "$(over "$(difference "v$1" 2)")" "$(awk -v got="$got" -v due="$due" 'BEGIN { print 100 * got / due }')" "$verdict"
}

# of_a_core TICKS
of_a_core() {
    awk -v used="$1" -v rate="$(getconf CLK_TCK)" -v ms="$elapsed" 'BEGIN { printf "%.1f %%", 100000 * used / rate / ms }'
}

report() {
    local i from_source all=0 ticks=0 multiple
    elapsed=$(difference time 2)
    from_source=$(difference source 2)
    say ""
    say "viewer    uplink  join ms  late ms  at most     upload       seen  output"
    for ((i = 0; i < viewers; i++)); do
        judge "$i"
        all=$((all + $(difference "v$i" 2)))
        ticks=$((ticks + $(difference "v$i" 3)))
    done
    multiple=$(over "$from_source")
    say ""
    say "Source's link, all told     $multiple x the stream's rate over $(((elapsed + 500) / 1000)) s (allowed: $allowed x)"
    say "Viewers' share              $(awk -v a="$all" -v s="$from_source" 'BEGIN { printf "%.1f", 100 * a / (a + s) }') % of all bytes on the links"
    say "Processor                   source $(of_a_core "$(difference source 3)"), viewers $(of_a_core "$ticks") of a core together;" \
        "this machine $(of_a_core "$(difference machine 2)") of its $(nproc) cores' $(nproc)00 %"
    if awk -v x="$multiple" -v most="$allowed" 'BEGIN { exit !(x > most) }'; then
        say "The source sent MORE than is allowed"
        failed=true
    fi
    say ""
    say "The same in the simulation:"
    say "  cargo run --release --example simulate -- --viewers $viewers --bitrate $(awk -v b="$bitrate" 'BEGIN { print b / 1e6 }')M" \
        "--uplinks $uplinks --source-upload $budget --rtt 0-1 --loss 0 --latency $latency --seconds $seconds"
}

failed=false
started=()
late=()
outputs=()
draw_uplinks
build_bridge
use_plugin
# One process brings GStreamer's list of plugins up to date, not all of them at once.
gst-inspect-1.0 livetorrentsrc >/dev/null || die "GStreamer does not find the plugin"
say "Building a network of $((viewers + 1)) hosts, and a stream of $((bitrate / 1000)) kbit/s"
build_network
encode
size=$(stat --format=%s "$dir/sent.ts")
for ((i = 0; i < viewers; i++)); do
    outputs+=("$dir/v$i.ts")
done
say "Broadcasting to $viewers viewers; measuring $seconds s after $lead s"
began=$(milliseconds)
start
watch $((began + 1000 * lead))
counters >"$dir/before"
watch $((began + 1000 * (lead + seconds)))
counters >"$dir/after"
say "The broadcast ends"
finish
report
if $show; then
    tail -n 4 "$dir"/*.log
fi
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
