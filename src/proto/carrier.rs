// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Which promises to take on: whose requests ahead, in which classes of sequences.
//!
//! A promise is worth something only when it is kept at once. So a peer takes on no more than its
//! uplink carries, in units of one class for one neighbour, and keeps those it has: who was
//! carried yesterday is carried today. How much that is shows by itself: pieces that wait for the
//! uplink say that it is too much, pieces that never wait that there may be room.

use std::{collections::BTreeMap, time::Duration};

use super::{
    hops::{CLASSES, class_of},
    lap::Sequence,
    swarm::ConnId,
    time::Instant,
};

/// What is taken on before anything was learnt: one copy of the stream.
const FIRST: f64 = CLASSES as f64;
/// No uplink is worth more.
const MOST: f64 = 64.0 * CLASSES as f64;
/// A piece that waits for so long after it was there says that the uplink is full.
const FULL: Duration = Duration::from_millis(200);
/// How often less is taken on while pieces wait.
const SHRINK_EVERY: Duration = Duration::from_millis(500);
/// What is left of it each time,
const SHRINK: f64 = 0.85;
/// but never less than this part of what the uplink carries; the rest is for who asks late.
const KEPT_FULL: f64 = 0.8;
/// One more is tried when no piece waited for so long.
const GROW_AFTER: Duration = Duration::from_secs(2);
/// How often one more is tried.
const GROW_EVERY: Duration = Duration::from_millis(500);
/// How often one that gives more takes the place of one that gives less.
const REPLACE_EVERY: Duration = Duration::from_secs(2);
/// How often a class in which we are near the source takes the place of one in which we are far.
const FLATTEN_EVERY: Duration = Duration::from_millis(150);
/// Who takes a place must have given so many times more.
const CLEARLY_MORE: f64 = 1.5;
/// A class of which so many sequences went by without a request is free again.
const MISSED: u64 = 4 * CLASSES as u64;

/// One class of sequences for one neighbour.
type Place = (ConnId, usize);

/// The places that are taken.
#[derive(Debug)]
pub struct Carrier {
    /// Each with the last sequence that was promised.
    places: BTreeMap<Place, Sequence>,
    /// Most places, as far as the uplink has shown.
    capacity: f64,
    /// Most places that are allowed.
    allowed: f64,
    /// Places in a class, and for a neighbour; a source spreads its copies evenly.
    most_in_class: usize,
    most_each: usize,
    /// Most places of neighbours with a slow connection, and since when.
    slow: BTreeMap<ConnId, (usize, Instant)>,
    shrunk_at: Instant,
    grown_at: Instant,
    replaced_at: Instant,
    flattened_at: Instant,
}

impl Default for Carrier {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            capacity: FIRST,
            allowed: MOST,
            most_in_class: usize::MAX,
            most_each: usize::MAX,
            slow: BTreeMap::new(),
            shrunk_at: Instant::default(),
            grown_at: Instant::default(),
            replaced_at: Instant::default(),
            flattened_at: Instant::default(),
        }
    }
}

impl Carrier {
    /// Whether to promise `sequence` to `conn`; `credit` tells how much a neighbour gives.
    pub fn takes(
        &mut self,
        now: Instant,
        conn: ConnId,
        sequence: Sequence,
        credit: impl Fn(ConnId) -> f64,
        cost: impl Fn(ConnId, usize) -> u32,
    ) -> bool {
        let place = (conn, class_of(sequence));
        if let Some(last) = self.places.get_mut(&place) {
            *last = sequence.max(*last);
            return true;
        }
        let slow = self.slow.get(&conn).map_or(usize::MAX, |(most, _)| *most);
        if self.classes_of(conn).count() >= self.most_each.min(slow) {
            return false;
        }
        let free = (self.places.len() as f64) < self.most().floor() && self.has_room(place.1);
        if !free && !self.replaces(now, place, credit) && !self.flattens(now, place, cost) {
            return false;
        }
        self.places.insert(place, sequence);
        true
    }

    const fn most(&self) -> f64 {
        self.capacity.min(self.allowed)
    }

    fn has_room(&self, class: usize) -> bool {
        let in_class = self.places.keys().filter(|(_, c)| *c == class);
        self.most_in_class == usize::MAX || in_class.count() < self.most_in_class
    }

    /// Promises `sequence` to `conn` while its class has fewer than so many copies, whatever else
    /// is carried.
    pub fn takes_up_to(&mut self, conn: ConnId, sequence: Sequence, copies: usize) -> bool {
        let place = (conn, class_of(sequence));
        let takes = self.places.contains_key(&place) || self.promised(sequence) < copies;
        if takes {
            self.places.insert(place, sequence);
        }
        takes
    }

