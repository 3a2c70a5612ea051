#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Breaks a network in every way in turn while a source broadcasts over it to six viewers, each a network
# namespace of this machine at one switch, the source's uplink three times the stream: every host's
# cable pulled, packets lost everywhere, a long way to the source, its uplink below the stream's rate,
# half of the viewers killed. A table tells for each fault how long nothing came out of a viewer at most,
# how long after the fault's end the last one's last pause was over, and how often viewers skipped, and
# of that those whose own cable stayed. A verdict at the end: status 0 when every viewer recovered in
# time, every byte shown was broadcast, in order, to the end, what is missing is what the viewer told
# that it skipped, and all that live left by themselves. Needs root; where namespaces or links cannot be
# made it says so and leaves with status 77.
#
# usage: faults.sh [--seconds S] [--latency MS] [--allow MS] [--only WORD] [--show] [--help]
#
#   --seconds S    how long a fault lasts (default 5)
#   --latency MS   the viewers' distance behind the source (default 2000)
#   --allow MS     longest time from a fault's end to a stream without pauses (default 8000: after
#                  a source that sent too little for a while some seconds may pass, else about two)
#   --only WORD    only the faults with that word in their name
#   --show         print the end of each process's words, too

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

seconds=5
latency=2000
allowed=8000
only=
show=false
while (($#)); do
    case $1 in
        --seconds) seconds=${2-}; shift ;;
        --latency) latency=${2-}; shift ;;
        --allow) allowed=${2-}; shift ;;
        --only) only=${2-}; shift ;;
        --show) show=true ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
is_number "$seconds" || die "--seconds needs a number"
is_number "$latency" 0 || die "--latency needs a number"
is_number "$allowed" || die "--allow needs a number"

readonly bitrate=1000000
readonly subnet=10.79.0
readonly viewers=(v1 v2 v3 v4 v5 v6)
readonly survivors=(v1 v2 v3) victims=(v4 v5 v6)
# Packets lost of a hundred, and the delay of the long way in milliseconds.
readonly losses=(2 5 10) delay=200
# The source's uplink, all else being faster, and while it is too slow.
readonly uplink=$((3 * bitrate)) slow=$((bitrate / 2))
# Seconds for viewers to join, and to settle after each fault.
readonly lead=5 settling=9
# Nothing came out of a viewer for so long: a pause (ms). At 25 pictures a second something comes every 40.
readonly pause=700

kind=faults
# shellcheck source=tests/namespaces.bash
source "$project/tests/namespaces.bash"
# shellcheck source=tests/broadcast.bash
source "$project/tests/broadcast.bash"

in_net() { ip -netns "$(namespace net)" "$@"; }

# uplink COMMAND RATE: what the source can send; a packet waits 200 ms for it at most.
uplink() {
    tc -netns "$(namespace source)" qdisc "$1" dev eth0 root tbf rate "$2" burst 3100 latency 200ms
}

build_network() {
    local i
    begin_namespaces net bridge0
    in_net link delete port0
    host source net bridge0 port0 "$subnet.1"
    for i in "${!viewers[@]}"; do
        host "${viewers[i]}" net bridge0 "port$((i + 1))" "$subnet.$((i + 2))"
    done
    uplink add "$uplink" 2>"$dir/why" || cannot "no limits by tc tbf here: $(<"$dir/why")"
}

# Twenty times a second a line: the time, and what each viewer has shown.
record() {
    local name line
    while :; do
        line=$(milliseconds)
        for name in "${viewers[@]}"; do
            line+=" $(size "$name")"
        done
        say "$line" >>"$dir/record"
        sleep 0.04
    done
}

# pauses BEGAN HEALED VIEWER...: the longest pause in any viewer's output since the fault began, and the end
# of the last one after the fault had ended, both in ms.
pauses() {
    local began=$1 healed=$2 columns="" name i
    shift 2
    for name in "$@"; do
        for i in "${!viewers[@]}"; do
            [[ ${viewers[i]} != "$name" ]] || columns+=" $((i + 2))"
        done
    done
    awk -v began="$began" -v healed="$healed" -v least="$pause" -v columns="$columns" '
        BEGIN { n = split(columns, column, " ") }
        $1 >= began - 2000 {
            for (i = 1; i <= n; i++) {
                c = column[i]
                if (!(c in last)) last[c] = $1
                if ($c == size[c] && ++still[c]) continue
                size[c] = $c
                gap = $1 - last[c]
                if ($1 > began && gap > longest) longest = gap
                if ($1 > healed && gap >= least && $1 - healed > recovery) recovery = $1 - healed
                last[c] = $1
            }
            now = $1
        }
        END {
            # Who shows nothing now has not recovered.
            for (c in last) if (now - last[c] >= least) recovery = now - healed + 1000000
            print longest + 0, recovery + 0
        }' "$dir/record"
}

