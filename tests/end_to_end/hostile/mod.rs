// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Peers that attack: with real sockets, against elements in processes of their own.
//!
//! `pieces` looks at one lie about one piece at a time. Everything else is a short attack on a
//! [`siege::Siege`], which holds a broadcast, a viewer and a newcomer through it and judges all three.

mod addresses;
mod floods;
mod http;
mod pieces;
mod rules;
mod siege;
mod slow;
mod tips;
