// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A viewer as a source and neighbours of their own making meet it.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{
    asker::{Answer, Asker},
    giver::{Giver, PACKETS, Studio},
    link::{Lack, Manners},
};
use crate::support::{capture::Capture, peer::id, pipeline::Pipeline, transport::PACKET};

const PROMISES: Manners = Manners {
    ahead: 32,
    hops: Some(0),
};
/// A viewer that got its pieces through two others.
const FARTHER: Manners = Manners {
    ahead: 32,
    hops: Some(3),
};
/// The viewer's own peer id begins with `-LV`: these are higher and lower.
const HIGHER: [u8; 20] = *b"-TE0001-the source..";
const LOWER: [u8; 20] = *b"-AA0001-the source..";

/// A viewer with these properties of a source of this name with these manners, which shows it something
/// already.
fn watched(properties: &str, name: [u8; 20], manners: Manners) -> (Pipeline, Capture, Giver) {
    let (viewer, bytes, studio) = tuned_in(properties);
    (viewer, bytes, studio.on_air(name, manners))
}

/// A viewer that calls.
fn tuned_in(properties: &str) -> (Pipeline, Capture, Studio) {
    let folder = tempfile::tempdir().unwrap();
    let tstream = folder.path().join("foo.tstream");
    let studio = Studio::open(&tstream);
    let location = format!("location={} {properties}", tstream.display());
    let (viewer, bytes) = Pipeline::viewer(&location);
    viewer.play();
    (viewer, bytes, studio)
}

/// Broadcasts until this is done.
fn on_air_while(giver: &mut Giver, what: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                giver.broadcast(1);
            }
        });
        // However it ends.
        let _done = Done(&done);
        what();
    });
}

/// Says so when it goes.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Ends the broadcast; the viewer is to have shown all of it, from where it began.
fn ends(viewer: Pipeline, bytes: &Capture, mut giver: Giver) -> Giver {
    let giver = thread::scope(|scope| {
        let giver = scope.spawn(|| {
            giver.say_end();
            giver.serve_to_the_end();
            giver
        });
        bytes.wait_for_end();
        viewer.assert_no_error();
        drop(viewer);
        giver.join().unwrap()
    });
    let (shown, payload) = (bytes.bytes(), giver.payload());
    let whole = shown.len() >= 30 * PACKETS * PACKET && payload.ends_with(&shown);
    assert!(whole, "{} of {} bytes", shown.len(), payload.len());
    giver
}

/// Somebody who asks the viewer, once that promises.
fn neighbour(viewer: &Pipeline, giver: &mut Giver) -> Asker {
    let port = viewer.port("src");
    let name = *b"-TE0001-a neighbour!";
    let mut asker = Asker::greet(port, &giver.info, name).unwrap();
    on_air_while(giver, || {
        asker.wait_for_unchoke();
        while asker.claims.floor.is_none() || asker.claims.ahead < 20 {
            assert_eq!(asker.take().unwrap(), None);
        }
    });
    asker
}

#[test]
fn a_viewer_asks_a_source_for_no_more_than_it_allows_and_shows_every_byte() {
    for (ahead, hops) in [(32, Some(0)), (0, Some(0)), (32, None)] {
        let manners = Manners { ahead, hops };
        let (viewer, bytes, mut giver) = watched("latency=500", HIGHER, manners);
        // The lap ends meanwhile.
        giver.broadcast(60);
        bytes.wait_for(1);
        let giver = ends(viewer, &bytes, giver);
        let link = &giver.links[0];
        let asked_ahead = !link.asked_ahead.is_empty();
        assert_eq!(asked_ahead, ahead > 0 && hops.is_some());
        assert_eq!(link.claims.hops, hops.map(|hops| hops + 1).or(Some(255)));
        let (laps_end, laps) = (giver.info.lap().npieces(), &link.given);
        let indices = laps.iter().map(|given| given % u64::from(laps_end));
        assert!(indices.clone().max() > indices.min(), "two laps");
    }
}