# fault WHAT BREAK HEAL HIT VIEWER...: breaks, waits, heals, and judges what these viewers make of it.
# HIT is the one whose own cable it is, or `all`.
fault() {
    local what=$1 break=$2 heal=$3 hit=$4 began healed longest recovery name skips more others
    shift 4
    [[ $what == *"$only"* ]] || return 0
    local -A before
    for name in "$@"; do
        before[$name]=$(said "$name" skipped)
    done
    began=$(milliseconds)
    $break
    sleep "$seconds"
    $heal
    healed=$(milliseconds)
    sleep "$settling"
    read -r longest recovery < <(pauses "$began" "$healed" "$@")
    skips=0 others=0
    for name in "$@"; do
        more=$(($(said "$name" skipped) - before[$name]))
        skips=$((skips + more))
        [[ $hit == all || $hit == "$name" ]] || others=$((others + more))
        (($(said "$name" resumed) == $(said "$name" stalled))) || fail "$name still stalls"
        (($(said "$name" source-back) == $(said "$name" source-away))) || fail "$name still misses the source"
    done
    printf '%-36s %8d ms %8d ms %8d %8d\n' "$what" "$longest" "$recovery" "$skips" "$others"
    ((recovery <= allowed)) || fail "that took more than $allowed ms"
}

cable() { in_net link set "port$1" "$2"; }

# lose PERCENT: of what reaches each host.
lose() {
    local name
    for name in source "${viewers[@]}"; do
        ip netns exec "$(namespace "$name")" nft -f - <<EOT
table inet faults {
    chain input {
        type filter hook input priority 0
        iifname "eth0" numgen random mod 100 < $1 drop
    }
}
EOT
    done
}

lose_nothing() {
    local name
    for name in source "${viewers[@]}"; do
        ip netns exec "$(namespace "$name")" nft delete table inet faults
    done
}

# The source's cable becomes one with a delay each way.
carrier=
is_carrying() { grep -qs ready "$dir/carrier.log"; }
lengthen() {
    in_net link add long0 type veth peer name long1
    in_net link set long1 master bridge0 addrgenmode none up
    in_net link set long0 addrgenmode none up
    ip netns exec "$(namespace net)" "$project/tests/delay-link.py" port0 long0 "$delay" \
        >"$dir/carrier.log" 2>&1 </dev/null &
    carrier=$!
    children+=("$carrier")
    await "the long cable" 10 is_carrying
    in_net link set port0 nomaster
}
shorten() {
    in_net link set port0 master bridge0
    kill "$carrier"
    wait "$carrier" || true
    unset 'children[-1]'
    in_net link delete long0
}

kill_victims() {
    local i
    for i in "${!viewers[@]}"; do
        [[ " ${victims[*]} " != *" ${viewers[i]} "* ]] || kill -KILL "${children[i + 1]}"
    done
}

build_network
use_plugin
"$project/pipelines/setup.sh" --check --with nftables --with python3
# One process brings GStreamer's list of plugins up to date, not all of them at once.
gst-inspect-1.0 livetorrentsrc >/dev/null || die "GStreamer does not find the plugin"
faults=$((1 + ${#viewers[@]} + ${#losses[@]} + 3))
encode $((2 * lead + faults * (seconds + settling + 1)))
start_broadcast "$subnet.1" upload-budget=2
record &
recorder=$!
children+=("$recorder")
sleep "$lead"
say "fault                                   longest pause    recovery    skips   others"
fault "source's cable out" "cable 0 down" "cable 0 up" all "${viewers[@]}"
for i in "${!viewers[@]}"; do
    fault "${viewers[i]}'s cable out" "cable $((i + 1)) down" "cable $((i + 1)) up" "${viewers[i]}" "${viewers[@]}"
done
for percent in "${losses[@]}"; do
    fault "$percent % of packets lost" "lose $percent" lose_nothing all "${viewers[@]}"
done
fault "$delay ms more to the source each way" lengthen shorten all "${viewers[@]}"
fault "source's uplink at $((slow / 1000)) kbit/s" "uplink change $slow" "uplink change $uplink" all "${viewers[@]}"
fault "half of the viewers killed" kill_victims true all "${survivors[@]}"
kill "$recorder"
wait "$recorder" || true
unset 'children[-1]'
finish
judge_bytes "${survivors[@]}"
if $show; then
    tail -n 30 "$dir"/*.log
fi
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
