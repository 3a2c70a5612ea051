#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Writes a stream to standard output as it comes, from a random access point on, for a player:
#
#   ./pipelines/stdout.sh FOO.tstream | vlc -
#   ./pipelines/stdout.sh FOO.tstream | mpv -
#   ./pipelines/stdout.sh FOO.tstream | ffplay -
#
# usage: stdout.sh FILE.tstream|URI [--latency MS] [--peers HOST:PORT,...] [--help]
#
#   FILE.tstream|URI         a file, or file://, http(s):// or livetorrent: in front of one
#   --latency MS             distance behind the source (default 1000)
#   --peers HOST:PORT,...    peers to try beside those the tracker names

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

while (($#)); do
    case $1 in
        --latency | --peers) src_option "$1" "${2-}"; shift ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *) src_argument "$1" || usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
[[ -n $location ]] || die "which stream? See ${0##*/} --help"
[[ ! -t 1 ]] || die "standard output is a terminal; pipe it into a player"

# The stream's bytes are all that may reach standard output.
exec 4>&1 >&2
use_plugin
# The player keeps its own time.
exec gst-launch-1.0 -q livetorrentsrc max-rate-change=0 "${src[@]}" ! fdsink fd=4 sync=false
