#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Passes a stream on to servers and players that speak something else, until it ends or Ctrl-C.
#
# usage: relay.sh FILE.tstream|URI URL [--encode] [--no-sound] [--latency MS] [--peers HOST:PORT,...] [--help]
#
#   FILE.tstream|URI         a file, or file://, http(s):// or livetorrent: in front of one
#   URL                      srt://HOST:PORT calls, srt://:PORT?mode=listener waits for callers,
#                            udp://HOST:PORT sends datagrams, also to a multicast group,
#                            rtmp://HOST/APPLICATION/KEY publishes a stream of H.264 and AAC
#   --encode                 rtmp: encode again, for streams of other codecs
#   --no-sound               rtmp: the stream has none, or is to have none
#   --latency MS             distance behind the source (default 1000)
#   --peers HOST:PORT,...    peers to try beside those the tracker names

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
# shellcheck source=pipelines/codecs.bash
source "$project/pipelines/codecs.bash"

url=
demuxer=tsdemux
picture="h264parse"
sound="aacparse"
while (($#)); do
    case $1 in
        --latency | --peers) src_option "$1" "${2-}"; shift ;;
        --encode) demuxer=decodebin ;;
        --no-sound) sound= ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *)
            if ! src_argument "$1"; then
                [[ -z $url ]] || usage_error "$1"
                url=$1
            fi
            ;;
    esac
    shift || die "an option lacks its value"
done
[[ -n $location && -n $url ]] || die "from where, to where? See ${0##*/} --help"

if [[ $demuxer == decodebin ]]; then
    [[ $url == rtmp*://* ]] || die "--encode is for rtmp only: the others carry any stream"
    picture="videoconvert ! $(picture_encoder h264-aac 2000000)"
    sound=${sound:+audioconvert ! audioresample ! $(sound_encoder h264-aac)}
fi
case $url in
    # The viewer has waited until each byte's time, so the sinks need not; SRT sends what it is given at once.
    srt://*) sink=(tsparse alignment=7 ! srtsink uri="$url" wait-for-connection=false sync=false) ;;
    udp://*)
        [[ $url =~ ^udp://(\[[0-9a-fA-F:.]+\]|[^:/]+):([0-9]+)/?$ ]] || die "$url is no udp://HOST:PORT"
        host=${BASH_REMATCH[1]#\[}
        sink=(tsparse alignment=7 ! udpsink host="${host%]}" port="${BASH_REMATCH[2]}" sync=false)
        ;;
    rtmp://* | rtmps://*)
        # shellcheck disable=SC2206 # the pieces of pipeline are words
        sink=("$demuxer" name=in in. ! queue ! $picture ! mux.)
        # shellcheck disable=SC2206
        [[ -z $sound ]] || sink+=(in. ! queue ! $sound ! mux.)
        sink+=(flvmux name=mux streamable=true ! rtmp2sink location="$url")
        ;;
    *) die "there is no way to $url; see ${0##*/} --help" ;;
esac

use_plugin
# Nobody plays it here, so its rate is left alone.
exec gst-launch-1.0 -e livetorrentsrc max-rate-change=0 "${src[@]}" ! "${sink[@]}"
