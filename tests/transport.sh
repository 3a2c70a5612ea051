#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# What the transport costs: pieces of 16 KiB over TCP with this and that option, and over uTP, on
# networks of this machine's own. Two hosts, each a network namespace, with a link that delays, loses
# packets at random and lets as much through as is said; a pair for each transport, all at once, so that
# they meet the same machine. Prints a table for each network: medians of all rounds. It judges nothing
# (docs/transport.md does). Needs root; where namespaces, links or rules cannot be made it says so and
# leaves with status 77. Run it as `nice -n -10 tests/transport.sh` where others use the machine.
#
# usage: transport.sh [--rounds N] [--seconds S] [--networks LIST] [--transports LIST] [--record FILE] [--help]
#
#   --rounds N         how often everything is done (default 5)
#   --seconds S        how long pieces are made each time; the first 4 do not count (default 24)
#   --networks LIST    which ones, with spaces between them (default: all in `networks` below)
#   --transports LIST  which ones, with spaces between them (default: all in `transports` below; what
#                      they mean: livetorrent-transport --help)
#   --record FILE      adds a line for each connection: network, transport, round, figures

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

# NAME:MBITS:QUEUE:RTT:LOSS:LOAD: of the link, its capacity, the bytes that wait for it, the way there and
# back in ms, packets lost of a thousand in each direction; LOAD is what is sent, in kbit/s, `fill` for as much as goes, or one of
#   N+bulk  N kbit/s beside somebody else's upload from the same home (TCP CUBIC, nothing set)
#   N>M     N kbit/s, over a link that carries M kbit/s only for the middle third of the time
networks='clean:20:75000:40:0:2500
    loss-0.5:20:75000:40:5:2500 loss-2:20:75000:40:20:2500 loss-5:20:75000:40:50:2500
    far:20:75000:150:0:2500
    far-loss-0.5:20:75000:150:5:2500 far-loss-2:20:75000:150:20:2500 far-loss-5:20:75000:150:50:2500
    full:3:75000:40:0:2500+bulk full-short:3:19000:40:0:2500+bulk half-full:3:75000:40:0:1000+bulk
    own:3:75000:40:0:fill shrinking:20:75000:40:0:2500>1000'
# `none` is nothing at all: what the other upload reaches alone.
transports='none tcp,cc=cubic tcp,cc=cubic,nodelay tcp,cc=cubic,nodelay,buffer=131072
    tcp,cc=cubic,nodelay,unsent=4096 tcp,cc=cubic,nodelay,unsent=16384 tcp,cc=cubic,nodelay,unsent=131072
    tcp,cc=reno,nodelay,unsent=4096 tcp,cc=bbr,nodelay tcp,cc=bbr,nodelay,unsent=4096
    utp utp,buffer=65536 libutp'
rounds=5
seconds=24
record=

while (($#)); do
    case $1 in
        --rounds) rounds=${2-}; shift ;;
        --seconds) seconds=${2-}; shift ;;
        --networks) wanted=${2-}; shift ;;
        --transports) transports=${2-}; shift ;;
        --record) record=${2-}; shift ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
is_number "$rounds" || die "--rounds needs a number"
is_number "$seconds" 6 || die "--seconds needs a number of at least 6"
# Anything may follow a list's names.
read -r -d '' -a networks <<<"$networks" || true
read -r -d '' -a transports <<<"$transports" || true
[[ -z ${wanted-} ]] || read -r -d '' -a wanted <<<"$wanted" || true

# What does not count at the beginning: the windows grow.
readonly lead=4
# Bytes that may leave at once: three packets.
readonly burst=5000
readonly address=10.81.0

kind=transport
# shellcheck source=tests/namespaces.bash
source "$project/tests/namespaces.bash"
package=$project/benches/transport
program=$package/target/release/livetorrent-transport

at() { ip netns exec "$(namespace "$1")" "${@:2}"; }

