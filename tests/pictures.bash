# shellcheck shell=bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# What the tests share of what users see: the option --pictures, and a folder that goes away in the end, with
# what ran in it. Sourced after pipelines/lib.bash with the script's own arguments, never run. Whoever sources
# it has a function `end_children`.

# The folder that --pictures names; nothing where none are wanted.
pictures=
while (($#)); do
    case $1 in
        --pictures)
            pictures=${2-}
            [[ -d $pictures ]] || die "--pictures needs a folder"
            pictures=$(realpath "$pictures")
            shift
            ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
    shift
done

dir=$(mktemp --directory)
# Nothing is the user's: neither settings nor cache.
export XDG_CACHE_HOME=$dir/cache XDG_CONFIG_HOME=$dir/config
clean_up() {
    trap - EXIT
    trap '' HUP INT TERM
    end_children
    wait
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'clean_up; exit 129' HUP
trap 'clean_up; exit 130' INT
trap 'clean_up; exit 143' TERM
