#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Writes a stream to a file as it comes, from a random access point on, until it ends or Ctrl-C.
#
# usage: record.sh FILE.tstream|URI OUT.ts [--seconds N] [--latency MS] [--peers HOST:PORT,...] [--help]
#
#   FILE.tstream|URI         a file, or file://, http(s):// or livetorrent: in front of one
#   OUT.ts                   written anew; an existing file is kept and refused
#   --seconds N              stop after so long
#   --latency MS             distance behind the source (default 1000)
#   --peers HOST:PORT,...    peers to try beside those the tracker names

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

seconds=
out=
while (($#)); do
    case $1 in
        --latency | --peers) src_option "$1" "${2-}"; shift ;;
        --seconds) seconds=${2-}; shift ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *)
            if ! src_argument "$1"; then
                [[ -z $out ]] || usage_error "$1"
                out=$1
            fi
            ;;
    esac
    shift || die "an option lacks its value"
done
[[ -n $location && -n $out ]] || die "from where, to where? See ${0##*/} --help"
[[ ! -e $out ]] || die "$out exists already"
[[ -z $seconds ]] || is_number "$seconds" || die "--seconds needs a number"

use_plugin
limit=()
# -e makes an EOS of the SIGINT, so that the file is whole; who ends by it has done as was asked.
[[ -z $seconds ]] || limit=(timeout --preserve-status --signal=INT --kill-after=10 "$seconds")
exec "${limit[@]}" gst-launch-1.0 -e livetorrentsrc "${src[@]}" ! filesink async=false location="$out"
