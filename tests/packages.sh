#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Installs the plugin in the two ways that a system has. cinstall: by `cargo cinstall` into an empty folder, from
# which GStreamer must find both elements. deb: the Debian package into a system made for it by debootstrap, by
# apt with what it needs; there both elements must be found, a broadcast must come to a viewer who decodes it, and
# purging the package must leave nothing. A verdict for each; status 0 when all are well.
#
# No part of tests/run.sh, for its time: cargo-c, which it installs where that is missing, and a build of cargo-c's own
# take some minutes each, the rest takes three. deb needs root, Debian and a mirror of it; without them it
# says so and leaves with status 77.
#
# usage: packages.sh [CASE]... [--suite NAME] [--mirror URL] [--help]
#
#   CASE           cinstall or deb (default: both)
#   --suite NAME   of Debian, in which the package is installed (default: this machine's, for which it is made)
#   --mirror URL   of Debian (default: http://deb.debian.org/debian)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

mirror=http://deb.debian.org/debian
suite=
chosen=()
while (($#)); do
    case $1 in
        cinstall | deb) chosen+=("$1") ;;
        --suite) suite=${2-}; shift ;;
        --mirror) mirror=${2-}; shift ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift || die "an option lacks its value"
done
((${#chosen[@]})) || chosen=(cinstall deb)

# The newest that is built by the Rust that the plugin needs.
readonly cargo_c=0.10.21+cargo-0.95.0
readonly package=gstreamer1.0-livetorrent library=libgstlivetorrent.so
readonly elements=(livetorrentsink livetorrentsrc)

dir=$(mktemp --directory)
# What was mounted is gone with the namespace that it was mounted in.
trap 'rm -rf --one-file-system "$dir"' EXIT

cannot() {
    say "${0##*/}: skipped: $*"
    exit 77
}

# Says how a step ended that took from second $1 on.
done_in() { say "$2 ($((SECONDS - $1)) s)"; }

cinstall() {
    local began=$SECONDS element plugin found
    "$project/pipelines/setup.sh" --check --with libssl-dev
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    if ! command -v cargo-cinstall >/dev/null; then
        say "Installing cargo-c"
        cargo install --locked --quiet cargo-c --version "$cargo_c"
        done_in "$began" "cargo-c is installed"
    fi
    began=$SECONDS
    (cd "$project" &&
        cargo cinstall --locked --library-type=cdylib --prefix=/usr --destdir="$dir/destdir") >"$dir/cinstall.log" 2>&1 || {
        tail -n 30 "$dir/cinstall.log" >&2
        die "cargo cinstall failed"
    }
    plugin=$(find "$dir/destdir" -name "$library" -type f)
    [[ $plugin == "$dir"/destdir/usr/lib*/gstreamer-1.0/$library ]] || die "cargo cinstall: it stands in '$plugin'"
    for element in "${elements[@]}"; do
        found=$(GST_PLUGIN_PATH=${plugin%/*} GST_PLUGIN_SYSTEM_PATH='' GST_REGISTRY=$dir/registry \
            gst-inspect-1.0 "$element" | sed -n 's/^ *Filename  *//p')
        [[ $found == "$plugin" ]] || die "cargo cinstall: $element is found in '$found'"
    done
    done_in "$began" "cargo cinstall: /${plugin#"$dir"/destdir/} has both elements"
}

# in_system COMMAND...: as root of the system, with a /proc.
in_system() {
    # shellcheck disable=SC2016 # sh's own words
    unshare --mount --propagation private sh -c '
        mount -t proc proc "$0/proc" && exec env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive chroot "$0" "$@"' "$dir/system" "$@" </dev/null
}

# as_user COMMAND...: as nobody of the system, on a network of its own where no one else is.
as_user() {
    # shellcheck disable=SC2016 # sh's own words
    unshare --mount --net --pid --fork --kill-child --propagation private sh -c '
        ip link set lo up && mount -t proc proc "$0/proc" && exec env --ignore-environment \
            PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/home/user LC_ALL=C chroot --userspec=nobody "$0" "$@"' "$dir/system" "$@" </dev/null
}

# Words of apt are shown when it fails.
apt_get() {
    in_system apt-get --yes -qq --no-install-recommends "$@" >"$dir/apt.log" 2>&1 || {
        cat "$dir/apt.log" >&2
        die "deb: apt-get $* failed"
    }
}

# The files of the system that have to do with the plugin. The user has a home.
traces() { (cd "$dir/system" && find . -xdev -path ./home -prune -o -iname '*livetorrent*' -print | LC_ALL=C sort); }

# What a user of the system does: a broadcast of a test picture, and a viewer who decodes half a second of it.
write_broadcast() {
    cat >"$dir/system/home/user/broadcast.sh" <<'EOT'
set -eu
cd
# within SECONDS COMMAND...: waits until it succeeds.
within() {
    tries=$(($1 * 10))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "in vain: $*"; exit 1; }
        sleep 0.1
    done
}
# pictures N: so many were decoded, of 160 x 120 with 12 bits for each of its points.
pictures() { [ -f pictures ] && [ "$(stat -c %s pictures)" -ge $(($1 * 160 * 120 * 12 / 8)) ]; }
timeout -k 5 60 gst-launch-1.0 -q videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=25/1 \
    ! theoraenc keyframe-force=10 ! oggmux ! livetorrentsink name=foo public-address=127.0.0.1 &
within 10 [ -s foo.tstream ]
timeout -k 5 60 gst-launch-1.0 -q livetorrentsrc location=foo.tstream ! oggdemux ! theoradec \
    ! filesink location=pictures buffer-mode=unbuffered &
within 25 pictures 12
EOT
}

deb() {
    local began=$SECONDS id file before element
    [[ $EUID == 0 ]] || cannot "deb needs root"
    # shellcheck source=/dev/null
    id=$(. /etc/os-release && say "${ID-}") suite=${suite:-$(. /etc/os-release && say "${VERSION_CODENAME-}")}
    [[ $id == debian && -n $suite ]] || cannot "the package is made for Debian on Debian"
    "$project/pipelines/setup.sh" --check --with debootstrap --with iproute2
    file=$("$project/pipelines/package.sh" --output "$dir" | tail -n1)
    file=${file##*/}
    [[ -s $dir/$file ]] || die "deb: there is no package"
    done_in "$began" "deb: $file, $(($(stat -c %s "$dir/$file") / 1024)) KiB"

    began=$SECONDS
    unshare --mount --propagation private debootstrap --variant=minbase "$suite" "$dir/system" "$mirror" \
        >"$dir/debootstrap.log" 2>&1 || {
        tail -n 20 "$dir/debootstrap.log"
        cannot "debootstrap has made no system of $mirror"
    }
    install -d --owner=nobody "$dir/system/home/user"
    # Nothing is started that a package brings.
    install --mode=755 /dev/stdin "$dir/system/usr/sbin/policy-rc.d" <<<$'#!/bin/sh\nexit 101'
    done_in "$began" "deb: a new system of $suite"

    began=$SECONDS
    cp "$dir/$file" "$dir/system/root/"
    # What it recommends there must be, too; all of that takes long.
    in_system apt-get --simulate install "/root/$file" | sed -n 's/^Inst \([^ ]*\).*/\1/p' >"$dir/simulated"
    for element in gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-bad; do
        grep -qx "$element" "$dir/simulated" || die "deb: apt would not install $element"
    done
    apt_get install "/root/$file"
    in_system dpkg --verify "$package"
    apt_get install gstreamer1.0-tools gstreamer1.0-plugins-base
    rm "$dir/system/root/$file"
    before=$(traces)
    for element in "${elements[@]}"; do
        as_user gst-inspect-1.0 "$element" >"$dir/inspected" || die "deb: $element is not found"
        grep -q "^ *Filename  *\(/usr\)*/lib/.*/gstreamer-1.0/$library$" "$dir/inspected" ||
            die "deb: $element is found in $(grep Filename "$dir/inspected")"
    done
    done_in "$began" "deb: $(sed -n 's/^ *Filename  *//p' "$dir/inspected") has both elements"

    began=$SECONDS
    write_broadcast
    as_user sh /home/user/broadcast.sh >"$dir/broadcast.log" 2>&1 || {
        cat "$dir/broadcast.log"
        die "deb: the broadcast did not come to the viewer"
    }
    done_in "$began" "deb: a viewer has decoded a broadcast"

    apt_get purge "$package"
    [[ $before == *"/$library"* ]] || die "deb: what was there is unknown: $before"
    [[ -z $(traces) ]] || die "deb: purging it leaves $(traces)"
    if as_user gst-inspect-1.0 livetorrentsink >/dev/null 2>&1; then
        die "deb: an element is found after the purge"
    fi
    say "deb: nothing is left of it"
}

for case in "${chosen[@]}"; do
    "$case"
done
say OK
