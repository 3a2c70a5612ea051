// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Live television without a server: two GStreamer elements around a signed BitTorrent swarm.
//!
//! `livetorrentsink` broadcasts the byte stream it is given and writes a small `.tstream` file;
//! `livetorrentsrc` reads such a file and plays the stream from the other viewers, each piece
//! signed by the broadcaster.
//!
//! # The map
//!
//! | module | what it is |
//! | --- | --- |
//! | [`proto`] | the protocol's sans-IO core: no socket, no clock, no GStreamer |
//! | [`mpegts`] | transport stream bytes in, cut points and clock references out |
//! | [`net`] | the driver: sockets, timers, the source's HTTP; pumps one [`proto::swarm::Swarm`] |
//! | `common` | what both elements are made of: shared properties, figures as structures |
//! | [`livetorrentsink`], [`livetorrentsrc`] | the elements |
//!
//! Imports go one way: elements → `common` → `net` → `proto`, elements → `mpegts`.

mod common;
pub mod livetorrentsink;
pub mod mpegts;
pub mod net;
pub mod proto;
