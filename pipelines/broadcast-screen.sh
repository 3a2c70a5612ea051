#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Broadcasts what an X screen shows, and a microphone, until Ctrl-C. Viewers tune in with the file that it
# writes: ./pipelines/watch.sh screen.tstream
#
# usage: broadcast-screen.sh [--display NAME] [--no-sound] [--test-picture] [--codec CODEC] [--bitrate BITS]
#                            [--name NAME] [--port PORT] [--public-address HOST] [--help]
#        broadcast-screen.sh --list-codecs
#
#   --display NAME          the screen (default: what DISPLAY says)
#   --no-sound              without the microphone
#   --test-picture          a test picture and sound in place of both
#   --codec CODEC           what picture and sound are encoded with (default h264-aac)
#   --bitrate BITS          of the picture, per second (default: as --list-codecs has it)
#   --name NAME             the stream's name; NAME.tstream and its key are written here (default screen)
#   --port PORT             where viewers connect (default 7764; 0 picks one)
#   --public-address HOST   the host that viewers reach (default: this machine's own address)
#   --list-codecs           print what there is to choose from

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
# shellcheck source=pipelines/codecs.bash
source "$project/pipelines/codecs.bash"

name=screen
device=${DISPLAY-}
picture_of() {
    [[ -n $1 ]] || die "there is no X screen here (DISPLAY is not set); --test-picture does without"
    say "ximagesrc display-name=$1 use-damage=false ! video/x-raw,framerate=$frame_rate/1"
}
broadcast_device --display "$@"
