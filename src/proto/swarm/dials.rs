// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Calls under way. Whoever is off must not keep us from those who are there: a call that has not
//! been answered soon goes on, but no longer takes a place.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use super::super::time::Instant;

/// Calls that are waited for at once.
const PLACES: usize = 12;
/// So many more, of those who gave us pieces the last time.
const PLACES_KNOWN: usize = 12;
/// A call is waited for so long (as RFC 8305 §5 has it for the next address of a name).
const PATIENCE: Duration = Duration::from_millis(250);
/// Calls that go on at once, however long they take.
const MAX_DIALS: usize = 48;

/// Calls under way.
#[derive(Debug, Default)]
pub(super) struct Dials {
    under_way: HashMap<SocketAddr, Dial>,
}

#[derive(Debug)]
struct Dial {
    since: Instant,
    /// It goes to one that gave us pieces the last time.
    known: bool,
}

impl Dial {
    fn is_waited_for(&self, now: Instant) -> bool {
        now.since(self.since) < PATIENCE
    }
}

impl Dials {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether this address is called.
    pub(super) fn contains(&self, address: SocketAddr) -> bool {
        self.under_way.contains_key(&address)
    }

    /// An address is called.
    pub(super) fn begin(&mut self, now: Instant, address: SocketAddr, known: bool) {
        let since = now;
        self.under_way.insert(address, Dial { since, known });
    }

    /// The call came to something, or to nothing; `false`: there was none.
    pub(super) fn end(&mut self, address: SocketAddr) -> bool {
        self.under_way.remove(&address).is_some()
    }

    /// Calls that are waited for, but for those of [`Self::has_room_for_known`].
    pub(super) fn waited_for(&self, now: Instant) -> usize {
        self.count(now, false)
    }

    /// Whether one more may be called.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.len() < MAX_DIALS && self.count(now, false) < PLACES
    }

    /// Whether one more of those who gave us pieces the last time may be called.
    pub(super) fn has_room_for_known(&self, now: Instant) -> bool {
        self.len() < MAX_DIALS && self.count(now, true) < PLACES_KNOWN
    }

    fn count(&self, now: Instant, known: bool) -> usize {
        let dials = self.under_way.values();
        let counts = |dial: &&Dial| dial.known == known && dial.is_waited_for(now);
        dials.filter(counts).count()
    }

    /// When the next place is free though nobody answered.
    pub(super) fn next_room(&self, now: Instant) -> Option<Instant> {
        let dials = self.under_way.values();
        let waited_for = dials.filter(|dial| dial.is_waited_for(now));
        waited_for.map(|dial| dial.since + PATIENCE).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn twelve_are_waited_for_and_make_way_after_a_quarter_of_a_second() {
        let mut dials = Dials::default();
        let now = Instant::from_micros(1);
        for port in 1..=12 {
            assert!(dials.has_room(now));
            dials.begin(now, address(port), false);
        }
        assert!(!dials.has_room(now));
        assert!(dials.has_room_for_known(now), "they have their own places");
        assert_eq!(dials.next_room(now), Some(now + PATIENCE));
        let later = now + PATIENCE;
        assert!(dials.has_room(later));
        assert_eq!((dials.len(), dials.waited_for(later)), (12, 0));
        assert_eq!(dials.next_room(later), None);
        assert!(dials.end(address(1)));
        assert!(!dials.end(address(1)));
        assert!(!dials.contains(address(1)) && dials.contains(address(2)));
    }

    #[test]
    fn known_ones_take_no_place_from_others() {
        let mut dials = Dials::default();
        let now = Instant::from_micros(1);
        for port in 1..=12 {
            dials.begin(now, address(port), true);
        }
        assert!(dials.has_room(now) && !dials.has_room_for_known(now));
        assert_eq!(dials.waited_for(now), 0);
        assert!(dials.has_room_for_known(now + PATIENCE));
    }

    #[test]
    fn forty_eight_go_on_at_once() {
        let mut dials = Dials::default();
        let mut now = Instant::from_micros(1);
        for port in 1..=48 {
            assert!(dials.has_room(now));
            dials.begin(now, address(port), false);
            now = now + PATIENCE;
        }
        assert!(!dials.has_room(now) && !dials.has_room_for_known(now));
    }
}
