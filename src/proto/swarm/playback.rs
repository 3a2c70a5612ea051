// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What downstream and the user ask of a viewer: another distance, a pause, to go to live.

use std::time::Duration;

use super::{
    super::{
        lap::Sequence,
        time::{Instant, Now, UnixMicros},
    },
    Playback, Swarm,
};

/// A pause that is made up for by a change of rate.
const SHORT_PAUSE: Duration = Duration::from_millis(300);

impl Swarm {
    pub(super) fn set_playback(&mut self, now: Now, playback: Playback) {
        if let Some(viewer) = &mut self.viewer {
            viewer.playout.set_playback(now.at, playback);
        }
    }

    pub(super) fn pause(&mut self, now: Now) {
        if let Some(viewer) = &mut self.viewer {
            viewer.playout.pause(now.at);
        }
    }

    /// Goes on after a pause: where it was, or as far behind the source as before.
    pub(super) fn resume(&mut self, now: Now, keep_position: bool) {
        let Some(viewer) = &mut self.viewer else {
            return;
        };
        let Some(paused) = viewer.playout.resume(now.at) else {
            return;
        };
        viewer.playout.hold_up(now.at, paused, keep_position);
        if !keep_position && paused > SHORT_PAUSE {
            self.start(now);
        }
    }

    /// Goes to where a joiner would start now, never back.
    pub(super) fn jump_to_live(&mut self, now: Now) {
        if let Some(viewer) = &mut self.viewer {
            viewer.playout.leave_shift();
            if viewer.joined {
                self.start(now);
            }
        }
    }

    /// The random access point to start from: of those that are held, and of the newest that
    /// others hold, one that is far enough behind the source, else the one that will be first.
    pub(super) fn entry_point(&self, now: Instant) -> Option<Sequence> {
        let (lowest, tip) = self.entries_within()?;
        let held = self.best_entry(now, self.store.entries(lowest));
        let shown = self.peers.values().filter(|peer| peer.current);
        let shown = shown.filter_map(|peer| peer.live.ra);
        let shown = shown.filter(|ra| (lowest..=tip).contains(ra));
        // One that is due is better than one that will be, and the newer the better.
        let best = held.into_iter().chain(shown.map(|ra| (false, ra))).max();
        best.map(|(_, sequence)| sequence)
    }

    /// Where a viewer holds all there is and has nothing to show for a while, it goes back to a
    /// random access point that is due already. Who is still busy fetching does not: what it
    /// fetches more than the stream others miss.
    pub(super) fn look_back(&mut self, now: Now) {
        let Some(next) = self.idle_from(now.at) else {
            return;
        };
        let Some(from) = self.older_entry(now.at).filter(|&from| from < next) else {
            return;
        };
        if let Some(viewer) = &mut self.viewer {
            viewer.playout.look_back_to(now.at, from);
            self.live_version += 1;
            self.want_from(now.at, from);
        }
    }

    /// Where it will start, when all from there on is held and that will not be soon.
    fn idle_from(&self, now: Instant) -> Option<Sequence> {
        let viewer = self.viewer.as_ref().filter(|viewer| viewer.joined)?;
        let next = viewer.next().filter(|_| !viewer.is_playing())?;
        let first = self.store.get(next)?;
        let tip = self.tip_sequence()?;
        let playout = &viewer.playout;
        let waits = !playout.looked_back() && !playout.is_nearly_due(now, next, first.time());
        (waits && self.wanted.count(next, tip.saturating_add(1)) == 0).then_some(next)
    }

    /// Of the random access points that others claimed to hold the newest that is due, else the
    /// oldest.
    pub(super) fn older_entry(&self, now: Instant) -> Option<Sequence> {
        let (lowest, tip) = self.entries_within()?;
        let shown = self.peers.values().filter(|peer| peer.current);
        let best = shown.filter_map(|peer| {
            let askable = |sequence| peer.tip.is_some_and(|tip| self.lap.askable(sequence, tip));
            let entries = peer.entries.iter().copied();
            let entries = entries.filter(|&(s, _)| (lowest..=tip).contains(&s) && askable(s));
            self.best_entry(now, entries)
        });
        best.max().map(|(_, sequence)| sequence)
    }

    /// Between which sequences to start.
    fn entries_within(&self) -> Option<(Sequence, Sequence)> {
        let tip = self.tip_sequence()?;
        let lowest = self.lap.window_start(tip).max(self.start.unwrap_or(0));
        Some((lowest, tip))
    }

    /// Of `entries`, newest first: whether one is due, and that one or the oldest.
    fn best_entry(
        &self,
        now: Instant,
        entries: impl Iterator<Item = (Sequence, UnixMicros)>,
    ) -> Option<(bool, Sequence)> {
        let viewer = self.viewer.as_ref()?;
        let mut oldest = None;
        for (sequence, time) in entries {
            if viewer.playout.is_nearly_due(now, sequence, time) {
                return Some((true, sequence));
            }
            oldest = Some((false, sequence));
        }
        oldest
    }
}