    /// Whether the neighbour that gives least makes room for one that gives clearly more.
    fn replaces(&mut self, now: Instant, place: Place, credit: impl Fn(ConnId) -> f64) -> bool {
        if now.since(self.replaced_at) < REPLACE_EVERY || self.most() < 1.0 {
            return false;
        }
        let full_class = !self.has_room(place.1);
        let least = self
            .places
            .keys()
            .filter(|(_, class)| !full_class || *class == place.1)
            .map(|&(conn, class)| (credit(conn), (conn, class)))
            .min_by(|(a, _), (b, _)| a.total_cmp(b));
        let Some((least, loser)) = least else {
            return false;
        };
        if loser.0 == place.0 || credit(place.0) <= least * CLEARLY_MORE {
            return false;
        }
        self.replaced_at = now;
        self.places.remove(&loser);
        true
    }

    /// Whether the place that shortens the ways least makes room for one that shortens them more.
    fn flattens(
        &mut self,
        now: Instant,
        place: Place,
        cost: impl Fn(ConnId, usize) -> u32,
    ) -> bool {
        let full_class = !self.has_room(place.1);
        if now.since(self.flattened_at) < FLATTEN_EVERY {
            return false;
        }
        let worst = self
            .places
            .keys()
            .filter(|(_, class)| !full_class || *class == place.1)
            .map(|&(conn, class)| (cost(conn, class), (conn, class)))
            .max();
        let Some((most, worst)) = worst else {
            return false;
        };
        if most <= cost(place.0, place.1) {
            return false;
        }
        self.flattened_at = now;
        self.places.remove(&worst);
        true
    }

    /// A promised piece was there and waited so long for the uplink, which was last seen to carry
    /// so many copies of the stream when it was full; whether it was of late.
    pub fn waited(&mut self, now: Instant, waited: Duration, carries: Option<f64>, full: bool) {
        if waited >= FULL {
            // What is allowed was said by one who knows the uplink.
            if self.allowed == MOST && now.since(self.shrunk_at) >= SHRINK_EVERY {
                self.shrunk_at = now;
                let used = (self.places.len() as f64).min(self.capacity);
                let carried = carries.map_or(0.0, |copies| copies * CLASSES as f64 * KEPT_FULL);
                self.capacity = (used * SHRINK).max(carried).min(used).floor().max(1.0);
                while self.places.len() as f64 > self.capacity {
                    // The newest connection has lost least by it.
                    self.places.pop_last();
                }
            }
            return;
        }
        if now.since(self.shrunk_at) < GROW_AFTER {
            return;
        }
        // What the uplink carried when it was full is known; less was a guess.
        let carried = carries.map_or(0.0, |copies| copies * CLASSES as f64 * KEPT_FULL);
        self.capacity = self.capacity.max(carried).min(MOST);
        // Until it was full once, every promise kept is room for one more.
        let may_grow = carries.is_none() || !full && now.since(self.grown_at) >= GROW_EVERY;
        if may_grow && self.places.len() as f64 + 1.0 > self.capacity {
            self.grown_at = now;
            self.capacity = (self.capacity + 1.0).min(MOST);
        }
    }

    /// The connection to this neighbour is slower than what it is promised.
    pub fn too_much_for(&mut self, now: Instant, conn: ConnId) {
        let places = self.classes_of(conn).count();
        let (least, at) = self.slow.entry(conn).or_insert((usize::MAX, now));
        if *least == usize::MAX || now.since(*at) >= SHRINK_EVERY {
            *least = places.saturating_sub(1).max(1);
            *at = now;
            let most = *least;
            let mut kept = 0;
            self.places.retain(|(c, _), _| {
                kept += usize::from(*c == conn);
                *c != conn || kept <= most
            });
        }
    }

    /// Takes on so many of one class and no more: those that get a piece last must not get it late.
    pub const fn spread(&mut self, most_in_class: usize) {
        self.most_in_class = most_in_class;
    }

    /// Whether no neighbour is given more than half of the classes.
    #[must_use]
    pub const fn is_spread(&self) -> bool {
        self.most_each <= CLASSES / 2
    }

    /// Takes on so many copies of the stream and no more, for so many neighbours evenly: what a
    /// source is allowed.
    pub fn allow(&mut self, copies: f64, neighbours: usize) {
        let each = copies * CLASSES as f64 / neighbours.max(1) as f64;
        self.most_each = each.ceil() as usize;
        self.allowed = (copies * CLASSES as f64).min(MOST);
        self.capacity = self.capacity.max(self.allowed);
        self.most_in_class = copies.ceil() as usize;
        while self.places.len() as f64 > self.allowed {
            self.places.pop_last();
        }
        let mut of_each: BTreeMap<ConnId, usize> = BTreeMap::new();
        let most = self.most_each;
        self.places.retain(|(conn, _), _| {
            let places = of_each.entry(*conn).or_insert(0);
            *places += 1;
            *places <= most
        });
    }

    /// Most copies of the stream that promises may take.
    #[must_use]
    pub fn copies(&self) -> f64 {
        self.most() / CLASSES as f64
    }

