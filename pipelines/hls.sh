#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Shows a stream of H.264 and AAC to browsers and other players on this machine, by HTTP Live Streaming. A page
# with the picture is at the address that it prints; where the browser cannot play HLS by itself (Firefox, and
# Chromium before 142), players take the address of the playlist.
#
# usage: hls.sh FILE.tstream|URI [--http-port PORT] [--address HOST] [--encode] [--no-sound] [--latency MS]
#               [--peers HOST:PORT,...] [--help]
#
#   FILE.tstream|URI         a file, or file://, http(s):// or livetorrent: in front of one
#   --http-port PORT         where the web server listens (default 8080)
#   --address HOST           the address that it listens at (default 127.0.0.1: for this machine only)
#   --encode                 encode again, for streams of other codecs
#   --no-sound               the stream has none, or is to have none
#   --latency MS             distance behind the source (default 1000)
#   --peers HOST:PORT,...    peers to try beside those the tracker names

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
# shellcheck source=pipelines/codecs.bash
source "$project/pipelines/codecs.bash"

http_port=8080
address=127.0.0.1
demuxer=tsdemux
picture="h264parse"
sound="aacparse"
while (($#)); do
    case $1 in
        --latency | --peers) src_option "$1" "${2-}"; shift ;;
        --http-port) http_port=${2-}; shift ;;
        --address) address=${2-}; shift ;;
        --encode) demuxer=decodebin ;;
        --no-sound) sound= ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *) src_argument "$1" || usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
[[ -n $location ]] || die "which stream? See ${0##*/} --help"
{ is_number "$http_port" && ((http_port < 65536)); } || die "--http-port needs a number below 65536"

use_plugin
command -v python3 >/dev/null || "$project/pipelines/setup.sh" --check --with python3-minimal
if [[ $demuxer == decodebin ]]; then
    picture="videoconvert ! $(picture_encoder h264-aac 2000000)"
    sound=${sound:+audioconvert ! audioresample ! $(sound_encoder h264-aac)}
fi

# In memory where there is some for that: each segment is written once and soon removed.
folder=$(mktemp --directory --tmpdir="${XDG_RUNTIME_DIR:-/tmp}" livetorrent-hls-XXXXXX)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/index.html" <<'EOT'
<!doctype html>
<meta charset="utf-8">
<title>livetorrent</title>
<video src="live.m3u8" autoplay muted controls></video>
<script>
  // Before the stream has begun and is three segments long (RFC 8216, 6.3.3) browsers give up.
  const video = document.querySelector("video");
  video.onerror = () => setTimeout(() => video.load(), 1000);
</script>
EOT

pipeline=(livetorrentsrc "${src[@]}" ! "$demuxer" name=in)
# shellcheck disable=SC2206 # the pieces of pipeline are words
pipeline+=(in. ! queue ! $picture ! hls.video)
# shellcheck disable=SC2206
[[ -z $sound ]] || pipeline+=(in. ! queue ! $sound ! hls.audio)
pipeline+=(hlssink2 name=hls target-duration=2 playlist-length=6 max-files=12
    location="$folder/%06d.ts" playlist-location="$folder/live.m3u8")

# Both end with this process, whichever way that ends.
setpriv --pdeathsig TERM python3 -m http.server --bind "$address" --directory "$folder" "$http_port" >&2 </dev/null &
server=$!
setpriv --pdeathsig INT gst-launch-1.0 -e "${pipeline[@]}" </dev/null &
viewer=$!
say "Watch at http://$address:$http_port/ or play http://$address:$http_port/live.m3u8; Ctrl-C ends it"
trap 'kill "$server" "$viewer" 2>/dev/null || true' INT TERM HUP
status=0
wait -n "$server" "$viewer" || status=$?
kill "$server" "$viewer" 2>/dev/null || true
wait
# Whoever ends it by a signal has what was asked for.
((status <= 128)) || status=0
exit "$status"
