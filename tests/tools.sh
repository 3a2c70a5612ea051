#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Fetches the programs of others that tests speak to, into the build folder: opentracker, promtool and
# nginx with RTMP (of Debian's packages, unpacked and not installed, which would start services) and bittorrent-tracker
# (npm's), and installs Debian's python3-libtorrent and openssl. Safe to run again; with nothing to do it is silent.
#
# usage: tools.sh [--help]

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

no_options "$@"

readonly tools=${CARGO_TARGET_DIR:-$project/target}/tools
readonly npm_tracker=bittorrent-tracker@11.2.3
fresh=
trap '[[ -z $fresh ]] || rm -rf "$fresh"' EXIT

needed=(--with python3-libtorrent)
command -v openssl >/dev/null || needed+=(--with openssl)
command -v npm >/dev/null || needed+=(--with npm)
"$project/pipelines/setup.sh" --check "${needed[@]}"
mkdir -p "$tools"

# fetch NAME COMMAND: what the command leaves in a new folder becomes the folder NAME of the tools.
fetch() {
    [[ ! -d $tools/$1 ]] || return 0
    say "Fetching $1"
    fresh=$(mktemp --directory --tmpdir="$tools")
    (cd "$fresh" && "$2")
    mv "$fresh" "$tools/$1"
    fresh=
}

# unpack PACKAGE...: Debian's, here.
unpack() {
    local package download=(apt-get download -qq -o "APT::Sandbox::User=$(id --user --name)" "$@")
    # On a new system apt has no list of packages yet.
    "${download[@]}" >/dev/null 2>&1 || { apt-get update -qq && "${download[@]}" >/dev/null; }
    for package in ./*.deb; do
        dpkg-deb --extract "$package" .
        rm "$package"
    done
}

unpack_opentracker() { unpack opentracker libowfat0; }

unpack_nginx() { unpack nginx libnginx-mod-rtmp; }

unpack_promtool() {
    unpack prometheus
    mv usr/bin/promtool .
    rm -rf etc lib usr var
}

# Its optional parts, which would be compiled, are for browsers.
install_npm_tracker() { npm install --silent --no-fund --no-audit --ignore-scripts "$npm_tracker"; }

fetch opentracker unpack_opentracker
fetch nginx unpack_nginx
fetch promtool unpack_promtool
fetch bittorrent-tracker install_npm_tracker
