#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Broadcasts a camera and a microphone until Ctrl-C. Viewers tune in with the file that it writes:
# ./pipelines/watch.sh camera.tstream
#
# usage: broadcast-camera.sh [--device FILE] [--no-sound] [--test-picture] [--codec CODEC] [--bitrate BITS]
#                            [--name NAME] [--port PORT] [--public-address HOST] [--help]
#        broadcast-camera.sh --list-codecs
#
#   --device FILE           the camera (default /dev/video0)
#   --no-sound              without the microphone
#   --test-picture          a test picture and sound in place of both
#   --codec CODEC           what picture and sound are encoded with (default h264-aac)
#   --bitrate BITS          of the picture, per second (default: as --list-codecs has it)
#   --name NAME             the stream's name; NAME.tstream and its key are written here (default camera)
#   --port PORT             where viewers connect (default 7764; 0 picks one)
#   --public-address HOST   the host that viewers reach (default: this machine's own address)
#   --list-codecs           print what there is to choose from

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
# shellcheck source=pipelines/codecs.bash
source "$project/pipelines/codecs.bash"

name=camera
device=/dev/video0
picture_of() {
    [[ -r $1 ]] || die "there is no camera $1 here; --test-picture does without"
    # Some give JPEG pictures, some raw ones.
    say "v4l2src device=$1 ! decodebin"
}
broadcast_device --device "$@"
