#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Broadcasts the stream at a URL. When that ends or cannot be reached it is tried again every five seconds, for
# ever; the broadcast goes on meanwhile, and viewers wait. Viewers tune in with the file that it writes:
# ./pipelines/watch.sh NAME.tstream
#
# usage: broadcast-url.sh URL [--wait SECONDS] [--no-sound] [--codec CODEC] [--max-bitrate BITS] [--name NAME]
#                         [--port PORT] [--public-address HOST] [--help]
#
#   http://… https://…      a transport stream, paced by its own clock
#   srt://HOST:PORT         live; srt://:PORT?mode=listener waits for a caller
#   udp://ADDRESS:PORT      live, also from a multicast group
#   rtsp://… rtmp://…       live: H.264 and AAC, put into a transport stream as they are
#   --wait SECONDS          between two tries (default 5)
#   --no-sound              rtsp and rtmp: the stream has none, or is to have none
#   --codec CODEC           rtsp and rtmp: encode again (broadcast-test.sh --list-codecs lists them)
#   --max-bitrate BITS      so many bits a second, at most; http: instead of the stream's clock
#   --name NAME             the stream's name; NAME.tstream and its key are written here (default url)
#   --port PORT             where viewers connect (default 7764; 0 picks one)
#   --public-address HOST   the host that viewers reach (default: this machine's own address)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

name=url
url=
fetch=()
while (($#)); do
    case $1 in
        --wait | --codec) fetch+=("$1" "${2-}"); shift ;;
        --no-sound) fetch+=("$1") ;;
        --name) name=${2-}; shift ;;
        --port | --public-address | --max-bitrate) sink_option "$1" "${2-}"; shift ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *) [[ -z $url ]] || usage_error "$1"; url=$1 ;;
    esac
    shift || die "an option lacks its value"
done
[[ -n $url ]] || die "from where? See ${0##*/} --help"
case $url in
    http://* | https://*) ;;
    *://*) pass_on_at_once ;;
    *) die "$url is no URL" ;;
esac

use_plugin
say "Viewers tune in with $PWD/$name.tstream; Ctrl-C ends the broadcast"
# It ends with this process, whichever way that ends.
exec 3< <(exec setpriv --pdeathsig TERM "$project/pipelines/fetch.sh" "$url" "${fetch[@]}")
exec gst-launch-1.0 -e fdsrc fd=3 ! livetorrentsink name="$name" "${sink[@]}"
