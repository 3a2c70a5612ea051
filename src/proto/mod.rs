// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The protocol's sans-IO core.
//!
//! Plain structs with `&mut self` and the time as an argument. Nothing here knows a socket, a
//! clock, GStreamer or an async runtime, and nothing logs: inputs, outputs and events derive
//! `Debug`, so the driver can trace them.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`swarm`] | the whole state machine behind `Input`, `Output` and `Event` |
//! | [`wire`], [`tracker`], [`dht`], [`lsd`], [`http`], [`address`] | messages and their bytes |
//! | [`port_control`], [`igd`] | what a router is asked for |
//! | [`metainfo`], [`uri`], [`key`], [`restart`], [`good_peers`] | files and links (§1, §2) |
//! | [`piece`], [`lap`] | the signed unit, its numbers and their window (§2, §3) |
//! | [`picker`], [`choker`], [`carrier`] | policies: from whom, to whom, when |
//! | [`hops`], [`pace`], [`limiter`], [`rate`] | what these measure and keep |
//! | [`sequence_set`], [`time`], [`stats`] | what all of it is made of |
//! | [`status`] | the page for browsers, and the same for scripts (§8) |
//!
//! What follows is the contract that all of it keeps.
//!
#![doc = include_str!("PROTOCOL.md")]
#![forbid(unsafe_code)]

pub mod address;
mod address_book;
pub mod carrier;
pub mod choker;
pub mod dht;
pub mod good_peers;
pub mod hops;
pub mod http;
pub mod igd;
pub mod key;
pub mod lap;
pub mod limiter;
pub mod lsd;
pub mod metainfo;
pub mod pace;
mod peer;
mod peers;
pub mod picker;
pub mod piece;
mod playout;
pub mod port_control;
pub mod rate;
mod request;
pub mod restart;
mod sequence_map;
pub mod sequence_set;
pub mod stats;
pub mod status;
mod store;
pub mod swarm;
pub mod time;
mod timer;
pub mod tracker;
mod tune_in;
pub mod uri;
pub mod wire;
mod witnesses;
