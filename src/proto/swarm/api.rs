// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What goes into a swarm and what comes out of it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::super::{
    lap::Sequence,
    metainfo::Metainfo,
    piece::Piece,
    time::Instant,
    wire::{Message, WireError},
};

/// A connection, numbered by the driver; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What this end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It signs; it never asks for anything.
    Source,
    /// It watches at this distance behind the source.
    Viewer {
        /// Distance behind the source at which bytes are released; zero: what is next at once.
        latency: Duration,
    },
}

/// What a viewer does with what follows a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLoss {
    /// It goes on with the next piece.
    #[default]
    Skip,
    /// It goes on with the next random access point, where that comes within two seconds.
    NextKeyframe,
}

/// How a viewer plays; all of it may change while it does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Playback {
    /// Distance behind the source at which bytes are released; zero: what is next at once.
    pub latency: Duration,
    /// How much faster or slower than the source it may play to return to that distance, as a
    /// fraction; zero: bytes follow the source's clock at any moment.
    pub max_rate_change: f64,
    /// What it does with what follows a hole.
    pub on_loss: OnLoss,
    /// How far behind the source it starts, and stays until [`Input::JumpToLive`], where that is
    /// more than `latency`. Counts before it has joined.
    pub start_offset: Duration,
}

/// What a swarm is told once.
#[derive(Debug, Clone)]
pub struct Config {
    /// The stream.
    pub metainfo: Arc<Metainfo>,
    /// Source or viewer.
    pub role: Role,
    /// Ours for this run: `-LV0100-` and 12 random bytes.
    pub peer_id: [u8; 20],
    /// Where we accept connections; 0: nowhere. Those outside may know another port ([`Input::Mapped`]).
    pub listen_port: u16,
    /// Most connections.
    pub max_peers: usize,
    /// Most peers served at once.
    pub max_uploads: usize,
    /// `false`: watch without sharing.
    pub upload_enabled: bool,
    /// Source: most copies of the stream that it uploads; 0: no limit. Auxiliary seeders count.
    pub upload_budget: f64,
    /// Most bits of pieces uploaded in a second; 0: no limit.
    pub max_upload_rate: u64,
    /// Most bytes of pieces kept.
    pub buffer_size: usize,
    /// `false`: neither tells others of peers nor hears of them (BEP 11).
    pub pex: bool,
    /// Seeds the generator that breaks ties.
    pub seed: u64,
}

impl Config {
    /// What a user has who sets nothing: fifty connections, seven uploads, 64 MiB, no limit of what is
    /// uploaded. Takes in others at `listen_port`.
    #[must_use]
    pub const fn new(
        metainfo: Arc<Metainfo>,
        role: Role,
        peer_id: [u8; 20],
        listen_port: u16,
        seed: u64,
    ) -> Self {
        Self {
            metainfo,
            role,
            peer_id,
            listen_port,
            max_peers: 50,
            max_uploads: 7,
            upload_enabled: true,
            upload_budget: 0.0,
            max_upload_rate: 0,
            buffer_size: 64 << 20,
            pex: true,
            seed,
        }
    }
}

/// Why an address is worth a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// HOST:PORT of an http announce URL: the source, never refused.
    Announce,
    /// The user named it: never refused.
    Configured,
    /// Source: a relay that the user named. It is dialled, always served, and served first.
    Auxiliary,
    /// A tracker gave it.
    Tracker,
    /// A node of the DHT gave it.
    Dht,
    /// It is on a network that this host is on, too: called before others that were heard of.
    Lan,
    /// It gave us pieces the last time that we watched: called before others, and beside them.
    Known,
}

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// A connection is there; the handshake is still to come.
    Connected {
        /// Its number from now on.
        conn: ConnId,
        /// The far end.
        address: SocketAddr,
        /// They dialled us.
        inbound: bool,
        /// How long it has been open: its greeting has that much less time.
        waited: Duration,
    },
    /// An [`Output::Dial`] came to nothing.
    DialFailed {
        /// As it was asked for.
        address: SocketAddr,
    },
    /// A whole message arrived.
    Received {
        /// From whom.
        conn: ConnId,
        /// What.
        message: Message,
    },
    /// Bytes arrived that are no message.
    Malformed {
        /// From whom.
        conn: ConnId,
        /// What was wrong.
        error: WireError,
    },
    /// Bytes of [`Output::Send`] left for the network, by [`Message::wire_len`].
    Sent {
        /// To whom.
        conn: ConnId,
        /// How many.
        bytes: usize,
    },
    /// The connection is gone, for a reason of the network's.
    Closed {
        /// Which.
        conn: ConnId,
        /// In words, for `peer-removed`.
        reason: String,
    },
    /// Addresses to try.
    Candidates {
        /// Where they come from.
        origin: Origin,
        /// The addresses.
        addresses: Vec<SocketAddr>,
    },
    /// Those outside reach us at this port from now on, as a router maps it.
    Mapped {
        /// In place of [`Config::listen_port`], which others still call.
        port: u16,
    },
    /// Source: a new piece, its sequence above every earlier one.
    Publish(Piece),
    /// Viewer: downstream has room for so many more deliveries.
    Room(usize),
    /// Viewer: it is to play like this from now on.
    SetPlayback(Playback),
    /// Viewer: downstream takes nothing until [`Input::Resume`].
    Pause,
    /// Viewer: downstream goes on.
    Resume {
        /// Where it was, and not at the distance.
        keep_position: bool,
    },
    /// Viewer: go to where a joiner would start now.
    JumpToLive,
    /// The moment of [`Output::WakeAt`] came.
    Timeout,
}

