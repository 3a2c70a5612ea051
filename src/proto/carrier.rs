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
//! carried yesterday is carried today. A place changes hands only when that shortens the ways.
//! How much the uplink carries is measured when it is full; until then every promise that was kept
//! is room for one more.

use std::{collections::BTreeMap, time::Duration};

use super::{
    hops::{CLASSES, class_of},
    lap::Sequence,
    swarm::ConnId,
    time::Instant,
};

/// Places before anything was learnt: a slow uplink that promises much keeps nothing of it, and
/// holds up what its owner itself has to say.
const FIRST: f64 = 2.0;
/// So many more for each promise that was kept.
const GROWTH: f64 = 2.0;
/// No uplink is worth more.
const MOST: f64 = 64.0 * CLASSES as f64;
/// The part of what the uplink carries that is promised; the rest is for who asks late.
const PROMISED: f64 = 0.92;
/// A piece that waits for so long after it was there says that the uplink is full.
const FULL: Duration = Duration::from_millis(200);
/// How often less is taken on while pieces wait.
const SHRINK_EVERY: Duration = Duration::from_millis(500);
/// What is left of it each time, but never less than [`PROMISED`] of what was measured.
const SHRINK: f64 = 0.85;
/// More is taken on when no piece waited for so long.
const GROW_AFTER: Duration = Duration::from_secs(2);
/// How often a place changes hands. Whoever loses one has to find another, and who is fed by it
/// waits meanwhile.
const FLATTEN_EVERY: Duration = Duration::from_millis(100);
/// How much dearer than another a viewer's place has to be to make room for it.
const CLEARLY: u32 = 8;
/// A neighbour whose connection was too slow is given twice as much again after so long without
/// trouble: it may have been our own uplink that was slow for a moment.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Twice as long after each time that this was too much, up to so long.
const LONGEST_RETRY: Duration = Duration::from_secs(32);
/// A class of which so many sequences went by without a request is free again.
const MISSED: u64 = CLASSES as u64;

/// One class of sequences for one neighbour.
type Place = (ConnId, usize);

/// What a source is allowed.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    places: usize,
    /// For one neighbour: its copies go evenly to as many as possible.
    each: usize,
}

/// A neighbour with a slow connection.
#[derive(Debug, Clone, Copy)]
struct Slow {
    /// Most places for it.
    most: usize,
    /// Since when.
    at: Instant,
    /// Whether it was given more then, and not less.
    is_tried: bool,
    /// How long until it is given more.
    patience: Duration,
}

/// The places that are taken.
#[derive(Debug)]
pub struct Carrier {
    /// Each with the last sequence that was promised.
    places: BTreeMap<Place, Sequence>,
    /// Most places, as far as the uplink has shown.
    capacity: f64,
    allowance: Option<Allowance>,
    /// Most places in a class: those who get a piece last must not get it late.
    most_in_class: usize,
    slow: BTreeMap<ConnId, Slow>,
    shrunk_at: Instant,
    flattened_at: Instant,
}

impl Default for Carrier {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            capacity: FIRST,
            allowance: None,
            most_in_class: usize::MAX,
            slow: BTreeMap::new(),
            shrunk_at: Instant::default(),
            flattened_at: Instant::default(),
        }
    }
}

impl Carrier {
    /// How much is remembered.
    pub(super) fn entries(&self) -> usize {
        self.places.len() + self.slow.len()
    }

