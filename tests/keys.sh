#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Tries pipelines/key.sh: makes a key, broadcasts with it, compares fingerprints with openssl's, backs
# it up, loses it and broadcasts again with the copy; and what it must refuse. Status 0 when all holds.
#
# usage: keys.sh [--help]

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

no_options "$@"

"$project/pipelines/setup.sh" --check --with openssl
use_plugin
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# What is asked of it must not depend on the user's own.
umask 022

key() { "$project/pipelines/key.sh" "$@"; }

# The first word of what it prints.
fingerprint() { key "$@" | cut -d' ' -f1; }

# same WHAT A B
same() { [[ $2 == "$3" ]] || die "$1: '$2' and '$3'"; }

digests() { find . -type f -exec sha256sum {} + | sort; }

# refuses WHAT COMMAND...: it leaves with an error of one line that names WHAT, and writes nothing.
refuses() {
    local before what=$1 said
    shift
    before=$(digests)
    if said=$(key "$@" 2>&1); then
        die "$* was not refused"
    fi
    [[ $said == *"$what"* && $said != *$'\n'* ]] || die "$* says: $said"
    same "after $*" "$before" "$(digests)"
}

broadcast() {
    gst-launch-1.0 -q fakesrc num-buffers=20 sizetype=fixed sizemax=18800 filltype=random \
        ! livetorrentsink location=foo.tstream port=0 drain-timeout=0 sync=false
}

made=$(fingerprint make foo.sauth)
same "the key's mode" "$(stat -c %a foo.sauth)" 600
same "shown" "$made" "$(fingerprint show foo.sauth)"
same "openssl's" "$made" \
    "$(openssl pkey -in foo.sauth -pubout -outform DER | sha256sum | cut -d' ' -f1)"
broadcast
same "the broadcast's" "$made" "$(fingerprint show foo.tstream)"

mkdir safe
same "the copy's" "$made" "$(fingerprint backup foo.sauth safe)"
same "the copy's mode" "$(stat -c %a safe/foo.sauth)" 600
cmp foo.sauth safe/foo.sauth
mv foo.sauth gone
if broadcast 2>gone.txt; then
    die "it broadcasts without the key"
fi
key backup safe/foo.sauth foo.sauth >/dev/null
broadcast
same "the file's after all" "$made" "$(fingerprint show foo.tstream)"
[[ $(fingerprint make bar.sauth) != "$made" ]] || die "two keys are the same"

echo "no key" >words
refuses foo.sauth make foo.sauth
refuses bar.sauth backup foo.sauth bar.sauth
refuses foo.sauth backup foo.sauth safe
refuses "no private key" backup foo.tstream copy
refuses "neither a key nor a .tstream" show words
refuses "cannot read missing" show missing
refuses "cannot write in nowhere" make nowhere/foo.sauth
say OK
