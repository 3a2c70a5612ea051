// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One announce to a tracker over UDP (BEP 15), without IO: datagrams out, datagrams in.
//!
//! Two requests, each answered by one datagram that repeats its transaction number: `connect`, which
//! brings a connection number and so shows that we are where we say, and `announce`.

use std::time::Duration;

use super::{
    Announce, AnnounceResponse, Event, ResponseError,
    client::{MAX_TEXT, bounded_interval},
};
use crate::proto::{
    address::{Family, is_dialable, read_compact_v4, read_compact_v6},
    wire::bencode::printable,
};

/// What a `connect` request has instead of a connection number.
const PROTOCOL: u64 = 0x0417_2710_1980;
/// Actions.
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const ERROR: u32 = 3;
/// Bytes of an answer's action and transaction number.
const HEAD: usize = 8;
/// Bytes of an answer to `announce` before the addresses: the head, interval, leechers and seeders.
const BEFORE_PEERS: usize = 20;
/// The wait for an answer before a request goes out again; twice as long each time. BEP 15 begins with
/// fifteen seconds: somebody waits for a picture here.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Most bytes of an answer that are of use: all addresses that are looked at.
pub const MAX_DATAGRAM: usize = 4096;

/// What a datagram meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing: it answers nothing that was asked.
    Ignored,
    /// There is another datagram to send.
    Next,
    /// That was it.
    Done(Result<AnnounceResponse, ResponseError>),
}

/// One announce.
#[derive(Debug)]
pub struct UdpAnnounce {
    request: Announce,
    /// That of the tracker's address, and so of the addresses that it tells.
    family: Family,
    /// None: not connected.
    connection: Option<u64>,
    transaction: u32,
    tries: u32,
    rng: fastrand::Rng,
}

impl UdpAnnounce {
    /// What `request` says, to a tracker at an address of this family.
    #[must_use]
    pub fn new(request: Announce, family: Family, mut rng: fastrand::Rng) -> Self {
        Self {
            request,
            family,
            connection: None,
            transaction: rng.u32(..),
            tries: 0,
            rng,
        }
    }

    /// The datagram to send now, and how long to wait for the answer before the next try.
    pub fn request(&mut self) -> (Vec<u8>, Duration) {
        let wait = FIRST_WAIT.saturating_mul(1 << self.tries.min(10));
        self.tries += 1;
        let datagram = match self.connection {
            None => self.connect(),
            Some(connection) => self.announce(connection),
        };
        (datagram, wait)
    }

    fn connect(&self) -> Vec<u8> {
        let mut datagram = PROTOCOL.to_be_bytes().to_vec();
        datagram.extend_from_slice(&CONNECT.to_be_bytes());
        datagram.extend_from_slice(&self.transaction.to_be_bytes());
        datagram
    }

    fn announce(&self, connection: u64) -> Vec<u8> {
        let request = &self.request;
        let event: u32 = match request.event {
            None => 0,
            Some(Event::Completed) => 1,
            Some(Event::Started) => 2,
            Some(Event::Stopped) => 3,
        };
        // The tracker takes our address from the datagram.
        let no_address = 0u32;
        let mut datagram = connection.to_be_bytes().to_vec();
        datagram.extend_from_slice(&ANNOUNCE.to_be_bytes());
        datagram.extend_from_slice(&self.transaction.to_be_bytes());
        datagram.extend_from_slice(&request.infohash.0);
        datagram.extend_from_slice(&request.peer_id);
        for figure in [request.downloaded, request.left, request.uploaded] {
            datagram.extend_from_slice(&figure.to_be_bytes());
        }
        for figure in [event, no_address, request.key, request.numwant] {
            datagram.extend_from_slice(&figure.to_be_bytes());
        }
        datagram.extend_from_slice(&request.port.to_be_bytes());
        datagram
    }

