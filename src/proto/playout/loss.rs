// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What becomes of what follows a hole.

use std::time::Duration;

use super::{
    super::{
        lap::Sequence,
        piece::{Flags, Piece},
        swarm::OnLoss,
        time::UnixMicros,
    },
    Playout,
};

/// A picture that stands for longer is worse than one with errors, and sound is missed sooner.
const STANDS_AT_MOST: Duration = Duration::from_secs(2);

/// What follows a hole is not shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropping {
    /// The first sequence of the hole.
    from: Sequence,
    /// From this steady time on it is shown all the same.
    until: UnixMicros,
}

impl Playout {
    /// What to do with `piece`, whose time has come: nothing, it is dropped; or it is played, and
    /// what is missing before it begins at the sequence that is returned.
    pub(super) fn drops(&mut self, piece: &Piece, in_order: bool) -> Option<Sequence> {
        let next = self.next.unwrap_or_else(|| piece.sequence());
        let begins =
            piece.flags().contains(Flags::RANDOM_ACCESS) || piece.flags().contains(Flags::START);
        let time = self.clock.steady(piece.time());
        if self.dropping.is_none() && !in_order && self.playback.on_loss == OnLoss::NextKeyframe {
            let until = time.saturating_add(super::micros(STANDS_AT_MOST));
            let is_near = self.next_access().is_none_or(|next| next <= until);
            self.dropping = is_near.then_some(Dropping { from: next, until });
        }
        match self.dropping {
            Some(dropping) if begins || time >= dropping.until => {
                self.dropping = None;
                Some(dropping.from)
            }
            Some(_) => None,
            None => Some(next),
        }
    }

    /// The steady time at which the next random access point is to be expected.
    fn next_access(&self) -> Option<UnixMicros> {
        let every = super::micros(self.access.every?);
        self.access.last?.checked_add(every)
    }
}