/// Something to do outside. [`Output::WakeAt`] ends a round of polling.
#[derive(Debug)]
pub enum Output {
    /// Open a connection.
    Dial {
        /// To here.
        address: SocketAddr,
    },
    /// Send a message; the core counts its bytes as waiting until [`Input::Sent`].
    Send {
        /// To whom.
        conn: ConnId,
        /// What.
        message: Message,
    },
    /// End a connection once what was sent before is out, or after a second. No
    /// [`Input::Closed`] follows, and inputs about it are ignored from here on.
    HangUp {
        /// Which.
        conn: ConnId,
        /// In words, for the trace.
        reason: String,
    },
    /// Viewer: bytes for downstream. At most as many as [`Input::Room`] granted.
    Deliver(Delivery),
    /// Nothing more to do until an input, or until this moment.
    WakeAt(Option<Instant>),
}

/// What goes downstream in one step.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The preamble, where the stream starts or resumes after a hole; else empty.
    pub preamble: Bytes,
    /// The payload, sharing memory with the store.
    pub payload: Bytes,
    /// It does not continue what went before.
    pub discont: bool,
    /// The piece it comes from.
    pub sequence: Sequence,
    /// When the source closed the piece, µs since the Unix epoch.
    pub time: u64,
    /// Seconds of stream that go downstream in one of ours from here on.
    pub rate: f64,
}

/// How a viewer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// No peer yet.
    #[default]
    Connecting,
    /// Peers, but nothing to start from yet.
    Joining,
    /// Bytes flow.
    Playing,
    /// The next piece is late everywhere.
    Stalled,
    /// No piece is newer than three seconds anywhere.
    SourceAway,
    /// The broadcast ended and everything held was delivered.
    Ended,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A peer finished the handshake.
    PeerAdded {
        /// Its peer id in printable form.
        id: String,
        /// The far end.
        address: SocketAddr,
    },
    /// A peer that had been added is gone.
    PeerRemoved {
        /// Its peer id in printable form.
        id: String,
        /// The far end.
        address: SocketAddr,
        /// In words.
        reason: String,
    },
    /// Viewer: the status changed.
    Status(Status),
    /// Viewer: the tip it joined is old; the search for a newer one goes on.
    Unconfirmed {
        /// How far that tip is behind our clock.
        age: Duration,
    },
    /// Viewer: the next piece was late everywhere.
    Stalled,
    /// Viewer: it came.
    Resumed,
    /// Viewer: no newer piece for three seconds, and no END.
    SourceAway,
    /// Viewer: a newer piece after that.
    SourceBack,
    /// Viewer: pieces that missed their time.
    Skipped {
        /// How many sequences.
        pieces: u64,
        /// Their payload bytes, where the pieces around them tell; else 0.
        bytes: u64,
    },
    /// Viewer: everything of a broadcast that ended was delivered.
    Ended,
    /// Every connected viewer that can hold the END has it (source, after publishing it).
    Drained,
    /// A step on the way, for the log.
    Step(Step),
}

/// What a viewer's log tells besides: each a few times in a join or a stall, never once a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The first tip, or the first after the source was away.
    Tip {
        /// Who announced it or gave the piece; nothing where that is not known any more.
        address: Option<SocketAddr>,
        /// Its sequence.
        sequence: Sequence,
        /// How far its time is behind our clock.
        age: Duration,
    },
    /// It is known where to start.
    Entry {
        /// The piece that is looked for, or the first entry after it.
        sequence: Sequence,
        /// How many sequences that is behind the tip.
        behind: u64,
        /// Somebody holds a random access point there.
        random_access: bool,
    },
    /// The first bytes, also those after a stall, go downstream.
    Released {
        /// Their piece.
        sequence: Sequence,
        /// How long ago the source closed it, by the quickest way from there.
        distance: Duration,
        /// Since the viewer began.
        after: Duration,
    },
    /// The piece that is next is late; a stall follows.
    Late {
        /// Its sequence.
        sequence: Sequence,
        /// The newest sequence that is known to exist.
        tip: Sequence,
        /// How many peers there are,
        peers: usize,
        /// how many of them show it,
        shown_by: usize,
        /// and how many were asked for it.
        asked: usize,
    },
    /// A neighbour told of others (BEP 11).
    Exchanged {
        /// The neighbour.
        address: SocketAddr,
        /// How many of them may be called.
        peers: usize,
    },
    /// What came next has left the window.
    Leap {
        /// The lowest sequence that a peer shows.
        sequence: Sequence,
    },
}
