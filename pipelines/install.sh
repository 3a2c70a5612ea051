#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Installs the plugin for this user, where GStreamer looks without being told
# (~/.local/share/gstreamer-1.0/plugins): builds it, copies it, and asks gst-inspect-1.0 whether it is
# found there. Safe to run again, also while the plugin is in use: what runs goes on with the old one.
#
# usage: install.sh [--uninstall] [--help]
#
#   --uninstall   removes it again; keys, .tstream files and the cache of good peers stay

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

uninstall=false
while (($#)); do
    case $1 in
        --uninstall) uninstall=true ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift
done

readonly folder=${XDG_DATA_HOME:-$HOME/.local/share}/gstreamer-1.0/plugins
readonly installed=$folder/libgstlivetorrent.so

if $uninstall; then
    [[ -e $installed ]] || die "there is no $installed"
    rm "$installed"
    say "Removed $installed"
    exit
fi

# Prints the file in which GStreamer finds that element, by its standard places alone.
found_in() {
    env --unset=GST_PLUGIN_PATH --unset=GST_PLUGIN_PATH_1_0 gst-inspect-1.0 "$1" 2>/dev/null |
        sed -n 's/^ *Filename  *//p'
}

"$project/pipelines/setup.sh"
mkdir -p "$folder"
# Under another name first, which GStreamer does not take for a plugin: it sees the whole file or none.
new=$(mktemp "$folder/.livetorrent.XXXXXX")
trap 'rm -f "$new"' EXIT
install --mode=644 "$plugin_dir/libgstlivetorrent.so" "$new"
mv "$new" "$installed"

for element in livetorrentsink livetorrentsrc; do
    found=$(found_in "$element") || found=
    [[ $found == "$installed" ]] ||
        die "GStreamer does not find $element in $installed, but ${found:-nowhere} (is GST_PLUGIN_SYSTEM_PATH set?)"
done
say "Installed $installed"
