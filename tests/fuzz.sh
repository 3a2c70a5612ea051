#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Fuzzes what comes from the network or from a file (libFuzzer): each target from the seeds in
# fuzz/seeds and from what earlier runs found, which is kept beside the build. A verdict at the end:
# status 0 when no target found anything; an input that did is kept, and its path printed. Needs a
# nightly toolchain and cargo-fuzz, which it installs where it can; without them it says so and leaves
# with status 77.
#
# usage: fuzz.sh [--seconds S] [--jobs N] [--help] [TARGET]...
#
#   --seconds S   for each target (default 30)
#   --jobs N      targets at a time (default: as many as there are cores)
#   TARGET        a file of fuzz/targets without its ending (default: all of them)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

seconds=30
jobs=$(nproc)
targets=()
while (($#)); do
    case $1 in
        --seconds) seconds=${2-}; shift ;;
        --jobs) jobs=${2-}; shift ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *) targets+=("$1") ;;
    esac
    shift || die "an option lacks its value"
done
is_number "$seconds" || die "--seconds needs a number"
is_number "$jobs" || die "--jobs needs a number"

# The longest input: a few hundred steps of the swarm, a few messages of the others.
readonly longest=8192
# Megabytes that a target may take, and seconds for one input.
readonly memory=2048 patience=20

cannot() {
    say "${0##*/}: skipped: $*"
    exit 77
}

cd "$project"
((${#targets[@]})) || for file in fuzz/targets/*.rs; do
    file=${file##*/}
    targets+=("${file%.rs}")
done
for target in "${targets[@]}"; do
    [[ -r fuzz/targets/$target.rs ]] || die "there is no target '$target'; see fuzz/targets"
done

pipelines/setup.sh --check --with g++
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
cargo +nightly --version >/dev/null 2>&1 ||
    cannot "there is no nightly toolchain (rustup toolchain install nightly)"
if ! command -v cargo-fuzz >/dev/null; then
    say "Installing cargo-fuzz"
    cargo install --locked --quiet cargo-fuzz || cannot "cargo-fuzz cannot be installed"
fi

work=${CARGO_TARGET_DIR:-$project/target}/fuzz
mkdir -p "$work"
# Without a sanitizer: the core forbids unsafe code, what is looked for are panics.
CARGO_TARGET_DIR=$work cargo +nightly fuzz build --sanitizer none >"$work/build.log" 2>&1 || {
    tail -n 30 "$work/build.log" >&2
    die "the targets do not build"
}
binaries=$(dirname "$(find "$work" -path '*/release/*' -name "${targets[0]}" -type f -perm -u+x | head -n1)")

# run TARGET: its words in TARGET.log; a line for it, and its status.
run() {
    local corpus=$work/corpus/$1 found=$work/found/$1/ from=() child=
    mkdir -p "$corpus" "$found"
    [[ ! -d fuzz/seeds/$1 ]] || from=("fuzz/seeds/$1")
    # Whoever is ended has found nothing.
    trap 'kill $child; wait $child; exit 143' TERM
    "$binaries/$1" "$corpus" "${from[@]}" -max_total_time="$seconds" -max_len="$longest" \
        -rss_limit_mb="$memory" -timeout="$patience" -artifact_prefix="$found" >"$work/$1.log" 2>&1 &
    child=$!
    if wait "$child"; then
        say "$1: $(sed -n 's/^Done \(.*\)/\1/p' "$work/$1.log"), nothing found"
    else
        tail -n 40 "$work/$1.log"
        say "$1: FOUND something; the input is in $found"
        return 1
    fi
}

# Whoever is ended ends its targets.
clean_up() {
    local left
    left=$(jobs -p)
    # shellcheck disable=SC2086 # the numbers are words
    [[ -z $left ]] || kill $left 2>/dev/null || true
    wait
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed=false
running=0
for target in "${targets[@]}"; do
    if ((running >= jobs)); then
        wait -n || failed=true
        running=$((running - 1))
    fi
    run "$target" &
    running=$((running + 1))
done
while ((running--)); do
    wait -n || failed=true
done
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