#[test]
fn a_viewer_waits_for_a_source_that_has_nothing_to_show_yet() {
    let (viewer, bytes, studio) = tuned_in("latency=500");
    let mut giver = studio.silent(HIGHER, PROMISES);
    let nothing_yet = Instant::now() + Duration::from_millis(300);
    giver.listen_until(nothing_yet).unwrap();
    giver.broadcast(60);
    bytes.wait_for(1);
    ends(viewer, &bytes, giver);
}

#[test]
fn a_viewer_that_does_not_share_holds_and_gives_nothing() {
    let properties = "latency=500 upload-enabled=false";
    let (viewer, bytes, mut giver) = watched(properties, HIGHER, PROMISES);
    giver.broadcast(60);
    let giver = ends(viewer, &bytes, giver);
    let link = &giver.links[0];
    assert!(link.heard(id::HAVE_NONE) && !link.heard(id::BITFIELD) && !link.heard(id::UNCHOKE));
    assert!(!link.has_shown, "a HAVE");
    assert_eq!((link.claims.ahead, link.claims.floor), (0, None));
    let port = |payload: &[u8]| payload.windows(6).any(|window| window == b"1:pi0e");
    let mut greetings = link.heard.iter();
    let greeting = greetings.find(|(id, payload)| *id == id::EXTENDED && payload[0] == 0);
    assert!(greeting.is_some_and(|(_, payload)| port(payload)));
}

#[test]
fn a_viewer_follows_a_source_that_starts_again() {
    let (viewer, bytes, mut giver) = watched("latency=500", HIGHER, PROMISES);
    giver.broadcast(60);
    giver.start_again();
    giver.broadcast(40);
    ends(viewer, &bytes, giver);
}

#[test]
fn a_viewer_asks_nobody_ahead_who_is_no_nearer_to_the_source() {
    let (viewer, bytes, mut giver) = watched("latency=500", HIGHER, PROMISES);
    let port = viewer.port("src");
    giver.broadcast_until("it says how far it is", |giver| {
        giver.links[0].claims.hops == Some(1)
    });
    giver.meet(port, *b"-AA0001-is far away.", FARTHER);
    giver.broadcast(60);
    let giver = ends(viewer, &bytes, giver);
    assert!(!giver.links[0].asked_ahead.is_empty());
    assert_eq!(giver.links[1].asked_ahead.len(), 0);
}

#[test]
fn a_viewer_asks_again_for_what_was_refused_only_when_it_is_shown() {
    let (viewer, bytes, mut giver) = watched("latency=2000", HIGHER, PROMISES);
    giver.broadcast_until("it asks ahead", |giver| giver.links[0].promised.len() > 2);
    let refused = *giver.links[0].promised.last().unwrap();
    giver.withhold(0, refused, Lack::Rejects);
    giver.broadcast_until("it was refused", |giver| {
        giver.next() > refused && !giver.links[0].promised.contains(&refused)
    });
    // What it refused and has not shown would be asked for in vain, which the giver asserts.
    giver.broadcast(10);
    giver.shows_after_all(refused);
    giver.broadcast(20);
    assert!(giver.links[0].given.contains(&refused));
    ends(viewer, &bytes, giver);
}

#[test]
fn a_viewer_takes_an_overdue_promise_back_and_asks_who_shows_the_piece() {
    let (viewer, bytes, mut giver) = watched("latency=2000", HIGHER, PROMISES);
    let port = viewer.port("src");
    giver.broadcast_until("it says how far it is", |giver| {
        giver.links[0].claims.hops == Some(1)
    });
    giver.meet(port, *b"-AA0001-is far away.", FARTHER);
    giver.broadcast(10);
    giver.broadcast_until("it asks ahead", |giver| giver.links[0].promised.len() > 2);
    let late = *giver.links[0].promised.last().unwrap();
    giver.withhold(0, late, Lack::Silent);
    giver.broadcast_until("it is given by another", |giver| {
        giver.links[1].given.contains(&late)
    });
    assert!(giver.links[0].cancelled.contains(&late));
    let waited = giver.links[1].given_at[&late] - giver.made_at[&late];
    println!("given by another after {waited:?}");
    assert!(waited >= Duration::from_millis(100), "{waited:?}");
    giver.broadcast(10);
    ends(viewer, &bytes, giver);
}

