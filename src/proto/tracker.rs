// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Trackers over HTTP and UDP, without IO (PROTOCOL §8; BEP 3, 7, 15, 23, 48).
//!
//! A client makes the URL of an [`Announce`] and reads the body that comes back with
//! [`AnnounceResponse::parse`], or exchanges the datagrams of a [`UdpAnnounce`]. A source answers with a
//! [`TrackerServer`], which keeps who announced and is handed the time, the query string and the
//! addresses of the connection.

mod client;
mod entries;
mod query;
mod server;
pub mod udp;

pub use client::{Announce, AnnounceResponse, ResponseError};
pub use query::{AnnounceQuery, QueryError};
pub use server::{Call, TrackerServer};
pub use udp::UdpAnnounce;

/// What an announce tells beyond "still here" (BEP 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The first announce.
    Started,
    /// The last one: forget us.
    Stopped,
    /// A download is whole; live streams never are.
    Completed,
}

impl Event {
    /// As it stands in a query.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
        }
    }
}
