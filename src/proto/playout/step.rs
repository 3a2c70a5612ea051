// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The next thing to do: deliver, give up, move, or wait.

use super::{
    super::{
        lap::Sequence,
        piece::{Flags, Piece},
        store::Store,
        time::{Instant, Now, UnixMicros},
    },
    Astray, Covered, PATIENCE_AT_ZERO, Playout, Step, Told,
    distance::{self, Reading, Verdict},
    schedule::Schedule,
};

use std::time::Duration;

/// How often it is looked at how far behind the source it plays.
const JUDGE_EVERY: Duration = Duration::from_millis(100);
/// So long after it began downstream knows what it plays. Demuxers and decoders that are only being
/// put together lose a change of rate, or trip over it.
const GETS_GOING: Duration = Duration::from_secs(3);
/// Where the first piece goes out so little late, that is no part of its distance.
const PUNCTUAL: Duration = Duration::from_millis(50);

impl Playout {
    /// The next thing to do at `now`; `lost` tells how many pieces in a hole are known to have
    /// existed.
    pub(in super::super) fn step(
        &mut self,
        now: Now,
        store: &Store,
        lost: impl Fn(Sequence, Sequence) -> u64,
    ) -> Step {
        let Some(next) = self.next else {
            return Step::Wait(None);
        };
        if self.is_paused() {
            let ready = self.searching && self.entry(now.at, store, next).is_ok();
            self.ready |= ready;
            return Step::Wait(None);
        }
        if self.searching {
            return self.search(now, store, next, &lost);
        }
        let look_again = self.steer(now.at, store);
        let moves = match self.find_way_back(now.at, store, next) {
            Some((at, entry)) if at <= now.at => {
                self.begin_anew();
                if entry.sequence() > next {
                    return self.skip(next, entry, lost(next, entry.sequence()));
                }
                None
            }
            moves => moves.map(|(at, _)| at),
        };
        match self.play(now.at, store, next, &lost) {
            Step::Wait(until) => Step::Wait([until, look_again, moves].into_iter().flatten().min()),
            step => step,
        }
    }

    fn play(
        &mut self,
        now: Instant,
        store: &Store,
        mut next: Sequence,
        lost: &impl Fn(Sequence, Sequence) -> u64,
    ) -> Step {
        loop {
            let Some(piece) = store.range_from(next).next() else {
                return Step::Wait(None);
            };
            let in_order = piece.sequence() == next;
            let due = self.due(now, store, piece, next);
            if due > now {
                return Step::Wait(Some(due));
            }
            if !in_order && store.is_squeezed_out(next) {
                // A part of what was held for later is lost: what is left goes on from here.
                self.begin_anew();
            }
            let from = self.drops(piece, in_order);
            // What was leapt over is not told yet.
            let told = self.told.map(|told| told.sequence);
            match from.map(|from| told.map_or(from, |told| told.min(from))) {
                Some(from) if from < piece.sequence() => {
                    return self.skip(from, piece, lost(from, piece.sequence()));
                }
                Some(_) => {}
                None => {
                    next = piece.sequence() + 1;
                    self.skip_to(next);
                    continue;
                }
            }
            return Step::Deliver(self.deliver(now, piece));
        }
    }

    /// When `piece`, the first that is held from `next` on, is released, or the hole before it is
    /// given up.
    fn due(&self, now: Instant, store: &Store, piece: &Piece, next: Sequence) -> Instant {
        let in_order = piece.sequence() == next;
        let release = self
            .release(piece.sequence(), piece.time())
            .unwrap_or_default();
        // Memory that is full of what is to come shortens the latency; nothing is lost for it. And
        // what memory had no room for does not come any more.
        if store.is_over_limit() || store.is_squeezed_out(next) {
            now
        } else if in_order || piece.flags().contains(Flags::START) {
            // Nobody fetches across a START (PROTOCOL §2): what is missing before it is lost.
            if self.target().is_zero() {
                now
            } else {
                release
            }
        } else {
            self.give_up(release)
        }
    }

    /// When the hole before a piece that is released at `release` is given up.
    fn give_up(&self, release: Instant) -> Instant {
        let patience = if self.target().is_zero() {
            PATIENCE_AT_ZERO
        } else {
            Duration::ZERO
        };
        (release + patience).max(self.settled_at)
    }

    /// Goes on from `next` with `piece`.
    pub(super) fn skip(&mut self, next: Sequence, piece: &Piece, lost: u64) -> Step {
        let same_start = !piece.flags().contains(Flags::START);
        // What was skipped to may be skipped itself before its turn comes.
        let before = self.told.filter(|told| told.sequence == next && same_start);
        let position = piece.header().position;
        let told = before.and_then(|told| told.position);
        let bytes = told.map_or(0, |told| position.saturating_sub(told));
        self.told = Some(Told {
            sequence: piece.sequence(),
            position: Some(position),
        });
        self.skip_to(piece.sequence());
        Step::Skip {
            pieces: lost,
            bytes,
        }
    }

