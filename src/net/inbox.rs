// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What the tasks of a driver tell the one task that owns the swarm.

use std::{io, net::SocketAddr, time::Instant};

use async_channel::Sender;

use super::runtime::TcpStream;
use crate::proto::{
    swarm::{ConnId, Origin},
    wire::{Message, WireError},
};

/// How much of this may wait. Each reader has one batch in it at most, so that no connection can
/// crowd out the others; who finds it full waits.
pub(super) const CAPACITY: usize = 256;

/// One thing told.
#[derive(Debug)]
pub(super) enum Inbound {
    /// A peer connected and began the handshake.
    Accepted {
        stream: TcpStream,
        address: SocketAddr,
        /// What was read of it so far.
        first: Vec<u8>,
        /// Since when it is open.
        since: Instant,
    },
    /// A dial came to an end.
    Dialled {
        address: SocketAddr,
        stream: io::Result<TcpStream>,
    },
    /// What one read brought.
    Batch {
        conn: ConnId,
        messages: Vec<Message>,
        /// What made the bytes after them unreadable.
        error: Option<WireError>,
        /// Dropped when the batch was handled; the reader goes on then.
        handled: Sender<()>,
    },
    /// Bytes were handed to the kernel.
    Sent { conn: ConnId, bytes: usize },
    /// A connection ended from outside.
    Closed { conn: ConnId, reason: String },
    /// Addresses to try.
    Candidates {
        origin: Origin,
        addresses: Vec<SocketAddr>,
    },
    /// Those outside come in at this port from now on.
    Mapped { port: u16 },
}
