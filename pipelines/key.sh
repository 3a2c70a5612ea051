#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Makes a broadcaster's private key, shows whose a file is, or copies a key to a safe place. Whoever
# has the key can broadcast in its name; without it nobody can, so keep a copy. Nothing is ever
# overwritten, and what is written is for its owner alone.
#
# usage: key.sh make FOO.sauth
#        key.sh show FOO.sauth|FOO.tstream...
#        key.sh backup FOO.sauth COPY|FOLDER
#        key.sh --help
#
# Each prints the key's fingerprint: SHA-256 of the public key (SubjectPublicKeyInfo) in hexadecimal.
# It is the same of a key and of every .tstream made with it. `livetorrentsink` makes a key by itself
# where there is none.

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

case ${1-}:$# in
    make:2 | backup:3) ;;
    show:*) (($# > 1)) || die "show what? See ${0##*/} --help" ;;
    -h:* | --help:*) usage; exit ;;
    make:* | backup:*) die "which file? See ${0##*/} --help" ;;
    *) usage_error "${1-}" ;;
esac

"$project/pipelines/setup.sh"
exec "$plugin_dir/livetorrent-key" "$@"