    /// Whether to promise `sequence` to `conn`. `cost` tells what a place for a neighbour in a class
    /// costs the swarm: the dearest makes room for a cheaper one.
    pub fn takes(
        &mut self,
        now: Instant,
        conn: ConnId,
        sequence: Sequence,
        cost: impl Fn(ConnId, usize) -> u32,
    ) -> bool {
        let place = (conn, class_of(sequence));
        if let Some(last) = self.places.get_mut(&place) {
            *last = sequence.max(*last);
            return true;
        }
        let carried = self.classes_of(conn).count();
        if carried >= self.most_for(now, conn) {
            return false;
        }
        let free = self.places.len() < self.most() && self.has_room(place.1);
        if !free {
            // Who has its share makes another place change hands only where that is much dearer.
            let share = self.share();
            let has_share = carried >= share;
            if !self.evens_classes(place.1, &cost)
                && (has_share || !self.evens(place.1, share))
                && !self.flattens(now, place, self.clearly(has_share), cost)
            {
                return false;
            }
        }
        self.places.insert(place, sequence);
        true
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

    fn most(&self) -> usize {
        let allowed = self.allowance.map_or(usize::MAX, |allowed| allowed.places);
        allowed.min(self.capacity as usize)
    }

    /// Places for one neighbour while others want them.
    fn share(&self) -> usize {
        self.allowance.map_or(usize::MAX, |allowed| allowed.each)
    }

    /// Whether the dearest place of a class with more copies makes room in this one, at a source: what
    /// nobody gets from it nobody gets.
    fn evens_classes(&mut self, class: usize, cost: impl Fn(ConnId, usize) -> u32) -> bool {
        let most = (0..CLASSES).map(|class| self.in_class(class)).max();
        if self.allowance.is_none() || most.is_none_or(|most| most < self.in_class(class) + 2) {
            return false;
        }
        let places = self.places.keys().copied();
        let most = places.filter(|&(_, c)| Some(self.in_class(c)) == most);
        let worst = most.max_by_key(|&(conn, c)| (cost(conn, c), conn));
        worst.is_some_and(|place| self.places.remove(&place).is_some())
    }

    /// Whether a neighbour that has more than its share makes room in this class.
    fn evens(&mut self, class: usize, share: usize) -> bool {
        let same_class = !self.has_room(class);
        let beyond = |conn: ConnId| self.classes_of(conn).count() > share;
        let mut places = self.places.keys().copied();
        let place = places.find(|&(conn, c)| (!same_class || c == class) && beyond(conn));
        place.is_some_and(|place| self.places.remove(&place).is_some())
    }

    /// Whether a class may have one more place. A source fills its classes evenly: one with fewer
    /// copies than the others would be late everywhere.
    fn has_room(&self, class: usize) -> bool {
        let taken = self.in_class(class);
        let Some(allowed) = self.allowance else {
            return taken < self.most_in_class;
        };
        let least = (0..CLASSES).map(|class| self.in_class(class)).min();
        taken < allowed.places / CLASSES || Some(taken) == least
    }

    fn in_class(&self, class: usize) -> usize {
        self.places.keys().filter(|(_, c)| *c == class).count()
    }

    /// By how much a place has to be dearer than another to make room for it. Each time a viewer's place
    /// changes hands all those below it wait.
    fn clearly(&self, has_share: bool) -> u32 {
        match self.allowance {
            Some(_) => u32::from(has_share),
            None => CLEARLY,
        }
    }

    /// Whether the dearest place makes room for one that is cheaper by more than `by`.
    fn flattens(
        &mut self,
        now: Instant,
        place: Place,
        by: u32,
        cost: impl Fn(ConnId, usize) -> u32,
    ) -> bool {
        if now.since(self.flattened_at) < FLATTEN_EVERY {
            return false;
        }
        let same_class = !self.has_room(place.1);
        let worst = self
            .places
            .keys()
            .filter(|(_, class)| !same_class || *class == place.1)
            .map(|&(conn, class)| (cost(conn, class), (conn, class)))
            .max();
        let Some((_, worst)) = worst.filter(|(most, _)| *most > cost(place.0, place.1) + by) else {
            return false;
        };
        self.flattened_at = now;
        self.places.remove(&worst);
        true
    }

    /// A promised piece was there and waited so long for the uplink, which carries so many copies of
    /// the stream, where that was measured.
    pub fn waited(&mut self, now: Instant, waited: Duration, carries: Option<f64>) {
        if waited < FULL {
            match carries {
                Some(copies) => self.carries(now, copies),
                None if self.places.len() >= self.most() => {
                    self.capacity = (self.capacity + GROWTH).min(MOST);
                }
                None => {}
            }
            return;
        }
        // What is allowed was said by one who knows the uplink.
        if self.allowance.is_some() || now.since(self.shrunk_at) < SHRINK_EVERY {
            return;
        }
        self.shrunk_at = now;
        let used = (self.places.len() as f64).min(self.capacity);
        let carried = carries.map_or(0.0, |copies| copies * CLASSES as f64 * PROMISED);
        self.capacity = (used * SHRINK).max(carried).min(used).floor().max(1.0);
        self.shrink_to(self.capacity as usize);
    }

    /// The uplink was seen to carry so many copies of the stream.
    pub fn carries(&mut self, now: Instant, copies: f64) {
        if now.since(self.shrunk_at) >= GROW_AFTER {
            let carried = copies * CLASSES as f64 * PROMISED;
            self.capacity = self.capacity.max(carried).min(MOST);
        }
    }

    fn shrink_to(&mut self, places: usize) {
        // The newest connection has lost least by it.
        while self.places.len() > places {
            self.places.pop_last();
        }
    }

    /// The connection to this neighbour is slower than what it is promised.
    pub fn too_much_for(&mut self, now: Instant, conn: ConnId) {
        let most = self.classes_of(conn).count().saturating_sub(1).max(1);
        let patience = match self.slow.get(&conn).copied() {
            None => RETRY_AFTER,
            // One wait is told by many pieces.
            Some(slow) if now.since(slow.at) < SHRINK_EVERY => return,
            Some(slow) if now.since(slow.at) >= LONGEST_RETRY => RETRY_AFTER,
            Some(slow) if slow.is_tried => (slow.patience * 2).min(LONGEST_RETRY),
            Some(slow) => slow.patience,
        };
        let slow = Slow {
            most,
            at: now,
            is_tried: false,
            patience,
        };
        self.slow.insert(conn, slow);
        self.keep_for(conn, most);
    }

    /// Most places for a neighbour.
    fn most_for(&mut self, now: Instant, conn: ConnId) -> usize {
        let Some(slow) = self.slow.get_mut(&conn) else {
            return usize::MAX;
        };
        if slow.most < CLASSES && now.since(slow.at) >= slow.patience {
            (slow.most, slow.at, slow.is_tried) = (slow.most * 2, now, true);
        }
        slow.most
    }

    fn keep_for(&mut self, conn: ConnId, most: usize) {
        let dropped: Vec<_> = self.classes_of(conn).skip(most).collect();
        for class in dropped {
            self.places.remove(&(conn, class));
        }
    }

    /// Takes on so many of one class and no more.
    pub const fn spread(&mut self, most_in_class: usize) {
        self.most_in_class = most_in_class;
    }

    /// What a source is allowed: so many copies of the stream, for so many neighbours evenly.
    pub fn allow(&mut self, copies: f64, neighbours: usize) {
        let places = (copies * CLASSES as f64).min(MOST) as usize;
        let each = places.div_ceil(neighbours.max(1));
        self.allowance = Some(Allowance { places, each });
        self.capacity = self.capacity.max(places as f64);
        self.shrink_to(places);
    }

    /// Copies of the stream that could still be promised.
    #[must_use]
    pub fn free_copies(&self) -> f64 {
        self.most().saturating_sub(self.places.len()) as f64 / CLASSES as f64
    }

    /// Most copies of the stream that promises may take.
    #[must_use]
    pub fn copies(&self) -> f64 {
        self.most() as f64 / CLASSES as f64
    }

    /// How many promises of this sequence's class there are.
    #[must_use]
    pub fn promised(&self, sequence: Sequence) -> usize {
        self.in_class(class_of(sequence))
    }

    /// The classes that a neighbour is carried in.
    pub fn classes_of(&self, conn: ConnId) -> impl Iterator<Item = usize> {
        self.places
            .range((conn, 0)..=(conn, usize::MAX))
            .map(|((_, class), _)| *class)
    }

    /// Whether a neighbour is carried in any class.
    #[must_use]
    pub fn carries_any(&self, conn: ConnId) -> bool {
        self.classes_of(conn).next().is_some()
    }

    /// A neighbour is gone or choked.
    pub fn forget(&mut self, conn: ConnId) {
        self.places.retain(|(c, _), _| *c != conn);
        self.slow.remove(&conn);
    }

    /// A neighbour took back what it asked for in this class.
    pub fn free(&mut self, conn: ConnId, class: usize) {
        self.places.remove(&(conn, class));
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

    fn alike(_: ConnId, _: usize) -> u32 {
        1
    }

    /// A carrier whose uplink carries two copies, all of which are taken, one neighbour a copy.
    fn full() -> Carrier {
        let mut carrier = Carrier::default();
        carrier.carries(at(5000), 2.01 / PROMISED);
        for place in 0..2 * CLASSES as u64 {
            let conn = ConnId(place / CLASSES as u64);
            assert!(carrier.takes(at(5000), conn, place, alike));
        }
        carrier
    }

    #[test]
    fn a_source_gives_no_class_a_second_copy_while_another_has_none() {
        let mut carrier = Carrier::default();
        carrier.allow(1.0, 7);
        let last = CLASSES - 1;
        carrier.places.insert((ConnId(99), 0), 0);
        for class in 0..last {
            let place = (ConnId(class as u64), class);
            carrier.places.insert(place, class as Sequence);
        }
        assert!(carrier.takes(at(5000), ConnId(50), last as Sequence, alike));
        for class in 0..CLASSES {
            assert_eq!(carrier.in_class(class), 1, "class {class}");
        }
    }

    #[test]
    fn who_has_its_share_of_a_source_takes_another_place_only_from_one_much_dearer() {
        let place_of_another = |dear| {
            let mut carrier = Carrier::default();
            carrier.allow(1.0, CLASSES);
            for class in 0..CLASSES {
                let place = (ConnId(class as u64 + 1), class);
                carrier.places.insert(place, class as Sequence);
            }
            let cost = |conn: ConnId, _| if conn == ConnId(2) { dear } else { 0 };
            carrier.takes(at(5000), ConnId(1), 1, cost)
        };
        assert!(!place_of_another(1));
        assert!(place_of_another(2));
    }

    #[test]
    fn who_is_carried_stays_and_nobody_is_taken_on_beyond_the_uplink() {
        let mut carrier = full();
        let later = 10 * CLASSES as u64;
        assert!(!carrier.takes(at(5000), ConnId(9), later, alike));
        assert!(carrier.takes(at(5000), ConnId(0), later, alike), "carried");
        assert_eq!(carrier.free_copies(), 0.0);
        carrier.forget(ConnId(0));
        assert!(carrier.takes(at(5000), ConnId(9), later, alike));
    }

    #[test]
    fn until_it_was_measured_each_promise_kept_is_room_for_two_more() {
        let mut carrier = Carrier::default();
        for conn in 0..5 {
            for conn in [conn, 10 + conn] {
                assert!(carrier.takes(at(conn), ConnId(conn), 0, alike));
            }
            assert!(!carrier.takes(at(conn), ConnId(99), 0, alike));
            carrier.waited(at(conn), Duration::ZERO, None);
        }
        carrier.waited(at(9), Duration::ZERO, None);
        assert_eq!(carrier.most(), 12, "room that nobody takes is enough");
    }

    #[test]
    fn pieces_that_wait_shrink_it_to_what_the_uplink_carries_and_no_further() {
        let mut carrier = full();
        carrier.waited(at(6000), FULL, Some(1.01 / PROMISED));
        let shrunk = carrier.copies();
        assert!(shrunk < 2.0 && carrier.places.len() <= carrier.most());
        carrier.waited(at(6100), FULL, Some(1.01 / PROMISED));
        assert_eq!(carrier.copies(), shrunk, "one wait is told by many pieces");
        for millis in (7000..20_000).step_by(500) {
            carrier.waited(at(millis), FULL, Some(1.01 / PROMISED));
        }
        assert!((0.9..1.1).contains(&carrier.copies()));
        for millis in (20_000..60_000).step_by(500) {
            carrier.waited(at(millis), FULL, None);
        }
        assert_eq!(carrier.most(), 1, "one place is always left");
    }

    #[test]
    fn the_dearest_place_makes_room_for_a_cheaper_one() {
        let mut carrier = full();
        let cost = |conn: ConnId, class: usize| {
            if conn == ConnId(9) {
                2
            } else {
                class as u32 * 6
            }
        };
        assert!(carrier.takes(at(9000), ConnId(9), 60, cost));
        let dearest = CLASSES - 1;
        assert!(!carrier.classes_of(ConnId(1)).any(|class| class == dearest));
        assert!(
            !carrier.takes(at(9001), ConnId(9), 61, cost),
            "not too often"
        );
        assert!(!carrier.takes(at(12_000), ConnId(8), 60, |_, _| 9));
        let little = |conn: ConnId, _| if conn == ConnId(8) { 0 } else { CLEARLY };
        assert!(!carrier.takes(at(12_000), ConnId(8), 60, little));
    }

    #[test]
    fn a_source_fills_its_classes_evenly_and_gives_each_neighbour_its_share() {
        let mut carrier = Carrier::default();
        carrier.allow(2.0, 2 * CLASSES);
        let classes = CLASSES as u64;
        for conn in 0..2 {
            assert!(carrier.takes(at(0), ConnId(conn), classes, alike));
        }
        assert!(!carrier.takes(at(0), ConnId(2), classes, alike), "uneven");
        for class in 1..classes {
            assert!(carrier.takes(at(0), ConnId(10 + class), class, alike));
            assert!(carrier.takes(at(0), ConnId(20 + class), class, alike));
        }
        assert!(
            !carrier.takes(at(0), ConnId(9), classes, alike),
            "no more than allowed"
        );
        assert_eq!(carrier.promised(0), 2);
    }

    #[test]
    fn who_has_more_than_its_share_makes_room_for_who_has_less() {
        let mut carrier = Carrier::default();
        carrier.allow(1.0, CLASSES);
        for class in 0..CLASSES as u64 {
            assert!(
                carrier.takes(at(0), ConnId(1), class, alike),
                "nobody else asks"
            );
        }
        assert!(carrier.takes(at(0), ConnId(2), 0, alike));
        assert_eq!(carrier.promised(0), 1);
        assert_eq!(carrier.classes_of(ConnId(1)).count(), CLASSES - 1);
        assert!(
            !carrier.takes(at(0), ConnId(2), 1, alike),
            "it has its share"
        );
    }

    /// How many places the first neighbour of a carrier with room for all takes at `millis`.
    fn taken(carrier: &mut Carrier, millis: u64) -> usize {
        for class in 0..CLASSES as u64 {
            carrier.takes(at(millis), ConnId(0), class, alike);
        }
        carrier.classes_of(ConnId(0)).count()
    }

    fn roomy() -> Carrier {
        let mut carrier = Carrier::default();
        carrier.carries(at(5000), 3.0);
        assert_eq!(taken(&mut carrier, 5000), CLASSES);
        carrier
    }

    #[test]
    fn a_neighbour_that_was_slow_for_a_while_gets_back_what_it_had() {
        let mut carrier = roomy();
        for millis in (6000..11_000).step_by(100) {
            carrier.too_much_for(at(millis), ConnId(0));
        }
        assert_eq!(taken(&mut carrier, 11_000), 1, "one is always left");
        assert_eq!(taken(&mut carrier, 12_000), 2);
        assert_eq!(taken(&mut carrier, 13_000), 4);
        assert_eq!(taken(&mut carrier, 14_000), CLASSES);
        assert_eq!(taken(&mut carrier, 90_000), CLASSES);
    }

    #[test]
    fn a_neighbour_that_stays_slow_is_tried_less_and_less_often() {
        let mut carrier = roomy();
        let mut tries = Vec::new();
        for millis in (6000..200_000).step_by(500) {
            let before = carrier.classes_of(ConnId(0)).count();
            let after = taken(&mut carrier, millis);
            if after > before {
                tries.push(millis);
            }
            if after > 1 {
                carrier.too_much_for(at(millis), ConnId(0));
            }
        }
        // Half a second of each is the try itself.
        let pauses: Vec<_> = tries.windows(2).map(|two| two[1] - two[0] - 500).collect();
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pauses[..3], [2000, 4000, 8000]);
        assert_eq!(pauses.last(), Some(&32_000), "{pauses:?}");
    }

    #[test]
    fn what_a_neighbour_took_back_is_free_at_once() {
        let mut carrier = Carrier::default();
        for class in [0, 1] {
            assert!(carrier.takes(at(0), ConnId(1), class, alike));
        }
        assert!(!carrier.takes(at(0), ConnId(2), 0, alike));
        carrier.free(ConnId(1), 0);
        assert!(carrier.takes(at(0), ConnId(2), 0, alike));
    }

    #[test]
    fn a_class_that_is_not_asked_for_any_more_is_free_again() {
        let mut carrier = Carrier::default();
        carrier.takes(at(0), ConnId(1), 99, alike);
        carrier.expire(99);
        assert_eq!(carrier.promised(99), 1);
        carrier.expire(99 + MISSED);
        assert_eq!(carrier.promised(99), 0);
    }
}
