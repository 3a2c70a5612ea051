// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What one thing of each costs on one core: a signature, a wire message, a transport packet, a
//! decision. No socket and no clock takes part.
//!
//! usage: cargo bench \[-- FILTER\]

mod cutting;
mod deciding;
mod messages;
mod signatures;

fn main() {
    divan::main();
}
