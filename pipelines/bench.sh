#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Prints figures of this machine, and judges none of them: livetorrent, SRT (also with less latency, and with
# AES) and TCP side by side in one run, each side in a process of its own. Delay of one hop, time to the first byte,
# processor and memory at 2, 4, 8, 50 and 200 Mbit/s, and at 8 once all buffers are full; what a broadcaster of 2 Mbit/s
# spends on 1, 5, 20 and 50 viewers; the highest rate that arrives whole. Each is measured once before any is
# measured again. Before that, how soon a viewer of ours sees a picture. Takes half an hour. What the core takes for
# itself: cargo bench.
#
# usage: bench.sh [--quick] [--json FILE] [--plots FOLDER] [OPTION OF side-by-side]... [--help]
#
#   --quick          a look, in a minute and a half: no pictures, one round of a second, 2 and 8 Mbit/s, 5 viewers
#   --json FILE      write all figures to a file
#   --plots FOLDER   draw them, as SVG
#   --rounds N, --seconds N, --only NAME,…, --bitrates N,…, --steady N, --audiences N,…, --ladder N,…
#                    as `cargo run --release --example side-by-side -- --help` tells

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

pictures=true
json=
plots=
options=()
while (($#)); do
    case $1 in
        --quick) pictures=false; options+=("$1") ;;
        --json) json=${2-}; shift ;;
        --plots) plots=${2-}; shift ;;
        --rounds | --seconds | --only | --bitrates | --steady | --audiences | --ladder) options+=("$1" "${2-}"); shift ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
[[ -z $plots || -d $plots ]] || die "there is no folder $plots"

use_plugin
# Where the plugin is of a build of ours, what measures may lie beside it, built already.
measure=$plugin_dir/examples/side-by-side
if [[ -z ${LIVETORRENT_PLUGIN_DIR-} || ! -x $measure ]]; then
    (cd "$project" && cargo build --release --locked --quiet --example side-by-side --example start-time)
    measure=${CARGO_TARGET_DIR:-$project/target}/release/examples/side-by-side
fi
dir=$(mktemp --directory)
trap 'rm -rf "$dir"' EXIT

if $pictures; then
    say "From PLAYING to the first picture, ten times, with a key frame a second"
    "${measure%/*}/start-time" 10 1000
fi
: "${json:=$dir/figures.json}"
"$measure" "${options[@]}" --json "$json"
[[ -z $plots ]] || python3 "$project/pipelines/plots.py" "$json" "$plots"