#[test]
fn of_two_who_ask_each_other_ahead_the_one_with_the_lower_peer_id_waits_for_the_other() {
    for (name, is_refused) in [(HIGHER, false), (LOWER, true)] {
        let (viewer, bytes, mut giver) = watched("latency=2000", name, PROMISES);
        giver.links[0].peer.send(id::INTERESTED, &[]).unwrap();
        giver.broadcast_until("it asks ahead and is asked", |giver| {
            let link = &giver.links[0];
            link.promised.len() > 2 && link.heard(id::UNCHOKE) && link.claims.floor.is_some()
        });
        let link = &mut giver.links[0];
        let both = *link.promised.last().unwrap();
        link.ask(both);
        // Far below its floor: rejected at once, and read after the other.
        let marker = link.claims.floor.unwrap() - 1;
        link.ask(marker);
        while !giver.links[0].was_rejected(marker) {
            giver.listen_until(Instant::now()).unwrap();
        }
        assert_eq!(giver.links[0].was_rejected(both), is_refused);
        giver.broadcast(40);
        // Whoever shows a piece needs no answer any more.
        assert!(giver.links[0].was_rejected(both));
        ends(viewer, &bytes, giver);
    }
}

#[test]
fn a_viewer_gives_up_promises_that_a_start_leaps_over_and_that_lie_above_an_end() {
    let (viewer, bytes, mut giver) = watched("latency=8000", HIGHER, PROMISES);
    giver.broadcast(20);
    let mut asker = neighbour(&viewer, &mut giver);
    let leapt_over = giver.next() + 10;
    asker.ask(leapt_over);
    assert_eq!(asker.settle(), []);
    giver.start_again();
    on_air_while(&mut giver, || {
        assert_eq!(asker.answer(), asker.reject_of(leapt_over));
        let first = asker.tip();
        while asker.tip() == first || asker.claims.ahead < 20 {
            assert_eq!(asker.take().unwrap(), None);
        }
    });
    let never = giver.next() + 10;
    asker.ask(never);
    giver.say_end();
    let stays = Instant::now() + Duration::from_millis(100);
    giver.listen_until(stays).unwrap();
    assert_eq!(asker.answer(), asker.reject_of(never));
    drop((viewer, bytes));
}

#[test]
fn a_viewer_keeps_requests_for_what_is_to_come_and_gives_up_what_does_not_come() {
    /// What is promised is waited for so long after the tip reached it (PROTOCOL §6).
    const PROMISE: Duration = Duration::from_secs(2);
    // Long enough that it has not skipped the piece before.
    let (viewer, bytes, mut giver) = watched("latency=8000", HIGHER, PROMISES);
    giver.broadcast(20);
    let mut asker = neighbour(&viewer, &mut giver);
    let (soon, missing) = (giver.next() + 5, giver.next() + 8);
    giver.withhold(0, missing, Lack::Rejects);
    for sequence in [soon, missing, soon] {
        asker.ask(sequence);
    }
    assert_eq!(asker.settle(), [asker.reject_of(soon)], "asked for twice");
    let mut given_up = None;
    on_air_while(&mut giver, || {
        let piece = asker.answer();
        let index = asker.index_of(soon);
        assert!(matches!(&piece, Answer::Piece(at, _) if *at == index));
        assert_eq!(asker.answer(), asker.reject_of(missing));
        given_up = Some(Instant::now());
    });
    // Who gave the piece hears that all of it went on.
    giver.broadcast_until("it reports", |giver| {
        giver.links[0].reports.get(&asker.index_of(soon)) == Some(&100)
    });
    let waited = given_up.unwrap() - giver.made_at[&missing];
    println!("given up after {waited:?}");
    assert!(waited >= PROMISE, "{waited:?}");
    assert_eq!(asker.settle(), []);
    drop((viewer, bytes));
}
