#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Opens a window to broadcast from: choose camera, microphone or screen, see yourself, name the stream,
# go live, copy the link and watch the audience.
#
# usage: go-live.sh [--folder FOLDER] [--port PORT] [--public-address HOST] [--name NAME] [--test] [--help]
#
#   --folder FOLDER         where NAME.tstream and the key are written (default: here)
#   --port PORT             where viewers connect (default 7764; 0 picks one)
#   --public-address HOST   the host that viewers reach (default: this machine's own address)
#   --name NAME             the stream's name when the window opens
#   --test                  begin with the test picture and the test sound, not with a camera

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

arguments=()
while (($#)); do
    case $1 in
        --port) sink_option "$1" "${2-}"; arguments+=("$1" "$2"); shift ;;
        --folder)
            [[ -d ${2-} ]] || die "--folder needs a folder"
            arguments+=("$1" "$2")
            shift
            ;;
        --public-address | --name)
            [[ -n ${2-} ]] || die "$1 needs a value"
            arguments+=("$1" "$2")
            shift
            ;;
        --test) arguments+=("$1") ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift
done

[[ -n ${DISPLAY-}${WAYLAND_DISPLAY-} ]] || die "there is no display to open a window on"
# The last one is for microphones.
"$project/pipelines/setup.sh" --check --with python3-gi --with python3-gi-cairo --with gir1.2-gtk-3.0 \
    --with gir1.2-gst-plugins-base-1.0 --with gstreamer1.0-gtk3 --with gstreamer1.0-pulseaudio
use_plugin
# The distribution's Python is the one that its bindings of GTK are for.
PYTHONPATH="$project/pipelines" PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 -m go_live "${arguments[@]}"
