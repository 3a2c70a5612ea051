#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Tries pipelines/install.sh with the home of a new user: installed, GStreamer finds both elements there and
# broadcasts; installed again, the new file is in place of the old one; uninstalled, nothing is left. And looks
# whether the files that the packages take are there (tests/packages.sh builds them). Status 0 when all holds.
#
# usage: install.sh [--help]

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

no_options "$@"

"$project/pipelines/setup.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir home
readonly installed=$folder/home/.local/share/gstreamer-1.0/plugins/libgstlivetorrent.so

# A new user, for whom nothing is set; what is built is built.
as_user() {
    env --unset=GST_PLUGIN_PATH --unset=GST_PLUGIN_PATH_1_0 --unset=GST_REGISTRY --unset=GST_REGISTRY_1_0 \
        --unset=XDG_DATA_HOME --unset=XDG_CACHE_HOME HOME="$folder/home" LIVETORRENT_PLUGIN_DIR="$plugin_dir" \
        timeout --kill-after=5 60 "$@"
}

script() { as_user "$project/pipelines/install.sh" "$@"; }

# Fails where an element is not there.
inspect() {
    as_user gst-inspect-1.0 livetorrentsink && as_user gst-inspect-1.0 livetorrentsrc
}

# What stands in the folder of plugins.
plugins() { ls -A "${installed%/*}"; }

# same WHAT A B
same() { [[ $2 == "$3" ]] || die "$1: '$2' and '$3'"; }

if inspect >/dev/null 2>&1; then
    die "GStreamer finds the plugin before it is installed; is it installed for all?"
fi
same "what it says" "$(script)" "Installed $installed"
cmp "$plugin_dir/libgstlivetorrent.so" "$installed"
same "its mode" "$(stat -c %a "$installed")" 644
inspect >inspected
same "where they are found" "$(sed -n 's/^ *Filename  *//p' inspected | sort -u)" "$installed"
as_user gst-launch-1.0 -q fakesrc num-buffers=20 sizetype=fixed sizemax=18800 filltype=random \
    ! livetorrentsink location=foo.tstream port=0 port-mapping=false drain-timeout=0 sync=false
[[ -s foo.tstream ]] || die "nothing was broadcast"

echo "something else" >"${installed%/*}/README"
before=$(stat -c %i "$installed")
script >/dev/null
[[ $(stat -c %i "$installed") != "$before" ]] || die "the old file was written over"
same "the folder" "$(plugins)" $'README\nlibgstlivetorrent.so'

same "what it says" "$(script --uninstall)" "Removed $installed"
same "the folder" "$(plugins)" README
if inspect >/dev/null 2>&1; then
    die "GStreamer finds the plugin after it was uninstalled"
fi
if script --uninstall 2>said; then
    die "what is not there was uninstalled"
fi
same "what it says" "$(<said)" "install.sh: there is no $installed"
# Elsewhere than GStreamer looks.
if said=$(GST_PLUGIN_SYSTEM_PATH=$folder/nowhere script 2>&1); then
    die "what GStreamer does not find was installed"
fi
[[ $said == *"GStreamer does not find livetorrentsink"* ]] || die "it says: $said"

library=$(sed -n '/^\[lib\]/,/^$/s/^name = "\(.*\)"/\1/p' "$project/Cargo.toml")
same "the library" "lib$library.so" "${installed##*/}"
while IFS= read -r file; do
    case $file in
        target/release/third-party.txt | "target/release/lib$library.so") ;;
        *) [[ -s $project/$file ]] || die "Cargo.toml: $file, which the package takes, is not there" ;;
    esac
done < <(sed -n 's/^    \["\([^"]*\)", "usr\/.*/\1/p' "$project/Cargo.toml")
say OK
