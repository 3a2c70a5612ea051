# shellcheck shell=bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# What the scripts share; sourced, never run.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Where GStreamer finds the plugin: the release build, which the scripts bring up to date, or the folder
# that LIVETORRENT_PLUGIN_DIR names, where they build nothing.
plugin_dir=${LIVETORRENT_PLUGIN_DIR:-${CARGO_TARGET_DIR:-$project/target}/release}

say() { printf '%s\n' "$*"; }

# Prints why and leaves with status 1.
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# The leading comment of the calling script, between the licence and the first command.
usage() {
    awk 'NR > 1 && /^$/ { block++ } block == 1 && /^#/ { sub(/^# ?/, ""); print } block > 1 { exit }' "$0"
}

# Takes `usage_error OPTION`, the last case of every option loop.
usage_error() { die "what is '$1'? See ${0##*/} --help"; }

# Takes no_options "$@": of a script that has no option but --help.
no_options() {
    case ${1-} in
        '') ;;
        -h | --help) usage; exit ;;
        *) usage_error "$1" ;;
    esac
}

# Whether $1 is a whole number, at least $2 (default 1).
is_number() { [[ $1 =~ ^[0-9]{1,9}$ ]] && ((10#$1 >= ${2:-1})); }

# Sets up where something is missing and lets GStreamer find the plugin.
use_plugin() {
    "$project/pipelines/setup.sh"
    export GST_PLUGIN_PATH="$plugin_dir${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}"
}

# The element's properties that options fill.
sink=()
src=()

# sink_option OPTION VALUE
sink_option() {
    [[ -n $2 ]] || die "$1 needs a value"
    if [[ $1 == --port ]] && ! { is_number "$2" 0 && (($2 < 65536)); }; then
        die "--port needs a number below 65536"
    fi
    if [[ $1 == --max-bitrate ]] && ! is_number "$2" 1000; then
        die "--max-bitrate needs a number of at least 1000"
    fi
    sink+=("${1#--}=$2")
}

# What comes is live and goes on at once; a limit is kept by a sink that looks at the time only.
pass_on_at_once() { [[ " ${sink[*]} " == *" max-bitrate="* ]] || sink+=(sync=false); }

# src_option OPTION VALUE
src_option() {
    [[ -n $2 ]] || die "$1 needs a value"
    [[ $1 != --latency ]] || is_number "$2" 0 || die "--latency needs a number"
    src+=("${1#--}=$2")
}

# The stream to watch, once src_argument has been given it.
location=

# src_argument FILE|URI: the first argument that is no option; fails for those that follow. A file must be
# there, a URI is the element's to judge.
src_argument() {
    [[ -z $location ]] || return 1
    [[ $1 == *:* || -r $1 ]] || die "cannot read $1"
    location=$1
    src+=(location="$1")
}
