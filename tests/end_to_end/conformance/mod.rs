// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The elements as an implementation meets them that was written from PROTOCOL alone, over plain
//! sockets: it knows none of the keys that this project added since, and holds the far end to what the
//! page says.

mod asker;
mod claims;
mod giver;
mod link;
mod source;
mod viewer;