    /// Looks how far behind the source it plays and sets the rate; when to look again.
    fn steer(&mut self, now: Instant, store: &Store) -> Option<Instant> {
        if let Some(at) = self.judged_at.filter(|&at| now.since(at) < JUDGE_EVERY) {
            return Some(at + JUDGE_EVERY);
        }
        // A start that is not played yet has another clock.
        let schedule = self.schedule.filter(|_| self.next_clock.is_none())?;
        let position = schedule.position(now);
        let reading = Reading {
            now,
            distance: now.since(self.clock.local_of_steady(position)?),
            target: self.target(),
            buffer: self.buffer(now, store),
            max_change: self.playback.max_rate_change,
        };
        self.judged_at = Some(now);
        match self.control.judge(&reading, self.keeps_position) {
            Verdict::Rate(rate) => {
                self.astray = None;
                self.set_rate(now, rate);
                let near = reading.target + distance::much(reading.max_change);
                self.keeps_position &= reading.distance > near;
                if reading.max_change <= 0.0 && !self.keeps_position {
                    // What the source's clock says is near enough, and stays so.
                    self.schedule = None;
                }
            }
            Verdict::Ahead => self.strays(now, Astray::Behind),
            Verdict::Back => self.strays(now, Astray::Near),
        }
        Some(now + JUDGE_EVERY)
    }

    fn strays(&mut self, now: Instant, astray: Astray) {
        self.set_rate(now, 1.0);
        if self.astray.is_none_or(|(before, _)| before != astray) {
            self.astray = Some((astray, now));
        }
    }

    /// How long what is held in order lasts; none: everything that will ever come is held.
    fn buffer(&mut self, now: Instant, store: &Store) -> Option<Duration> {
        let next = self.next?;
        let last = self.last?;
        let mut covered = self.covered.filter(|c| c.until >= next).unwrap_or(Covered {
            until: next,
            time: last.time,
            end: false,
        });
        for piece in store.range_from(covered.until) {
            if piece.sequence() != covered.until {
                break;
            }
            covered = Covered {
                until: piece.sequence() + 1,
                time: piece.time(),
                end: piece.flags().contains(Flags::END),
            };
        }
        self.covered = Some(covered);
        let ends = self.release(last.sequence, covered.time)? + self.spacing;
        (!covered.end).then(|| ends.since(now))
    }

    /// The line begins with the piece that goes out now.
    pub(super) fn draw_line(&mut self, now: Instant, time: UnixMicros) {
        let steady = self.clock.steady(time);
        if let Some(shifted) = self.shifted.as_mut().filter(|_| self.last.is_none())
            && let Some(closed) = self.clock.local_of_steady(steady)
        {
            // Where it began is as good as any place around it, and all there is may be less.
            *shifted = now.since(closed);
        }
        if self.schedule.is_some()
            || self.playback.max_rate_change <= 0.0
            || self.target().is_zero()
        {
            return;
        }
        let Some(ideal) = self.clock.local_of_steady(steady) else {
            return;
        };
        let ideal = ideal + self.target();
        let late = now.since(ideal);
        let at = if late <= PUNCTUAL { ideal } else { now };
        self.schedule = Some(Schedule::new(steady, at.min(now)));
        self.judged_at = Some(now + GETS_GOING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        key::PrivateKey,
        metainfo::Infohash,
        piece::{Draft, Sealer},
        swarm::Playback,
    };

    #[test]
    fn what_is_skipped_twice_before_anything_is_shown_is_told_once_and_whole() {
        let mut sealer = Sealer::new(PrivateKey::generate(), Infohash([7; 20]), 100, 0);
        let pieces: Vec<_> = (1..=6)
            .map(|length| {
                let mut draft = Draft::new(b"", Flags::NONE);
                draft.extend(&vec![0; length * 10]);
                sealer.seal(0, draft)
            })
            .collect();
        let mut playout = Playout::new(Playback::default());
        let mut skip = |next, to: usize| match playout.skip(next, &pieces[to], 1) {
            Step::Skip { bytes, .. } => bytes,
            step => panic!("{step:?}"),
        };
        // What is missing before the first piece nobody can tell.
        assert_eq!(skip(99, 0), 0);
        assert_eq!(skip(100, 2), 10 + 20);
        assert_eq!(skip(102, 4), 30 + 40);
        playout.deliver(Instant::default(), &pieces[4]);
        let Step::Skip { bytes, .. } = playout.skip(105, &pieces[5], 1) else {
            panic!("it skips");
        };
        assert_eq!(bytes, 0);
    }
}
