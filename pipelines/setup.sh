#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Makes everything ready on Debian or Ubuntu: the packages (GStreamer with its plugins, headers, a
# linker), a look at Rust, and a release build of the plugin. Safe to run again; with nothing to do
# it is silent and takes a second.
#
# usage: setup.sh [--check] [--with PACKAGE]... [--help]
#
#   --check          install packages and look at Rust, build nothing
#   --with PACKAGE   install this package too
#
# Where LIVETORRENT_PLUGIN_DIR names a folder with the plugin in it, this and all other scripts use that
# and build nothing.

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

packages=(
    # to build
    gcc libc6-dev pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    # to run: tools, then x264enc (ugly), voaacenc and mpegtsmux (bad), avdec_h264 (libav)
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
    gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
    # to show a window and to play sound
    gstreamer1.0-x gstreamer1.0-alsa
)
build=true

is_installed() {
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

install_packages() {
    local package missing=() as_root=()
    for package in "${packages[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null ||
        die "this script installs by apt-get only; please install what corresponds to: ${missing[*]}"
    if ((EUID != 0)); then
        command -v sudo >/dev/null || die "not root and no sudo; as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends -qq "${missing[@]}" >/dev/null </dev/null
}

# Finds cargo also where rustup has put it and the shell does not know yet.
check_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$project/Cargo.toml")
    [[ ! -d ${CARGO_HOME:-$HOME/.cargo}/bin ]] || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    found=$(cd "$project" && rustc --version 2>/dev/null | cut -d' ' -f2) || found=
    if [[ -n $found && $(printf '%s\n' "$wanted" "${found%%-*}" | sort --version-sort | head -n1) == "$wanted" ]]; then
        return
    fi
    die "Rust ${wanted} or newer is needed, ${found:-none} is here. The distribution's own is often too old; rustup brings it:

    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c rustfmt -c clippy
    . \"\$HOME/.cargo/env\"

Then run this script again."
}

build_plugin() {
    if [[ -e $plugin_dir/libgstlivetorrent.so ]]; then
        (cd "$project" && cargo build --release --locked --quiet)
    else
        say "Building the plugin; the first time takes some minutes"
        (cd "$project" && cargo build --release --locked)
    fi
}

while (($#)); do
    case $1 in
        --check) build=false ;;
        --with)
            [[ -n ${2-} ]] || die "--with needs a package"
            packages+=("$2")
            shift
            ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift
done

install_packages
if [[ -n ${LIVETORRENT_PLUGIN_DIR-} ]]; then
    [[ -e $plugin_dir/libgstlivetorrent.so ]] || die "there is no libgstlivetorrent.so in $plugin_dir"
else
    check_rust
    ! $build || build_plugin
fi
