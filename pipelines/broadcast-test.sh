#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Broadcasts a test picture with sound until Ctrl-C. Viewers tune in with the file that it writes:
# ./pipelines/watch.sh test.tstream
#
# usage: broadcast-test.sh [--name NAME] [--port PORT] [--public-address HOST] [--bitrate BITS] [--help]
#
#   --name NAME             the stream's name; NAME.tstream and its key are written here (default test)
#   --port PORT             where viewers connect (default 7764; 0 picks one)
#   --public-address HOST   the host that viewers reach (default: this machine's own address)
#   --bitrate BITS          of the picture, per second (default 2000000)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

name="test"
bitrate=2000000
while (($#)); do
    case $1 in
        --name) name=${2-}; shift ;;
        --port | --public-address) sink_option "$1" "${2-}"; shift ;;
        --bitrate) bitrate=${2-}; shift ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
is_number "$bitrate" 100000 || die "--bitrate needs a number of at least 100000"

use_plugin
say "Viewers tune in with $PWD/$name.tstream; Ctrl-C ends the broadcast"
# shellcheck disable=SC2046 # the pipeline is words
exec gst-launch-1.0 -e $(test_picture "$bitrate") ! livetorrentsink name="$name" "${sink[@]}"
