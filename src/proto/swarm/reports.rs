// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! `Tr_G2G_v2`: what became of the pieces that were given (PROTOCOL §6, Give-to-Get).
//!
//! A report is a claim. Here it feeds a figure for applications and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    super::{
        lap::Sequence,
        sequence_map::SequenceMap,
        time::{Instant, Now},
        wire::{Extension, Transfers},
    },
    ConnId, Swarm,
};

/// How often reports are sent when there is something to tell.
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(4);

/// How often credit is reckoned.
const CREDIT_EVERY: Duration = Duration::from_secs(1);
/// How long what was given counts.
const CREDIT_MEMORY: Duration = Duration::from_secs(20);

/// A piece that somebody gave us.
#[derive(Debug)]
struct Forwarded {
    giver: ConnId,
    /// Bytes of it that we uploaded to others than the giver.
    bytes: usize,
    size: usize,
}

/// What we did with what we were given.
#[derive(Debug, Default)]
pub(super) struct Reports {
    pieces: SequenceMap<Forwarded>,
    /// Those of `pieces` that were uploaded since the last report.
    changed: BTreeSet<Sequence>,
}

impl Reports {
    /// How many pieces are known.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// A piece of `size` bytes came from `giver`.
    pub(super) fn received(&mut self, sequence: Sequence, giver: ConnId, size: usize) {
        let forwarded = Forwarded {
            giver,
            bytes: 0,
            size,
        };
        self.pieces.insert(sequence, forwarded);
    }

    /// Bytes of a piece went to `receiver`.
    pub(super) fn uploaded(&mut self, sequence: Sequence, receiver: ConnId, bytes: usize) {
        if let Some(piece) = self.pieces.get_mut(sequence)
            && piece.giver != receiver
        {
            piece.bytes += bytes;
            self.changed.insert(sequence);
        }
    }

    /// Forgets what left the window.
    pub(super) fn remove_below(&mut self, sequence: Sequence) {
        self.pieces.remove_below(sequence);
        if self.changed.first().is_some_and(|&first| first < sequence) {
            self.changed = self.changed.split_off(&sequence);
        }
    }

    /// What there is to tell whom, in per cent of each piece.
    fn take(&mut self) -> BTreeMap<ConnId, Vec<(Sequence, u8)>> {
        let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for sequence in std::mem::take(&mut self.changed) {
            if let Some(piece) = self.pieces.get(sequence) {
                let percent = (piece.bytes * 100 / piece.size.max(1)).min(100) as u8;
                told.entry(piece.giver)
                    .or_default()
                    .push((sequence, percent));
            }
        }
        told
    }
}

impl Swarm {
    /// Tells those who gave us pieces what we forwarded of them.
    pub(super) fn report(&mut self, now: Instant) {
        for (conn, told) in self.reports.take() {
            let id = self.peers.get(&conn).and_then(|peer| peer.extensions);
            let Some(id) = id.and_then(|ids| ids.id(Extension::Transfers)) else {
                continue;
            };
            for part in told.chunks(Transfers::MAX_ENTRIES) {
                let entries = part
                    .iter()
                    .map(|&(sequence, percent)| (self.lap.index(sequence), percent));
                let payload = Transfers(entries.collect()).encode();
                self.extend(now, conn, id, payload);
            }
        }
    }

    /// Reckons anew how much each neighbour gives.
    ///
    /// A viewer knows what it got itself: nothing is more certain, and nobody gains by a claim. A
    /// source gets nothing, so it goes by what became of the pieces that it gave.
    pub(super) fn give_credit(&mut self, now: Now) {
        let source = self.viewer.is_none();
        let stream = self.pace.bytes_per_second();
        for (&conn, peer) in &mut self.peers {
            if source {
                // Who says that it gives nothing is believed.
                let claimed = if peer.shares() {
                    peer.live.cap.map(|cap| cap as f64 / stream)
                } else {
                    Some(0.0)
                };
                peer.credit = self.spread.credit(conn, claimed);
                continue;
            }
            let (counted, at) = peer.credited;
            let span = now.at.since(at);
            if span >= CREDIT_EVERY {
                let rate = (peer.downloaded - counted) as f64 / span.as_secs_f64();
                let kept = (-span.as_secs_f64() / CREDIT_MEMORY.as_secs_f64()).exp();
                peer.credit = peer.credit * kept + rate * (1.0 - kept);
                peer.credited = (peer.downloaded, now.at);
            }
        }
    }

    /// A peer says what it forwarded of what we gave it.
    pub(super) fn take_report(&mut self, _now: Now, conn: ConnId, transfers: &Transfers) {
        let lap = self.lap;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Some(reference) = peer.tip else {
            return;
        };
        for (&index, &percent) in &transfers.0 {
            let sequence = lap.unwrap(index, reference);
            if let Some(given) = sequence.and_then(|sequence| peer.given.get_mut(sequence)) {
                let more = percent.saturating_sub(given.forwarded);
                given.forwarded += more;
                peer.forwarded += u64::from(more) * u64::from(given.size) / 100;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_to_others_are_told_once_and_those_back_to_the_giver_never() {
        let mut reports = Reports::default();
        reports.received(7, ConnId(1), 1000);
        reports.received(8, ConnId(2), 1000);
        reports.uploaded(7, ConnId(1), 1000);
        reports.uploaded(9, ConnId(3), 1000);
        assert!(reports.take().is_empty());
        reports.uploaded(7, ConnId(3), 400);
        reports.uploaded(8, ConnId(3), 1000);
        reports.uploaded(8, ConnId(4), 1000);
        let told = reports.take();
        assert_eq!(told[&ConnId(1)], [(7, 40)]);
        assert_eq!(told[&ConnId(2)], [(8, 100)], "capped");
        assert!(reports.take().is_empty());
    }
}
