// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The pieces that are held: the window as far back as memory allows.

use std::collections::BTreeMap;

use super::{
    lap::{Lap, Sequence},
    piece::{Flags, Piece},
    sequence_map::SequenceMap,
    time::UnixMicros,
};

/// Of the random access points that are told of, each is so much older than the one after it, as
/// part of its age: who wants to start far back need not start at this very second.
const APART: u64 = 16;

/// Verified pieces by sequence, bounded in bytes.
#[derive(Debug)]
pub(super) struct Store {
    lap: Lap,
    limit: usize,
    pieces: SequenceMap<Piece>,
    bytes: usize,
    /// The random access points among them, with their times.
    entries: BTreeMap<Sequence, UnixMicros>,
    /// The newest piece that was dropped for want of memory before it was delivered.
    squeezed_out: Option<Sequence>,
}

impl Store {
    /// How many pieces are held.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// How many bytes they have.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// An empty store for at most `limit` bytes.
    pub(super) const fn new(lap: Lap, limit: usize) -> Self {
        Self {
            lap,
            limit,
            pieces: SequenceMap::new(),
            bytes: 0,
            entries: BTreeMap::new(),
            squeezed_out: None,
        }
    }

    /// Keeps a piece; `false` when it is held already.
    pub(super) fn insert(&mut self, piece: Piece) -> bool {
        let sequence = piece.sequence();
        if self.pieces.contains_key(sequence) {
            return false;
        }
        if piece.flags().contains(Flags::RANDOM_ACCESS) {
            self.entries.insert(sequence, piece.time());
        }
        self.bytes += piece.bytes().len();
        self.pieces.insert(sequence, piece);
        true
    }

    pub(super) fn contains(&self, sequence: Sequence) -> bool {
        self.pieces.contains_key(sequence)
    }

    pub(super) fn get(&self, sequence: Sequence) -> Option<&Piece> {
        self.pieces.get(sequence)
    }

    /// The held pieces from `sequence` on, in order.
    pub(super) fn range_from(&self, sequence: Sequence) -> impl Iterator<Item = &Piece> {
        self.pieces.range_from(sequence).map(|(_, piece)| piece)
    }

    pub(super) fn newest(&self) -> Option<&Piece> {
        self.pieces.last().map(|(_, piece)| piece)
    }

    /// The oldest held sequence inside the window of `tip`.
    pub(super) fn oldest_in_window(&self, tip: Sequence) -> Option<Sequence> {
        let start = self.lap.window_start(tip);
        self.pieces.range_from(start).next().map(|(s, _)| s)
    }

    /// The newest random access point held.
    pub(super) fn newest_random_access(&self) -> Option<Sequence> {
        self.entries.last_key_value().map(|(&sequence, _)| sequence)
    }

    /// The random access points held from `from` on, newest first.
    pub(super) fn entries(&self, from: Sequence) -> impl Iterator<Item = (Sequence, UnixMicros)> {
        let entries = self.entries.range(from..).rev();
        entries.map(|(&sequence, &time)| (sequence, time))
    }

    /// The same, at most `most`, and fewer the further back.
    pub(super) fn sparse_entries(
        &self,
        from: Sequence,
        most: usize,
    ) -> Vec<(Sequence, UnixMicros)> {
        let newest = self.newest().map_or(0, Piece::time);
        let age = |time: UnixMicros| newest.saturating_sub(time);
        let mut entries: Vec<(Sequence, UnixMicros)> = Vec::new();
        for (sequence, time) in self.entries(from) {
            let is_apart =
                |&(_, last): &(Sequence, u64)| age(time) >= age(last) + age(last) / APART;
            if entries.len() < most && entries.last().is_none_or(is_apart) {
                entries.push((sequence, time));
            }
        }
        entries
    }

    /// Drops what left the window of `tip`, and the oldest while there are more bytes than allowed;
    /// nothing that is still to be delivered, from `undelivered` on.
    pub(super) fn trim(&mut self, tip: Sequence, undelivered: Option<Sequence>) {
        let start = self.lap.window_start(tip);
        while let Some((oldest, _)) = self.pieces.first() {
            let delivered = undelivered.is_none_or(|next| oldest < next);
            if !delivered || (oldest >= start && !self.is_over_limit()) {
                break;
            }
            self.drop_oldest();
        }
    }

    /// Whether more is held than allowed, as [`Self::trim`] leaves what is to be delivered.
    pub(super) const fn is_over_limit(&self) -> bool {
        self.bytes > self.limit
    }

    /// Drops the oldest, delivered or not, while there are more bytes than allowed.
    pub(super) fn squeeze(&mut self) {
        while self.is_over_limit() {
            let Some(dropped) = self.drop_oldest() else {
                break;
            };
            self.squeezed_out = self.squeezed_out.max(Some(dropped));
        }
    }

    /// Whether memory had no room for a piece this old, so that it is not to be fetched again.
    pub(super) fn is_squeezed_out(&self, sequence: Sequence) -> bool {
        self.squeezed_out.is_some_and(|dropped| sequence <= dropped)
    }

    fn drop_oldest(&mut self) -> Option<Sequence> {
        let (sequence, piece) = self.pieces.pop_first()?;
        self.bytes -= piece.bytes().len();
        self.entries.remove(&sequence);
        Some(sequence)
    }
}
