// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

use super::*;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

#[test]
fn the_source_is_tried_first_and_again_after_a_wait_that_grows() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let mut now = Instant::from_micros(1);
    book.add(now, address(2), Trust::Heard, &mut rng);
    book.add(now, address(1), Trust::Source, &mut rng);
    assert_eq!(book.take_due(now, Trust::Heard), Some(address(1)));
    let mut waits = Vec::new();
    for _ in 0..12 {
        book.ended(
            now,
            address(1),
            Duration::from_secs(10),
            LONGEST_RETRY,
            &mut rng,
        );
        book.ended(
            now,
            address(2),
            Duration::from_secs(10),
            LONGEST_RETRY,
            &mut rng,
        );
        let due = book.entries[&address(1)].next;
        waits.push(due.since(now));
        now = due;
        assert!(book.take_due(now, Trust::Heard).is_some());
    }
    assert!(waits[0] < Duration::from_secs(1), "{waits:?}");
    assert!(waits.iter().all(|w| *w < Duration::from_millis(12_600)));
    assert!(waits[11] > waits[0]);
}

#[test]
fn an_address_that_was_only_heard_of_and_never_answers_is_dropped() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    book.add(now, address(2), Trust::Heard, &mut rng);
    for _ in 0..MAX_FAILURES {
        book.ended(
            now,
            address(2),
            Duration::from_secs(10),
            LONGEST_RETRY,
            &mut rng,
        );
    }
    assert!(book.next_due(Trust::Heard).is_none());
    // Who tells of it again is not listened to; the user is.
    book.add(now, address(2), Trust::Heard, &mut rng);
    assert!(book.next_due(Trust::Heard).is_none());
    book.add(now, address(2), Trust::Named, &mut rng);
    assert_eq!(book.next_due(Trust::Heard), Some(now));
}

#[test]
fn who_was_given_up_may_be_heard_of_again_after_two_minutes() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    for port in 1..3000 {
        book.add(now, address(port), Trust::Heard, &mut rng);
        for _ in 0..MAX_FAILURES {
            book.ended(now, address(port), LONGEST_RETRY, LONGEST_RETRY, &mut rng);
        }
    }
    assert_eq!(book.given_up.len(), MAX_GIVEN_UP);
    let later = now + GIVEN_UP;
    book.add(later, address(1), Trust::Heard, &mut rng);
    assert_eq!(book.next_due(Trust::Heard), Some(later));
    book.expire(later);
    assert!(book.given_up.is_empty());
}

#[test]
fn the_book_is_bounded_and_the_named_stay() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    book.add(now, address(1), Trust::Named, &mut rng);
    for port in 2..3000 {
        book.add(now, address(port), Trust::Heard, &mut rng);
    }
    assert_eq!(book.entries.len(), MAX_ADDRESSES);
    book.add(now, address(5000), Trust::Named, &mut rng);
    assert!(book.is_named(address(5000)) && book.is_named(address(1)));
}

#[test]
fn a_refusal_is_about_pairs_and_ends_after_ten_minutes() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    let ip = address(1).ip();
    book.refuse(now, ip, Some(address(1)), Some([7; 20]));
    assert!(book.refuses_address(now, address(1)));
    assert!(!book.refuses_address(now, address(2)));
    assert!(book.refuses_id(now, address(9), [7; 20]));
    assert!(!book.refuses_id(now, SocketAddr::from(([192, 0, 2, 2], 9)), [7; 20]));
    assert!(!book.refuses_address(now + REFUSAL, address(1)));
    book.add(now, address(1), Trust::Named, &mut rng);
    assert!(!book.refuses_address(now, address(1)), "named by the user");
}

#[test]
fn refusals_and_strikes_are_bounded_and_the_oldest_leave() {
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    for number in 0..10_000u16 {
        let liar = SocketAddr::from(([10, 0, 0, 1], number + 1));
        book.refuse(now, address(1).ip(), Some(liar), None);
    }
    assert_eq!(book.refused.len(), MAX_REFUSALS);
    assert_eq!(book.strikes.len(), MAX_REFUSALS);
    let liar = |port| SocketAddr::from(([10, 0, 0, 1], port));
    assert!(!book.refuses_address(now, liar(1)));
    assert!(book.refuses_address(now, liar(10_000)));
}

#[test]
fn eight_liars_close_an_address_but_never_loopback() {
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    let loopback = IpAddr::from([127, 0, 0, 1]);
    for _ in 0..STRIKES {
        assert!(!book.refuses_callers(now, address(1).ip()));
        book.refuse(now, address(1).ip(), None, None);
        book.refuse(now, loopback, None, None);
    }
    assert!(book.refuses_callers(now, address(1).ip()));
    assert!(!book.refuses_callers(now, loopback));
    assert!(!book.refuses_callers(now + REFUSAL, address(1).ip()));
}

