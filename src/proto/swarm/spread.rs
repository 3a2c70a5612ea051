// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What becomes of the pieces that a source gives.
//!
//! A source gets nothing from its viewers, and what they say of themselves is only said. But it
//! sees when a piece that it gave to a few shows up at the others. Those whose pieces spread
//! quickly are worth a slot; who takes and passes nothing on, whatever it claims, is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    super::{lap::Sequence, time::Instant},
    ConnId,
};

/// Pieces that are followed at a time.
const FOLLOWED: usize = 64;
/// A piece that so many others show spreads.
const SPREADS: usize = 2;
/// A piece that has not spread after this has not spread.
const LOST: Duration = Duration::from_secs(2);

/// Who says that it can give more copies than this gains nothing more by it.
const MOST_CLAIMED: f64 = 3.0;
/// A viewer is judged by so many pieces: the first ones that it gets wait for others to find it.
const TRIED: u32 = 32;
/// What the word of a viewer counts that was not tried yet: who proved itself stays.
const UNTRIED: f64 = 0.6;
/// The power of how much slower than usual a viewer's pieces spread by which its word counts less.
const STRICT: i32 = 3;

/// One piece on its way.
#[derive(Debug)]
struct Followed {
    published: Instant,
    given: BTreeSet<ConnId>,
    /// When it was last given to one.
    given_at: Instant,
    /// When it was last given to one that relays.
    relayed_at: Instant,
    shown: usize,
    /// Viewers that have to show it.
    enough: usize,
}

/// The pieces that are followed, and what was learnt of those who got them.
#[derive(Debug, Default)]
pub(super) struct Spread {
    followed: BTreeMap<Sequence, Followed>,
    /// What became of the pieces that a viewer got.
    takes: BTreeMap<ConnId, Taken>,
}

/// How long the pieces take that a viewer got, usually, and over how many.
#[derive(Debug, Clone, Copy)]
struct Taken {
    usual: Duration,
    pieces: u32,
}

impl Spread {
    /// How much is remembered.
    pub(super) fn entries(&self) -> usize {
        self.followed.len() + self.takes.len()
    }

    /// A new piece, and how many viewers there are.
    pub(super) fn published(&mut self, now: Instant, sequence: Sequence, viewers: usize) {
        while let Some((_, oldest)) = self.followed.first_key_value()
            && (self.followed.len() >= FOLLOWED || now.since(oldest.published) >= LOST)
        {
            if let Some((_, lost)) = self.followed.pop_first() {
                self.learn(&lost, LOST);
            }
        }
        let followed = Followed {
            published: now,
            given: BTreeSet::new(),
            given_at: now,
            relayed_at: now,
            shown: 0,
            enough: (viewers / 2).max(1),
        };
        self.followed.insert(sequence, followed);
    }

    /// A piece was given to a viewer, which `relays` or did not show that yet.
    pub(super) fn gave(&mut self, now: Instant, conn: ConnId, sequence: Sequence, relays: bool) {
        if let Some(followed) = self.followed.get_mut(&sequence)
            && followed.given.insert(conn)
        {
            followed.given_at = now;
            if relays {
                followed.relayed_at = now;
            }
        }
    }

    /// Whether a piece went astray, in the eyes of who `relays` or of another: `after` it was last given
    /// hardly anybody else shows it. Strangers who come, take and go must not keep those from it that
    /// pass it on.
    pub(super) fn is_astray(
        &self,
        now: Instant,
        sequence: Sequence,
        relays: bool,
        after: Duration,
    ) -> bool {
        self.followed.get(&sequence).is_some_and(|followed| {
            let last = if relays {
                followed.relayed_at
            } else {
                followed.given_at
            };
            followed.shown < SPREADS && now.since(last) >= after
        })
    }

    /// A viewer shows a piece.
    pub(super) fn showed(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        let Some(followed) = self.followed.get_mut(&sequence) else {
            return;
        };
        if followed.given.contains(&conn) {
            return;
        }
        followed.shown += 1;
        if followed.shown >= followed.enough
            && let Some(spread) = self.followed.remove(&sequence)
        {
            self.learn(&spread, now.since(spread.published));
        }
    }

    fn learn(&mut self, piece: &Followed, took: Duration) {
        for &conn in &piece.given {
            let taken = self.takes.entry(conn).or_insert(Taken {
                usual: took,
                pieces: 0,
            });
            taken.usual = (taken.usual * 15 + took) / 16;
            taken.pieces = taken.pieces.saturating_add(1);
        }
    }

