#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Makes a Debian package of the plugin, for this machine's release and architecture, and prints where it
# is. `apt install ./FILE.deb` installs it with what it needs, `apt purge gstreamer1.0-livetorrent` removes
# it. Installs cargo-deb where that is missing, which takes a minute.
#
# usage: package.sh [--output FOLDER] [--help]
#
#   --output FOLDER   where the package goes (default: `debian` beside the build)

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

build=${CARGO_TARGET_DIR:-$project/target}
output=$build/debian
while (($#)); do
    case $1 in
        --output)
            [[ -d ${2-} ]] || die "--output needs a folder"
            output=$(cd "$2" && pwd)
            shift
            ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift
done

# dpkg-shlibdeps tells which packages the library needs.
"$project/pipelines/setup.sh" --check --with dpkg-dev
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
if ! command -v cargo-deb >/dev/null; then
    say "Installing cargo-deb"
    cargo install --locked --quiet cargo-deb
fi

# The crates in the library, a line each: name, version and licence. What runs in the compiler only is not
# among them.
crates() {
    cargo tree --locked --edges normal,no-proc-macro --prefix none --format '{p} ({l})' |
        sed -n "/(${project//\//\\/})/d; s/ (\*)$//; s/^\([^ ]*\) v\([^ ]*\) /\1 \2 /p" | LC_ALL=C sort --unique
}

# Each crate's licence, and each text of one once: most ask for that beside what is made of them.
licences() {
    local host sources name version folder file digest found none=()
    declare -A of=() text=()
    host=$(rustc --version --verbose | sed -n 's/^host: //p')
    sources=$(cargo metadata --locked --format-version 1 --filter-platform "$host" |
        grep -o '"manifest_path":"[^"]*"' | cut -d'"' -f4)
    say "This library contains these crates, each under its licence. The texts follow."
    say
    crates
    while read -r name version _; do
        folder=$(dirname "$(grep --fixed-strings "/$name-$version/Cargo.toml" <<<"$sources")")
        found=false
        for file in "$folder"/{LICEN[CS]E,License,license,COPYING,NOTICE,UNLICENSE}*; do
            [[ -f $file ]] || continue
            digest=$(sha256sum <"$file")
            of[$digest]+="${of[$digest]:+, }$name $version"
            text[$digest]=$file
            found=true
        done
        $found || none+=("$name")
    done < <(crates)
    for digest in "${!of[@]}"; do
        printf '\n== %s\n\n' "${of[$digest]}"
        cat "${text[$digest]}"
    done
    ((${#none[@]} == 0)) || printf '\n== Without a text in its package: %s\n' "${none[*]}"
}

cd "$project"
mkdir -p "$build/release"
licences >"$build/release/third-party.txt"
# It prints the package's path.
cargo deb --locked --quiet --multiarch=same --strip --output "$output/"
