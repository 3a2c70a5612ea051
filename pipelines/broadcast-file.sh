#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Broadcasts an MPEG transport stream file in real time, paced by the file's own clock. Viewers tune
# in with the file that it writes: ./pipelines/watch.sh NAME.tstream
#
# usage: broadcast-file.sh FILE.ts [--loop] [--max-bitrate BITS] [--name NAME] [--port PORT]
#                          [--public-address HOST] [--help]
#
#   --loop                  begin again at the end, for ever
#   --max-bitrate BITS      so many bits a second instead of the file's clock, as a file of another kind needs
#   --name NAME             the stream's name; NAME.tstream and its key are written here (default: FILE's)
#   --port PORT             where viewers connect (default 7764; 0 picks one)
#   --public-address HOST   the host that viewers reach (default: this machine's own address)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

name=
file=
loop=false
while (($#)); do
    case $1 in
        --loop) loop=true ;;
        --name) name=${2-}; shift ;;
        --port | --public-address | --max-bitrate) sink_option "$1" "${2-}"; shift ;;
        -h | --help) usage; exit ;;
        -*) usage_error "$1" ;;
        *) [[ -z $file ]] || usage_error "$1"; file=$1 ;;
    esac
    shift || die "an option lacks its value"
done
[[ -n $file ]] || die "which file? See ${0##*/} --help"
[[ -f $file && -r $file ]] || die "cannot read $file"
[[ -s $file ]] || die "$file is empty"
if [[ -z $name ]]; then
    name=${file##*/}
    name=${name%.*}
fi

use_plugin
say "Viewers tune in with $PWD/$name.tstream; Ctrl-C ends the broadcast"
if $loop; then
    # It ends when nobody reads any more.
    exec 3< <(while cat -- "$file"; do :; done)
    exec gst-launch-1.0 -e fdsrc fd=3 ! livetorrentsink name="$name" "${sink[@]}"
fi
exec gst-launch-1.0 -e filesrc location="$file" ! livetorrentsink name="$name" "${sink[@]}"
