#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Broadcasts what another program writes: from standard input, or from a named pipe. Viewers tune in
# with the file that it writes: ./pipelines/watch.sh NAME.tstream
#
# usage: PROGRAM | broadcast-pipe.sh [--live] [--webm] [--no-sound] [--max-bitrate BITS] [--name NAME]
#                                    [--port PORT] [--public-address HOST] [--help]
#        broadcast-pipe.sh PIPE [OPTION]...
#
#   --live                  pass on what comes at once; without it a transport stream keeps its own clock
#   --webm                  it is WebM, of a picture and sound; without it a transport stream is expected
#   --no-sound              the WebM has none
#   --max-bitrate BITS      so many bits a second, at most
#   --name NAME             the stream's name; NAME.tstream and its key are written here (default pipe)
#   --port PORT             where viewers connect (default 7764; 0 picks one)
#   --public-address HOST   the host that viewers reach (default: this machine's own address)
#
# A file, a camera, and an RTMP server for programs like OBS, all by ffmpeg:
#
#   ffmpeg -i FILE.mp4 -codec copy -f mpegts - | ./pipelines/broadcast-pipe.sh
#   ffmpeg -f v4l2 -i /dev/video0 -codec:v libx264 -g 25 -f mpegts - | ./pipelines/broadcast-pipe.sh --live
#   ffmpeg -listen 1 -i rtmp://0.0.0.0:1935/live/foo -codec copy -f mpegts - | ./pipelines/broadcast-pipe.sh --live

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

name=pipe
pipe=
live=false
webm=false
sound=true
while (($#)); do
    case $1 in
        --live) live=true ;;
        --webm) webm=true ;;
        --no-sound) sound=false ;;
        --name) name=${2-}; shift ;;
        --port | --public-address | --max-bitrate) sink_option "$1" "${2-}"; shift ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *) [[ -z $pipe ]] || usage_error "$1"; pipe=$1 ;;
    esac
    shift || die "an option lacks its value"
done
[[ -z $pipe || -p $pipe ]] || die "$pipe is no pipe"
[[ -n $pipe || ! -t 0 ]] || die "nothing is piped in. See ${0##*/} --help"
! $live || pass_on_at_once

use_plugin
say "Viewers tune in with $PWD/$name.tstream; Ctrl-C ends the broadcast"
[[ -z $pipe ]] || exec <"$pipe"
container=()
if $webm; then
    # Anew, so that the headers are known, which who tunes in later needs first.
    container=(matroskademux name=in in.video_0 ! queue ! mux.video_0)
    ! $sound || container+=(in.audio_0 ! queue ! mux.audio_0)
    container+=(webmmux name=mux streamable=true !)
fi
exec gst-launch-1.0 -e fdsrc ! "${container[@]}" livetorrentsink name="$name" "${sink[@]}"