    /// Copies of the stream that could still be promised.
    #[must_use]
    pub fn free_copies(&self) -> f64 {
        (self.most() - self.places.len() as f64).max(0.0) / CLASSES as f64
    }

    /// How many promises of this sequence's class there are.
    #[must_use]
    pub fn promised(&self, sequence: Sequence) -> usize {
        let class = class_of(sequence);
        self.places.keys().filter(|(_, c)| *c == class).count()
    }

    /// The classes that a neighbour is carried in.
    pub fn classes_of(&self, conn: ConnId) -> impl Iterator<Item = usize> {
        self.places
            .range((conn, 0)..=(conn, usize::MAX))
            .map(|((_, class), _)| *class)
    }

    /// A neighbour is gone or choked.
    pub fn forget(&mut self, conn: ConnId) {
        self.places.retain(|(c, _), _| *c != conn);
        self.slow.remove(&conn);
    }

    /// Frees places that nobody asks for any more.
    pub fn expire(&mut self, tip: Sequence) {
        self.places
            .retain(|_, last| last.saturating_add(MISSED) > tip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn nobody(_: ConnId) -> f64 {
        0.0
    }

    /// Fills every place, one neighbour a class.
    fn full(carrier: &mut Carrier) {
        let places = carrier.capacity as u64;
        for place in 0..places {
            let conn = ConnId(place / CLASSES as u64);
            assert!(carrier.takes(at(0), conn, place, nobody, |_, _| 1));
        }
    }

    #[test]
    fn who_is_carried_stays_and_nobody_is_taken_on_beyond_the_uplink() {
        let mut carrier = Carrier::default();
        full(&mut carrier);
        assert!(!carrier.takes(at(0), ConnId(9), 100, nobody, |_, _| 1));
        assert!(
            carrier.takes(at(0), ConnId(0), 8, nobody, |_, _| 1),
            "carried already"
        );
        assert_eq!(carrier.free_copies(), 0.0);
        carrier.forget(ConnId(0));
        assert!(carrier.takes(at(0), ConnId(9), 100, nobody, |_, _| 1));
    }

    #[test]
    fn pieces_that_wait_shrink_it_and_pieces_that_never_wait_let_it_grow() {
        let mut carrier = Carrier::default();
        full(&mut carrier);
        carrier.waited(at(5000), FULL, None, true);
        let shrunk = carrier.copies();
        assert!(shrunk < 2.0 && carrier.places.len() as f64 <= carrier.capacity);
        carrier.waited(at(5100), FULL, None, true);
        assert_eq!(carrier.copies(), shrunk, "one wait is told by many pieces");
        for millis in (7000..12_000).step_by(100) {
            carrier.waited(at(millis), Duration::ZERO, None, false);
            carrier.takes(at(millis), ConnId(millis), 0, nobody, |_, _| 1);
        }
        assert!(carrier.copies() > shrunk);
        for millis in (20_000..60_000).step_by(500) {
            carrier.waited(at(millis), FULL, None, true);
        }
        assert!(carrier.copies() > 0.0, "one place is always left");
    }

    #[test]
    fn who_gives_clearly_more_takes_the_place_of_who_gives_least() {
        let mut carrier = Carrier::default();
        full(&mut carrier);
        let credit = |conn: ConnId| {
            if conn == ConnId(1) {
                10.0
            } else {
                conn.0 as f64
            }
        };
        assert!(carrier.takes(at(5000), ConnId(9), 100, credit, |_, _| 1));
        assert_eq!(carrier.classes_of(ConnId(0)).count(), CLASSES - 1);
        assert!(
            !carrier.takes(at(5001), ConnId(9), 101, credit, |_, _| 1),
            "not too often"
        );
        let same = |_| 1.0;
        assert!(!carrier.takes(at(9000), ConnId(8), 102, same, |_, _| 1));
    }

    #[test]
    fn a_source_spreads_its_copies_over_the_classes() {
        let mut carrier = Carrier::default();
        carrier.allow(2.0, 1);
        assert!(carrier.takes(at(0), ConnId(1), 0, nobody, |_, _| 1));
        assert!(carrier.takes(at(0), ConnId(2), 8, nobody, |_, _| 1));
        assert!(
            !carrier.takes(at(0), ConnId(3), 16, nobody, |_, _| 1),
            "two of class 0"
        );
        assert!(carrier.takes(at(0), ConnId(3), 17, nobody, |_, _| 1));
        assert_eq!(carrier.promised(16), 2);
    }

    #[test]
    fn a_class_that_is_not_asked_for_any_more_is_free_again() {
        let mut carrier = Carrier::default();
        carrier.takes(at(0), ConnId(1), 100, nobody, |_, _| 1);
        carrier.expire(100);
        assert_eq!(carrier.promised(100), 1);
        carrier.expire(100 + MISSED);
        assert_eq!(carrier.promised(100), 0);
    }
}
