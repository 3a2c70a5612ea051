// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! How fast a peer's messages are read.

use std::time::Duration;

use super::super::{clock::Clock, runtime::sleep};
use crate::proto::{limiter::Limiter, wire::Message};

/// What the messages of a peer may cost in a second, in units of [`cost`]; what it sends beyond that
/// waits in the network. A stream of 100 Mbit/s in pieces of this size or more, with five messages
/// for each, is well within it.
pub(super) const COST_PER_SECOND: f64 = 4096.0;
const COSTED_PIECE: f64 = 16.0 * 1024.0;
/// What a peer that was quiet may send at once,
const COST_SAVED: Duration = Duration::from_secs(1);
/// and one that has just come: who comes again and again gains nothing by it.
pub(super) const COST_AT_FIRST: Duration = Duration::from_millis(60);

/// How fast a peer's messages are read: whoever sends more than any stream needs may keep neither
/// the processor busy nor others from their turn.
#[derive(Debug)]
pub(in super::super) struct Pace {
    limiter: Limiter,
    clock: Clock,
}

impl Pace {
    /// For a stream of pieces of so many bytes at most. Of small ones there are more.
    pub(in super::super) fn new(piece_length: u32, clock: Clock) -> Self {
        let rate = COST_PER_SECOND * (COSTED_PIECE / f64::from(piece_length)).max(1.0);
        let now = clock.now().at;
        let mut limiter = Limiter::new(rate, COST_AT_FIRST);
        limiter.set(now, rate, COST_AT_FIRST);
        limiter.set(now, rate, COST_SAVED);
        Self { limiter, clock }
    }

    /// Counts what was read.
    pub(super) fn took(&mut self, messages: &[Message]) {
        let cost = messages.iter().map(cost).sum();
        self.limiter.sent(self.clock.now().at, cost);
    }

    /// Waits until more may be read.
    pub(super) async fn wait(&self) {
        let now = self.clock.now().at;
        let left = self.limiter.opens(now).since(now);
        if !left.is_zero() {
            sleep(left).await;
        }
    }
}

/// What it costs to take a message in, where a HAVE is one: bencode is read, and what a peer says of
/// itself changes whom we ask.
fn cost(message: &Message) -> usize {
    const EXTENDED: usize = 8;
    const BYTES: usize = 64;
    match message {
        Message::Extended { payload, .. } => EXTENDED + payload.len() / BYTES,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use bytes::Bytes;

    #[test]
    fn small_pieces_are_read_faster_and_bencode_slower() {
        let rate = |piece_length| {
            let mut pace = Pace::new(piece_length, Clock::new());
            pace.limiter.sent(pace.clock.now().at, 1 << 20);
            let now = pace.clock.now().at;
            pace.limiter.opens(now).since(now)
        };
        assert!(rate(1024) < rate(16 * 1024) / 2);
        assert_eq!(cost(&Message::Have(1)), 1);
        let payload = Bytes::from_static(&[0; 640]);
        assert_eq!(cost(&Message::Extended { id: 1, payload }), 18);
    }
}
