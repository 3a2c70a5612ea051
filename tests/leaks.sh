#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Runs the elements' tests, and a broadcast with its viewer, under Valgrind's memory checker. Status 0
# when nothing was lost, read or written wrongly with the plugin's code on the stack; what GStreamer
# and GLib keep of their own until the process ends does not count. Takes some minutes.
#
# usage: leaks.sh [--help]

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

no_options "$@"

# They hold the elements to a second, of which the checker takes the most.
readonly too_slow=(a_signal_handler_may_stop_either_element states_cycle_quickly_and_again)
# Buffers of the broadcast: some seconds of stream.
readonly buffers=300

"$project/pipelines/setup.sh" --check --with valgrind
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
cd "$project"
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

# What a library allocates is seen one by one, and its code stays known to the end.
export G_SLICE=always-malloc G_DEBUG=resident-modules GST_REGISTRY=$dir/registry.bin
checker() {
    local name=$1
    shift
    exec valgrind --leak-check=full --show-leak-kinds=definite,indirect --num-callers=50 \
        --log-file="$dir/$name.memory" "$@"
}

# executable NAME: of a test; builds it.
executable() {
    cargo test --locked --no-run --test "$1" --message-format=json 2>/dev/null |
        sed -n "s/.*\"executable\":\"\([^\"]*$1[^\"]*\)\".*/\1/p"
}

failed=false
# judge NAME: what was found of it, where the plugin's code stands in the way to it.
judge() {
    local found
    grep -q "ERROR SUMMARY" "$dir/$1.memory" || die "$1: the checker did not get to its end"
    found=$(sed 's/^==[0-9]*== \{0,1\}//' "$dir/$1.memory" |
        awk -v RS= '/gstlivetorrent/ && /lost in loss record|Invalid|uninitialised|Mismatched|overlap/ { print; print "" }')
    if [[ -n $found ]]; then
        say "$found"
        say "$1: FOUND something"
        failed=true
    else
        say "$1: nothing lost, read or written wrongly"
    fi
}

say "The elements' tests"
tests=$(executable element_basics)
[[ -x $tests ]] || die "the tests do not build"
if ! (checker tests "$tests" --quiet "${too_slow[@]/#/--skip=}" >"$dir/tests.log" 2>&1); then
    tail -n 40 "$dir/tests.log"
    failed=true
fi
judge tests

say "A broadcast and its viewer"
mkdir "$dir/plugin"
# Beside the tests' executable is the plugin that was built with it.
plugin=$(dirname "$tests")/libgstlivetorrent.so
[[ -e $plugin ]] || plugin=$(dirname "$tests")/../libgstlivetorrent.so
[[ -e $plugin ]] || die "there is no plugin beside the tests"
ln -s "$plugin" "$dir/plugin/"
export GST_PLUGIN_PATH=$dir/plugin
checker source gst-launch-1.0 -m fakesrc num-buffers="$buffers" sizetype=fixed sizemax=18800 filltype=random \
    ! identity sleep-time=20000 ! livetorrentsink location="$dir/foo.tstream" port=0 \
    public-address=127.0.0.1 sync=false >"$dir/source.log" 2>&1 </dev/null &
children+=($!)
tries=0
until grep -qs livetorrent-ready "$dir/source.log"; do
    ((tries++ < 1200)) || die "the source did not start"
    sleep 0.05
done
checker viewer gst-launch-1.0 -m livetorrentsrc location="$dir/foo.tstream" peer-cache="$dir/peers" \
    ! filesink location="$dir/shown" sync=false async=false >"$dir/viewer.log" 2>&1 </dev/null &
children+=($!)
# Both end with the broadcast.
for child in "${children[@]}"; do
    wait "$child" || failed=true
done
children=()
[[ -s $dir/shown ]] || die "the viewer showed nothing"
judge source
judge viewer

if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
