// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Figures for applications (INTERFACE, section Stats).

use std::{net::SocketAddr, time::Duration};

use super::lap::Sequence;

/// What came of a way to peers when it was tried last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// What it is called: `tracker URL`, `DHT (IPv4)`, …
    pub name: String,
    /// Addresses that it told of.
    pub peers: usize,
    /// In words.
    pub outcome: String,
}

/// A snapshot of one swarm. Counters only grow; bytes are bytes, rates bits per second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Piece bytes sent (header and content), without message overhead.
    pub bytes_uploaded: u64,
    /// Piece bytes received, also those of no use.
    pub bytes_downloaded: u64,
    /// Every other byte of the peer protocol, in both directions.
    pub overhead_bytes: u64,
    /// Pieces that were accepted (a source: made).
    pub pieces_verified: u64,
    /// Pieces and proofs that were refused.
    pub pieces_rejected: u64,
    /// Bytes of pieces that were already held.
    pub duplicate_bytes: u64,
    /// Peers that finished the handshake.
    pub peers_connected: u64,
    /// Peers refused for ten minutes by proof.
    pub peers_banned: u64,
    /// Over the last seconds.
    pub upload_rate: u64,
    /// Over the last seconds.
    pub download_rate: u64,
    /// The newest sequence known to exist.
    pub tip: Option<Sequence>,
    /// The oldest sequence that is served.
    pub floor: Option<Sequence>,
    /// Every connected peer.
    pub peers: Vec<PeerStats>,
    /// Payload and preamble bytes handed downstream (viewer).
    pub bytes_out: u64,
    /// Pieces that missed their time (viewer).
    pub pieces_skipped: u64,
    /// Stream time held in order and not yet released (viewer).
    pub buffer_level: Duration,
    /// Source time of the tip less that of the last byte released, plus the tip's age (viewer).
    pub live_distance: Duration,
    /// Seconds of stream played in one of ours; 0 before anything is known (viewer).
    pub playback_rate: f64,
    /// From start to the first byte released (viewer).
    pub join_time: Option<Duration>,
    /// How often the stream stalled (viewer).
    pub stalls: u64,
}

/// One connected peer.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerStats {
    /// The peer id of its handshake, in printable form.
    pub id: String,
    /// Where it is connected from or to.
    pub address: SocketAddr,
    /// What it calls itself (BEP 10 `v`).
    pub client: String,
    /// Round trip as its answers show it.
    pub rtt: Option<Duration>,
    /// Piece bytes sent to it.
    pub bytes_uploaded: u64,
    /// Piece bytes received from it.
    pub bytes_downloaded: u64,
    /// Bytes it says it forwarded of what we sent (Tr_G2G_v2).
    pub forwarded: u64,
    /// It chokes us.
    pub choked: bool,
    /// We choke it.
    pub choking: bool,
    /// How far behind the source it says it is.
    pub lag: Option<Duration>,
}