    /// How much a viewer gives, as far as is known: what it says that it can (copies of the stream),
    /// as long as the pieces that it gets spread no slower than others.
    pub(super) fn credit(&self, conn: ConnId, claimed: Option<f64>) -> f64 {
        let claimed = claimed.unwrap_or(1.0).clamp(0.1, MOST_CLAIMED);
        let taken = self.takes.get(&conn);
        let Some(taken) = taken.filter(|taken| taken.pieces >= TRIED) else {
            return claimed * UNTRIED;
        };
        let all: Duration = self.takes.values().map(|taken| taken.usual).sum();
        let usual = all.as_secs_f64() / self.takes.len().max(1) as f64;
        let slower = (taken.usual.as_secs_f64() / usual.max(0.01)).max(1.0);
        claimed / slower.powi(STRICT)
    }

    /// The viewer is gone.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.takes.remove(&conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn who_passes_on_what_it_gets_has_more_credit_than_who_does_not() {
        let mut spread = Spread::default();
        let (giver, taker, other) = (ConnId(1), ConnId(2), ConnId(3));
        for piece in 0..200u64 {
            let now = piece * 50;
            spread.published(at(now), piece, 4);
            let to = if piece % 2 == 0 { giver } else { taker };
            spread.gave(at(now), to, piece, true);
            if piece % 2 == 0 {
                spread.showed(at(now + 100), other, piece);
                spread.showed(at(now + 150), ConnId(4), piece);
            }
        }
        assert!(spread.credit(giver, Some(1.0)) > 2.0 * spread.credit(taker, Some(3.0)));
        let untried = spread.credit(other, Some(0.9));
        assert!(
            spread.credit(giver, Some(1.0)) > untried && untried > spread.credit(taker, Some(3.0))
        );
        assert!(spread.followed.len() <= FOLLOWED);
    }

    #[test]
    fn a_piece_is_astray_until_others_show_it_and_again_a_while_after_each_copy() {
        let mut spread = Spread::default();
        let after = Duration::from_millis(250);
        let astray = |spread: &Spread, millis| spread.is_astray(at(millis), 7, false, after);
        spread.published(at(0), 7, 100);
        spread.gave(at(10), ConnId(1), 7, true);
        spread.showed(at(200), ConnId(1), 7);
        assert!(!astray(&spread, 259) && astray(&spread, 260));
        spread.gave(at(300), ConnId(2), 7, false);
        assert!(!astray(&spread, 549) && astray(&spread, 550));
        spread.showed(at(560), ConnId(3), 7);
        assert!(astray(&spread, 570), "one is hardly anybody");
        spread.showed(at(580), ConnId(4), 7);
        assert!(!astray(&spread, 9000));
        assert!(
            !spread.is_astray(at(9000), 8, false, Duration::ZERO),
            "not a piece of late"
        );
    }

    #[test]
    fn strangers_who_take_a_piece_again_and_again_do_not_keep_it_from_those_who_relay() {
        let mut spread = Spread::default();
        let after = Duration::from_millis(250);
        spread.published(at(0), 7, 100);
        for stranger in 0..20 {
            spread.gave(at(stranger * 100), ConnId(stranger), 7, false);
        }
        assert!(!spread.is_astray(at(2000), 7, false, after));
        assert!(spread.is_astray(at(2000), 7, true, after));
        spread.gave(at(2000), ConnId(99), 7, true);
        assert!(!spread.is_astray(at(2249), 7, true, after));
        // The same one once more is no new attempt.
        spread.gave(at(2240), ConnId(99), 7, true);
        assert!(spread.is_astray(at(2250), 7, true, after));
    }

    #[test]
    fn who_was_given_little_is_not_judged_by_it_yet() {
        let mut spread = Spread::default();
        let (proved, new) = (ConnId(1), ConnId(2));
        for piece in 0..200u64 {
            spread.published(at(piece * 50), piece, 2);
            let taker = if piece < 190 { proved } else { new };
            spread.gave(at(piece * 50), taker, piece, true);
            let slow = if piece < 190 { 10 } else { 45 };
            spread.showed(at(piece * 50 + slow), ConnId(3), piece);
        }
        assert_eq!(spread.credit(new, Some(2.0)), 2.0 * UNTRIED);
        assert_eq!(spread.credit(proved, Some(2.0)), 2.0);
    }
}
