#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Watches a stream in a window, with sound.
#
# usage: watch.sh FILE.tstream|URI [--latency MS] [--peers HOST:PORT,...] [--help]
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
[[ -n ${DISPLAY-}${WAYLAND_DISPLAY-} ]] ||
    die "there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set); ./pipelines/record.sh writes the stream to a file"

use_plugin
exec gst-launch-1.0 livetorrentsrc "${src[@]}" ! decodebin name=decoder \
    decoder. ! queue ! videoconvert ! autovideosink \
    decoder. ! queue ! audioconvert ! audioresample ! autoaudiosink