# end NAME DEVICE ADDRESS LOSS: a host at DEVICE of the link.
end() {
    local name
    name=$(namespace "$1")
    ip netns add "$name"
    ip -netns "$(namespace net)" -batch - <<EOT
link add $2 type veth peer name eth0 netns $name
link set $2 addrgenmode none up
EOT
    # What is lost and what waits is a packet, not a train of them.
    ip -netns "$name" -batch - <<EOT
link set lo up
link set eth0 gso_max_segs 1 addrgenmode none up
address add $3/24 dev eth0
EOT
    (($4 == 0)) || at "$1" nft -f - <<EOT 2>"$dir/why" || cannot "no rules by nftables here: $(<"$dir/why")"
table inet lossy {
    chain input {
        type filter hook input priority filter;
        meta l4proto { tcp, udp } numgen random mod 1000 < $4 drop
    }
}
EOT
}

# limit SLOT KBITS: what the link of that pair carries towards the receiver; $queue bytes wait for it.
limit() {
    at net tc qdisc replace dev "b$1" root tbf rate "$2kbit" burst "$burst" limit "$queue" 2>"$dir/why" ||
        cannot "no limits by tc tbf here: $(<"$dir/why")"
}

# build SLOT KBITS RTT LOSS: a pair of hosts and the link between them.
build() {
    end "s$1" "a$1" "$address.1" "$4"
    end "r$1" "b$1" "$address.2" "$4"
    limit "$1" "$2"
    ip netns exec "$(namespace net)" "$project/tests/delay-link.py" "a$1" "b$1" $(($3 / 2)) >"$dir/link$1" &
    links+=($!)
    children+=($!)
}

# demolish SLOTS: what was built.
demolish() {
    local slot
    kill "${links[@]}"
    wait "${links[@]}" 2>/dev/null || true
    links=()
    children=()
    for ((slot = 0; slot < $1; slot++)); do
        ip -netns "$(namespace net)" link delete "a$slot"
        ip -netns "$(namespace net)" link delete "b$slot"
        ip netns delete "$(namespace "s$slot")"
        ip netns delete "$(namespace "r$slot")"
    done
}

has_word() { grep -qs ready "$1"; }

# receive, send SLOT NAME PORT OPTION... TRANSPORT: an end of a connection; its words are in a file.
receive() {
    ip netns exec "$(namespace "r$1")" timeout -k 2 $((seconds + 20)) "$program" receive "${@:4}" "$address.2:$3" \
        >"$dir/$2$1.r" 2>&1 </dev/null &
    children+=($!)
}
send() {
    ip netns exec "$(namespace "s$1")" timeout -k 2 $((seconds + 20)) "$program" send "${@:4}" "$address.2:$3" \
        >"$dir/$2$1.s" 2>&1 </dev/null &
    children+=($!)
}

# Packets' bytes that SLOT's sender has given to the link.
carried() { at "s$1" cat /sys/class/net/eth0/statistics/tx_bytes; }

# busy: of all cores, in ticks: all they did, and how much of it gives way to others.
busy() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8, $3 }' /proc/stat; }

