#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Writes the stream at a URL to standard output as a transport stream, and when it ends or cannot be
# reached tries again, for ever. ./pipelines/broadcast-url.sh broadcasts what this writes.
#
# usage: fetch.sh URL [--wait SECONDS] [--no-sound] [--codec CODEC] [--help]
#
#   http://… https://…       bytes as they come
#   srt://HOST:PORT          the same; srt://:PORT?mode=listener waits for a caller
#   udp://ADDRESS:PORT       the same, also from a multicast group
#   rtsp://… rtmp://…        H.264 and AAC, put into a transport stream as they are
#   --wait SECONDS           between two tries (default 5)
#   --no-sound               rtsp and rtmp: the stream has none, or is to have none
#   --codec CODEC            rtsp and rtmp: encode again (broadcast-test.sh --list-codecs lists them)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
# shellcheck source=pipelines/codecs.bash
source "$project/pipelines/codecs.bash"

url=
between=5
sound=true
encode=false
while (($#)); do
    case $1 in
        --wait) between=${2-}; shift ;;
        --no-sound) sound=false ;;
        --codec) encoder_option "$1" "${2-}"; encode=true; shift ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *) [[ -z $url ]] || usage_error "$1"; url=$1 ;;
    esac
    shift || die "an option lacks its value"
done
[[ -n $url ]] || die "from where? See ${0##*/} --help"
is_number "$between" || die "--wait needs a number of seconds"

bits=
size=
pipeline=()
case $url in
    # Metadata of radio stations would stand amid the bytes.
    http://* | https://*) pipeline=(souphttpsrc location="$url" iradio-mode=false) ;;
    srt://*) pipeline=(srtsrc uri="$url") ;;
    udp://*) pipeline=(udpsrc uri="$url" buffer-size=2000000) ;;
    rtsp://* | rtsps://* | rtmp://* | rtmps://*)
        if $encode; then
            IFS='|' read -r _ bits size _ <<<"$(codec_row "$codec")"
            ! is_ffmpeg_codec "$codec" || die "--codec $codec is not to be had here"
            pipeline=(uridecodebin uri="$url" name=in)
            from_url="in. ! queue"
            ! $sound || from_sound="in. ! queue"
            # shellcheck disable=SC2207 # the pipeline is words
            pipeline+=($(encoded "$codec" "$bits" "$size" "$from_url" "${from_sound-}"))
        else
            pipeline=(uridecodebin uri="$url" name=in caps="video/x-h264;audio/mpeg"
                in. ! queue ! h264parse config-interval=-1 ! mux.)
            ! $sound || pipeline+=(in. ! queue ! aacparse ! mux.)
            pipeline+=(mpegtsmux name=mux)
        fi
        ;;
    *) die "there is no way to fetch $url; see ${0##*/} --help" ;;
esac

"$project/pipelines/setup.sh" --check >&2
trap 'exit 130' INT
# Nobody writes here: to read from it is to wait without a process that could be left over.
exec {nothing}<> <(:)
while true; do
    # The stream's bytes are all that may reach standard output. They go by way of cat, which ends when nobody reads
    # any more: of GStreamer's HTTP client that cannot be told, for it goes on without the signal.
    reader=0
    setpriv --pdeathsig TERM gst-launch-1.0 -q "${pipeline[@]}" ! fdsink fd=4 4>&1 >&2 | cat || reader=${PIPESTATUS[1]}
    ((reader == 0)) || exit 0
    printf '%s: %s ended or cannot be reached; again in %s s\n' "${0##*/}" "$url" "$between" >&2
    read -r -t "$between" -u "$nothing" || true
done
