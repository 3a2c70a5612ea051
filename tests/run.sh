#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Sets up what is missing, then checks everything: scripts, format, lints, licences, docs, a short
# demo, and at the end every test. Status 0 when all of it is well; the last lines are the test runner's own.
#
# usage: run.sh [--help]

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

no_options "$@"

step() { say "== $*"; }

cd "$project"
step set-up
# gst-play-1.0 is among the base plugins' tools.
pipelines/setup.sh --check --with shellcheck --with openssl --with pulseaudio \
    --with gstreamer1.0-plugins-base-apps --with ffmpeg
tests/tools.sh
# rustup may have put cargo where this shell does not look yet.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
# A warning or a failed assertion of GLib ends the process that it is about.
export G_DEBUG=fatal-warnings

step shell
shellcheck --external-sources pipelines/*.sh pipelines/lib.bash tests/*.sh .ci/run

step format
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo fmt --manifest-path benches/transport/Cargo.toml --check

step lints
cargo clippy --locked --all-targets --quiet -- --deny warnings

step "licences and dependencies"
if command -v cargo-deny >/dev/null; then
    # Advisories need a database from the network; the others need the crates of all systems only.
    cargo fetch --locked --quiet
    cargo deny --offline --log-level error check licenses bans sources
else
    say "skipped: cargo-deny is not installed (cargo install --locked cargo-deny)"
fi

step docs
RUSTDOCFLAGS='--deny warnings' cargo doc --locked --no-deps --quiet
cargo test --locked --doc --quiet

step "scripts at work"
for script in pipelines/*.sh tests/*.sh; do
    "$script" --help >/dev/null
done
pipelines/demo.sh --seconds 8
tests/keys.sh
tests/install.sh
# Without Chromium it says so and leaves with 77.
tests/status-page.sh || (($? == 77))
tests/go-live.sh
tests/pipelines.sh
tests/speed.sh
# Without root or namespaces it says so and leaves with 77.
tests/cables.sh || (($? == 77))
tests/lan.sh || (($? == 77))
# Nor without miniupnpd.
tests/nat.sh || (($? == 77))

step fuzzing
# Without a nightly toolchain it says so and leaves with 77.
tests/fuzz.sh || (($? == 77))

step tests
if command -v cargo-nextest >/dev/null; then
    exec cargo nextest run --locked </dev/null
else
    exec cargo test --locked --lib --bins --tests </dev/null
fi