# round NETWORK ROUND LOAD: all transports at once; a line of figures each goes to $dir/figures.
round() {
    local load=$3 options=(--seconds "$seconds" --lead "$lead") slot transport before=() before_ticks began
    local bulk=tcp,cc=cubic,nodelay
    [[ $load == fill ]] || options+=(--rate "${load%%[+>]*}000")
    rm -f "$dir"/*.[rs]
    children=("${links[@]}")
    for slot in "${!transports[@]}"; do
        transport=${transports[slot]}
        [[ $transport == none ]] || receive "$slot" piece 7764 "${options[@]}" "$transport"
        [[ $load != *+bulk ]] || receive "$slot" other 7765 --seconds "$seconds" --lead "$lead" "$bulk"
    done
    for slot in "${!transports[@]}"; do
        [[ ${transports[slot]} == none ]] || await "a receiver" 10 has_word "$dir/piece$slot.r"
        [[ $load != *+bulk ]] || await "a receiver" 10 has_word "$dir/other$slot.r"
        before[slot]=$(carried "$slot")
    done
    before_ticks=$(busy)
    began=$(milliseconds)
    for slot in "${!transports[@]}"; do
        transport=${transports[slot]}
        [[ $load != *+bulk ]] || send "$slot" other 7765 --seconds "$seconds" --lead "$lead" "$bulk"
        [[ $transport == none ]] || send "$slot" piece 7764 "${options[@]}" "$transport"
    done
    if [[ $load == *'>'* ]]; then
        sleep $((seconds / 3))
        for slot in "${!transports[@]}"; do limit "$slot" "${load#*>}"; done
        sleep $((seconds / 3))
        for slot in "${!transports[@]}"; do limit "$slot" "$capacity"; done
    fi
    wait "${children[@]:${#links[@]}}" || true
    say "$before_ticks $(busy) $(($(milliseconds) - began))" |
        awk -v round="$2" -v whole="$(($(getconf CLK_TCK) * $(nproc)))" '{
            printf "  round %d: processors busy %.0f %%, of which %.0f at low priority\n",
                round, 100000 * ($3 - $1) / whole / $5, 100000 * ($4 - $2) / whole / $5
        }'
    for slot in "${!transports[@]}"; do
        say "$1 ${transports[slot]} $2 $(grep -hs = "$dir/piece$slot".[rs] | tr '\n' ' ')" \
            "$(sed -n 's/^kbits=/other=/p' "$dir/other$slot.r" 2>/dev/null | cut -d ' ' -f 1)" \
            "carried=$(($(carried "$slot") - before[slot]))"
    done >>"$dir/figures"
}

# A table of one network's figures: medians.
table() {
    awk -v network="$1" '
        # The middle one of the numbers in this text, of which there may be none.
        function median(text, values, count, i, j, value) {
            count = split(text, values, " ")
            for (i = 2; i <= count; i++) {
                value = values[i]
                for (j = i - 1; j > 0 && values[j] + 0 > value + 0; j--) values[j + 1] = values[j]
                values[j + 1] = value
            }
            return count ? values[int((count + 1) / 2)] : "-"
        }
        $1 == network {
            if (!($2 in seen)) { seen[$2] = 1; order[++rows] = $2 }
            split("", here)
            for (i = 4; i <= NF; i++) {
                split($i, pair, "=")
                here[pair[1]] = pair[2]
            }
            if (here["bytes"]) here["wire"] = sprintf("%.3f", here["carried"] / here["bytes"])
            for (name in here) if (here[name] != "-") all[$2, name] = all[$2, name] " " here[name]
        }
        END {
            columns = split("intime kbits delay50 delay95 delay99 delay100 held50 held95 held100 wire sender receiver other", names, " ")
            print "| transport | in time % | kbit/s | p50 ms | p95 | p99 | max | held p50 | held p95 | held max | wire | CPU send | CPU receive | other kbit/s |"
            print "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
            for (row = 1; row <= rows; row++) {
                line = "| `" order[row] "`"
                for (i = 1; i <= columns; i++) line = line " | " median(all[order[row], names[i]])
                print line " |"
            }
        }' "$dir/figures"
}

begin_namespaces net
"$project/pipelines/setup.sh" --check --with nftables --with python3 --with g++
# What root could have the kernel load is not among these until it is.
available=" $(</proc/sys/net/ipv4/tcp_available_congestion_control) "
for slot in "${!transports[@]}"; do
    if [[ ${transports[slot]} =~ cc=([a-z0-9_]+) && $available != *" ${BASH_REMATCH[1]} "* ]]; then
        say "Without ${transports[slot]}: try modprobe tcp_${BASH_REMATCH[1]}"
        unset "transports[slot]"
    fi
done
transports=("${transports[@]}")
nice cargo build --quiet --release --locked --manifest-path "$package/Cargo.toml"
links=()
for network in "${networks[@]}"; do
    IFS=: read -r name capacity queue rtt loss load <<<"$network"
    [[ -z ${wanted-} || " ${wanted[*]} " == *" $name "* ]] || continue
    capacity=$((capacity * 1000))
    say "$name: $capacity kbit/s, $rtt ms there and back, $loss packets of a thousand lost," \
        "$queue bytes in its queue; sent: $load"
    for slot in "${!transports[@]}"; do
        build "$slot" "$capacity" "$rtt" "$loss"
    done
    for slot in "${!transports[@]}"; do
        await "the link" 20 has_word "$dir/link$slot"
    done
    for ((number = 1; number <= rounds; number++)); do
        round "$name" "$number" "$load"
    done
    demolish "${#transports[@]}"
    table "$name"
    if [[ -n $record ]]; then
        grep "^$name " "$dir/figures" >>"$record"
    fi
done
