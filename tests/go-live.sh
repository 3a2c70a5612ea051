#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Drives the window of pipelines/go-live.sh on an X server without a screen, as a screen reader and a keyboard
# do: a broadcast of the test picture, whose link goes through the clipboard to viewers that decode it, the
# audience, wrong names, a key that is in use, the end by button, by closing the window and by Ctrl-C; a camera
# and a microphone that come and go; and what is said of a busy camera, where an encoder lacks, and where the
# disk is full (where root may mount one). A verdict at the end: status 0 when all of it is well.
#
# usage: go-live.sh [--pictures FOLDER] [--help]
#
#   --pictures FOLDER   write pictures of the window there, light and dark, and leave the rest out

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

screen=
# The process group of a session bus, with all that it starts.
bus=
# Whether it still runs; what nobody has waited for yet does not.
bus_runs() { pgrep --pgroup "$bus" --runstates D,R,S,T,t,I >/dev/null; }
end_bus() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        bus_runs || break
        kill -TERM -- "-$bus" 2>/dev/null || true
        sleep 0.05
    done
    kill -KILL -- "-$bus" 2>/dev/null || true
    bus=
}
end_children() {
    [[ -z $bus ]] || end_bus
    [[ -z $screen ]] || kill "$screen" 2>/dev/null || true
}
# shellcheck source=tests/pictures.bash
source "$project/tests/pictures.bash" "$@"

# The window's own too: what it installs it would tell.
"$project/pipelines/setup.sh" --check --with xvfb --with dbus-daemon --with at-spi2-core --with gir1.2-atspi-2.0 \
    --with pulseaudio --with procps --with python3-gi --with python3-gi-cairo --with gir1.2-gtk-3.0 \
    --with gir1.2-gst-plugins-base-1.0 --with gstreamer1.0-gtk3 --with gstreamer1.0-pulseaudio
use_plugin

export XDG_RUNTIME_DIR=$dir GSETTINGS_BACKEND=memory
unset WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS AT_SPI_BUS_ADDRESS
# A warning or a failed assertion of GLib ends the window that it is about.
export G_DEBUG=fatal-warnings PYTHONDONTWRITEBYTECODE=1
mkdir --parents "$XDG_CONFIG_HOME/gtk-3.0"
printf '[Settings]\ngtk-enable-animations=false\n' >"$XDG_CONFIG_HOME/gtk-3.0/settings.ini"

# One process brings GStreamer's list of plugins up to date, not all of them at once.
gst-inspect-1.0 livetorrentsink >/dev/null || die "GStreamer does not find the plugin"

mkfifo "$dir/display"
Xvfb -displayfd 3 -screen 0 1024x900x24 -nolisten tcp 3>"$dir/display" >"$dir/Xvfb.log" 2>&1 &
screen=$!
exec 3<"$dir/display"
read -r -t 30 -u 3 display || die "there is no X server: $(cat "$dir/Xvfb.log")"
exec 3<&-
export DISPLAY=:$display

# All of GStreamer but one encoder.
mkdir "$dir/plugins"
ln --symbolic "$(pkg-config --variable=pluginsdir gstreamer-1.0)"/*.so "$dir/plugins/"
rm "$dir/plugins/libgstx264.so"

# drive SCHEME THEME: on a session bus of its own, whose words are of no use.
drive() {
    mkdir "$dir/$1"
    set -m
    # shellcheck disable=SC2016 # the inner shell's own
    GTK_THEME=$2 timeout --kill-after=5 150 dbus-run-session -- bash -c 'exec "$@" >&3 2>&4' bash \
        /usr/bin/python3 "$project/tests/go-live.py" "$project" "$dir/$1" "$pictures" "$1" "$dir/plugins" \
        3>&1 4>&2 >"$dir/bus.log" 2>&1 </dev/null &
    bus=$!
    set +m
    wait "$bus"
    end_bus
}

drive light Adwaita
[[ -z $pictures ]] || drive dark Adwaita:dark
say OK