    /// A datagram came from the tracker's address. What is too short for what it says it is counts
    /// for nothing (BEP 15), like what repeats another transaction number: anybody could have sent it.
    pub fn received(&mut self, datagram: &[u8]) -> Progress {
        let Some((head, rest)) = datagram.split_first_chunk::<HEAD>() else {
            return Progress::Ignored;
        };
        let [a, b, c, d, transaction @ ..] = *head;
        if u32::from_be_bytes(transaction) != self.transaction {
            return Progress::Ignored;
        }
        match (u32::from_be_bytes([a, b, c, d]), self.connection) {
            (ERROR, _) => {
                let reason = printable(rest, MAX_TEXT);
                Progress::Done(Err(ResponseError::Refused(reason)))
            }
            (CONNECT, None) => match rest.first_chunk() {
                Some(connection) => {
                    self.connection = Some(u64::from_be_bytes(*connection));
                    self.transaction = self.rng.u32(..);
                    self.tries = 0;
                    Progress::Next
                }
                None => Progress::Ignored,
            },
            (ANNOUNCE, Some(_)) if datagram.len() >= BEFORE_PEERS => {
                Progress::Done(Ok(self.response(datagram)))
            }
            _ => Progress::Ignored,
        }
    }

    fn response(&self, datagram: &[u8]) -> AnnounceResponse {
        let (head, peers) = datagram.split_at(BEFORE_PEERS);
        let seconds = head[HEAD..].first_chunk().copied().unwrap_or_default();
        let whole = |size: usize| &peers[..peers.len() - peers.len() % size];
        let peers: Vec<_> = match self.family {
            Family::V4 => read_compact_v4(whole(6)).into_iter().flatten().collect(),
            Family::V6 => read_compact_v6(whole(18)).into_iter().flatten().collect(),
        };
        let dialable = peers.into_iter().filter(is_dialable);
        AnnounceResponse {
            interval: bounded_interval(u32::from_be_bytes(seconds).into()),
            min_interval: None,
            warning: None,
            peers: dialable.take(super::client::MAX_PEERS).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn asking(family: Family) -> UdpAnnounce {
        UdpAnnounce::new(Announce::sample(), family, fastrand::Rng::with_seed(1))
    }

    fn answer(to: &[u8], action: u32, rest: &[u8]) -> Vec<u8> {
        [&action.to_be_bytes(), &to[12..16], rest].concat()
    }

    /// One that has its connection number, and its announce.
    fn connected(family: Family) -> (UdpAnnounce, Vec<u8>) {
        let mut asking = asking(family);
        let (connect, _) = asking.request();
        let number = answer(&connect, CONNECT, &[9; 8]);
        assert_eq!(asking.received(&number), Progress::Next);
        let (announce, _) = asking.request();
        (asking, announce)
    }

    #[test]
    fn a_connect_is_sixteen_bytes_that_begin_with_the_protocol_number() {
        let (connect, _) = asking(Family::V4).request();
        assert_eq!(connect.len(), 16);
        assert_eq!(
            connect[..12],
            [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0]
        );
    }

    #[test]
    fn an_announce_is_the_ninety_eight_bytes_of_bep_15() {
        let (_, datagram) = connected(Family::V4);
        let mut expected = vec![9; 8];
        expected.extend_from_slice(&[0, 0, 0, 1]);
        expected.extend_from_slice(&datagram[12..16]);
        expected.extend_from_slice(&[0xff; 20]);
        expected.extend_from_slice(b"-LV0100-abcdefghijkl");
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2]);
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 3]);
        expected.extend_from_slice(&[0, 0, 0, 2, 0, 0, 0, 0]);
        expected.extend_from_slice(&[0x0b, 0xad, 0xbe, 0xef, 0, 0, 0, 50, 0x1e, 0x54]);
        assert_eq!(datagram, expected);
        assert_eq!(datagram.len(), 98);
    }

    #[test]
    fn events_have_the_numbers_of_bep_15() {
        for (event, number) in [
            (None, 0),
            (Some(Event::Completed), 1),
            (Some(Event::Started), 2),
            (Some(Event::Stopped), 3),
        ] {
            let request = Announce {
                event,
                ..Announce::sample()
            };
            let asking = UdpAnnounce::new(request, Family::V4, fastrand::Rng::with_seed(1));
            assert_eq!(asking.announce(0)[80..84], [0, 0, 0, number]);
        }
    }

    #[test]
    fn an_answer_of_each_family_is_read() {
        let figures = [0, 0, 0, 60, 0, 0, 0, 1, 0, 0, 0, 2];
        let (mut asking, sent) = connected(Family::V4);
        let peers = [&figures[..], &[1, 2, 3, 4, 0x1a, 0xe1], &[0; 6], &[7; 5]].concat();
        let Progress::Done(Ok(response)) = asking.received(&answer(&sent, ANNOUNCE, &peers)) else {
            panic!("no answer");
        };
        assert_eq!(response.interval, Duration::from_secs(60));
        assert_eq!(response.peers, ["1.2.3.4:6881".parse().unwrap()]);

        let (mut asking, sent) = connected(Family::V6);
        let mut address = vec![0x20, 1, 0x0d, 0xb8];
        address.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80]);
        let peers = [&figures[..], &address].concat();
        let Progress::Done(Ok(response)) = asking.received(&answer(&sent, ANNOUNCE, &peers)) else {
            panic!("no answer");
        };
        assert_eq!(response.peers, ["[2001:db8::1]:80".parse().unwrap()]);
    }

    #[test]
    fn an_error_is_told_in_the_trackers_words_at_either_step() {
        let mut first = asking(Family::V4);
        let (connect, _) = first.request();
        let (second, announce) = connected(Family::V4);
        for (mut asking, sent) in [(first, connect), (second, announce)] {
            assert_eq!(
                asking.received(&answer(&sent, ERROR, b"not\x1b here")),
                Progress::Done(Err(ResponseError::Refused("not? here".to_owned())))
            );
        }
    }

    #[test]
    fn what_answers_nothing_that_was_asked_counts_for_nothing() {
        let (mut asking, sent) = connected(Family::V4);
        let figures = [0; 12];
        let good = answer(&sent, ANNOUNCE, &figures);
        let mut other = good.clone();
        other[7] ^= 1;
        for datagram in [
            &other,
            &good[..19],
            &good[..7],
            &[],
            &answer(&sent, CONNECT, &[1; 8])[..],
            &answer(&sent, 7, &figures),
        ] {
            assert_eq!(asking.received(datagram), Progress::Ignored, "{datagram:?}");
        }
        assert!(matches!(asking.received(&good), Progress::Done(Ok(_))));
        // An answer to `announce` before there is a connection.
        let mut early = self::asking(Family::V4);
        let (connect, _) = early.request();
        let answer = answer(&connect, ANNOUNCE, &figures);
        assert_eq!(early.received(&answer), Progress::Ignored);
        assert_eq!(early.received(&answer[..15]), Progress::Ignored);
    }

    #[test]
    fn a_request_without_an_answer_goes_out_again_after_waits_that_double() {
        let mut asking = asking(Family::V4);
        let tries: Vec<_> = (0..3).map(|_| asking.request()).collect();
        assert!(tries.iter().all(|(datagram, _)| *datagram == tries[0].0));
        let waits = tries.iter().map(|(_, wait)| wait.as_secs());
        assert_eq!(waits.collect::<Vec<_>>(), [2, 4, 8]);
        for _ in 0..100 {
            assert!(asking.request().1 <= Duration::from_secs(2048));
        }
    }

    #[test]
    fn two_hundred_addresses_are_used() {
        let (mut asking, sent) = connected(Family::V4);
        let rest = [&[0; 12], &[1, 2, 3, 4, 5, 6].repeat(1000)[..]].concat();
        let Progress::Done(Ok(response)) = asking.received(&answer(&sent, ANNOUNCE, &rest)) else {
            panic!("no answer");
        };
        assert_eq!(response.peers.len(), 200);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(rest in proptest::collection::vec(any::<u8>(), 0..90), action in 0u32..5) {
            for family in [Family::V4, Family::V6] {
                let (mut asking, sent) = connected(family);
                asking.received(&rest);
                asking.received(&answer(&sent, action, &rest));
            }
        }
    }
}