#[test]
fn who_is_full_is_left_alone_longer_than_who_did_not_answer() {
    let mut rng = fastrand::Rng::with_seed(1);
    let now = Instant::from_micros(1);
    let wait = |full: Option<bool>, rng: &mut fastrand::Rng| {
        let mut book = AddressBook::default();
        book.add(now, address(1), Trust::Heard, rng);
        book.take_due(now, Trust::Heard).unwrap();
        book.reached(address(1));
        if let Some(lonely) = full {
            book.turned_away(address(1), lonely);
        }
        book.ended(now, address(1), Duration::from_secs(10), LONGEST_RETRY, rng);
        book.next_due(Trust::Heard).unwrap().since(now)
    };
    let silent = wait(None, &mut rng);
    let full = wait(Some(false), &mut rng);
    let full_and_lonely = wait(Some(true), &mut rng);
    assert!(silent < Duration::from_secs(1), "{silent:?}");
    assert!(full > Duration::from_secs(9), "{full:?}");
    assert!(full_and_lonely > silent && full_and_lonely < Duration::from_secs(3));
    // Also while others are to be tried several times a second.
    let mut book = AddressBook::default();
    book.add(now, address(1), Trust::Source, &mut rng);
    book.turned_away(address(1), true);
    book.ended(now, address(1), Duration::ZERO, Duration::ZERO, &mut rng);
    let named = book.next_due(Trust::Source).unwrap().since(now);
    assert!(named > Duration::from_secs(1), "{named:?}");
}

#[test]
fn what_is_named_is_tried_within_the_time_that_is_left_to_it() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    for (port, trust) in [(1, Trust::Source), (2, Trust::Heard)] {
        book.add(now, address(port), trust, &mut rng);
        book.take(address(port));
        for _ in 0..12 {
            book.reached(address(port));
            book.ended(now, address(port), LONGEST_RETRY, LONGEST_RETRY, &mut rng);
        }
    }
    let soon = Duration::from_secs(1);
    assert!(book.next_due(Trust::Heard).unwrap().since(now) > soon);
    book.hurry(now, soon, &mut rng);
    assert!(book.next_due(Trust::Source).unwrap().since(now) <= soon);
    assert!(book.entries[&address(2)].next.since(now) > soon);
}

#[test]
fn who_is_near_comes_before_others_that_were_heard_of_and_after_the_named() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    for port in 1..100 {
        book.add(now, address(port), Trust::Heard, &mut rng);
    }
    book.add(now, address(100), Trust::Named, &mut rng);
    // It is heard of last.
    let now = now + Duration::from_secs(1);
    book.add(now, address(101), Trust::Heard, &mut rng);
    book.prefer(address(101));
    assert_eq!(book.fresh(), Some(address(101)));
    assert_eq!(book.take_due(now, Trust::Heard), Some(address(100)));
    assert_eq!(book.take_due(now, Trust::Heard), Some(address(101)));
}

#[test]
fn who_gave_pieces_and_was_reached_is_good_until_it_lies() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    for port in 1..100 {
        book.add(now, address(port), Trust::Heard, &mut rng);
        book.reached(address(port));
        book.gave(now + Duration::from_secs(port.into()), address(port));
    }
    book.add(now, address(200), Trust::Heard, &mut rng);
    book.gave(now, address(200));
    let now = now + Duration::from_secs(100);
    book.refuse(now, address(1).ip(), Some(address(99)), None);
    let good = book.good(now);
    assert_eq!(good.len(), MAX_KNOWN);
    assert_eq!(good[0], (address(98), Duration::from_secs(2)));
    assert!(good.iter().all(|&(at, _)| at != address(200)));
}

#[test]
fn those_of_the_last_time_are_called_once_each_and_are_thirty_two() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    for port in 1..100 {
        book.add(now, address(port), Trust::Heard, &mut rng);
        book.call_first(address(port));
    }
    book.take(address(1));
    let taken: Vec<_> = std::iter::from_fn(|| book.take_known(now)).collect();
    assert_eq!(taken, (2..=32).map(address).collect::<Vec<_>>());
}

#[test]
fn fresh_is_what_was_never_tried() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut book = AddressBook::default();
    let now = Instant::from_micros(1);
    book.add(now, address(1), Trust::Heard, &mut rng);
    assert_eq!(book.fresh(), Some(address(1)));
    book.take(address(1));
    assert_eq!(book.fresh(), None);
    book.ended(now, address(1), LONGEST_RETRY, LONGEST_RETRY, &mut rng);
    assert_eq!(book.fresh(), None, "it has failed");
    book.free(address(1));
    assert_eq!(book.next_due(Trust::Heard).map(|at| at > now), Some(true));
}

#[test]
fn not_everybody_calls_the_same_address_first() {
    let now = Instant::from_micros(1);
    let first = |seed: u64| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut book = AddressBook::default();
        for port in 1..10 {
            book.add(now, address(port), Trust::Heard, &mut rng);
        }
        book.take_due(now, Trust::Heard)
    };
    assert!((1..20).any(|seed| first(seed) != first(0)));
}
