// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The source's own tracker (PROTOCOL §8): what is asked and what is told.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bendy::encoding::{Error, SingleItemEncoder, SortedDictEncoder};
use fastrand::Rng;

use super::{
    AnnounceQuery, Event,
    entries::{Entries, Entry},
    query::{names_stream, scraped},
};
use crate::proto::{
    address::{Family, Scope, is_dialable, write_compact},
    metainfo::Infohash,
    time::Instant,
    wire::bencode::emit_dict,
};

/// How often peers announce.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);
/// How often a peer may that knows nobody.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Most peers in an answer besides the source, and how many where the asker does not say.
const MAX_NUMWANT: usize = 50;

/// The tracker of one stream, as plain state: the time, the query and the addresses of the
/// connection come in, the body of the answer goes out.
#[derive(Debug)]
pub struct TrackerServer {
    infohash: Infohash,
    /// The source's, for the list form; nobody is listed under it.
    peer_id: [u8; 20],
    rng: Rng,
    entries: Entries,
}

/// The connection by which somebody asks.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The far end.
    pub asker: IpAddr,
    /// Where it arrived, which is where the source listens.
    pub local: SocketAddr,
    /// Where the asker says that it called us (`Host`), if that is an address. Behind a router that
    /// forwards the port it is another than `local`; whoever lies about it misleads nobody else.
    pub called: Option<SocketAddr>,
}

impl Call {
    /// Where the source is for this asker.
    fn source(&self) -> SocketAddr {
        let local = SocketAddr::new(self.local.ip().to_canonical(), self.local.port());
        self.called.filter(is_dialable).unwrap_or(local)
    }
}

impl TrackerServer {
    /// The tracker of `infohash`, whose source has this peer id. `rng` picks who is told of whom.
    #[must_use]
    pub const fn new(infohash: Infohash, peer_id: [u8; 20], rng: Rng) -> Self {
        Self {
            infohash,
            peer_id,
            rng,
            entries: Entries::new(),
        }
    }

    /// How many peers announced and were not forgotten, as of the last request.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many are known now.
    pub fn known(&mut self, now: Instant) -> usize {
        self.entries.expire(now);
        self.len()
    }

    /// Whether nobody is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The body that answers an announce with this query string (after `?`).
    pub fn announce(&mut self, now: Instant, query: &str, call: Call) -> Vec<u8> {
        self.entries.expire(now);
        let query = match AnnounceQuery::parse(query) {
            Ok(query) if query.infohash == self.infohash => query,
            Ok(_) => return failure("this tracker serves another stream"),
            Err(error) => return failure(&error.to_string()),
        };
        let asker = SocketAddr::new(call.asker.to_canonical(), query.port);
        if query.event == Some(Event::Stopped) {
            self.entries.forget(asker, &query.peer_id);
        } else if is_dialable(&asker) && query.peer_id != self.peer_id {
            self.entries.note(now, asker, query.peer_id);
        }
        let source = call.source();
        let mut peers = vec![Entry {
            address: source,
            peer_id: self.peer_id,
        }];
        peers.extend(self.pick(asker, source, &query));
        self.answer(&query, &peers)
    }

    /// The body that answers a scrape with this query string (BEP 48).
    pub fn scrape(&mut self, now: Instant, query: &str) -> Vec<u8> {
        self.entries.expire(now);
        if names_stream(query) && !scraped(query).any(|infohash| infohash == self.infohash) {
            return failure("this tracker serves another stream");
        }
        let incomplete = self.entries.len();
        emit_dict(|mut dict| {
            dict.emit_pair_with(b"files", |value| {
                value.emit_dict(|mut files| {
                    files.emit_pair_with(&self.infohash.0, |value| {
                        value.emit_dict(|mut file| {
                            file.emit_pair(b"complete", 1)?;
                            // Nobody ever has all of a live stream.
                            file.emit_pair(b"downloaded", 0)?;
                            file.emit_pair(b"incomplete", incomplete)
                        })
                    })
                })
            })
        })
    }

    /// Others than asker and source, at random, that the asker may be told of: first those of the family
    /// by which it asks. Who has the other family too asks by that as well.
    fn pick(&mut self, asker: SocketAddr, source: SocketAddr, query: &AnnounceQuery) -> Vec<Entry> {
        let wanted = match (query.event, query.numwant) {
            (Some(Event::Stopped), _) => 0,
            (_, Some(numwant)) => (numwant as usize).min(MAX_NUMWANT),
            (_, None) => MAX_NUMWANT,
        };
        let scope = Scope::of(asker.ip());
        let family = Family::of(asker.ip());
        let accepts = |entry: &Entry| {
            ![asker, source].contains(&entry.address)
                && entry.peer_id != query.peer_id
                && Scope::of(entry.address.ip()).is_shown_to(scope)
        };
        let is_same = |entry: &Entry| Family::of(entry.address.ip()) == family;
        let mut pick = |wanted, same| {
            self.entries.pick(&mut self.rng, wanted, |entry| {
                is_same(entry) == same && accepts(entry)
            })
        };
        let mut peers = pick(wanted, true);
        peers.extend(pick(wanted - peers.len(), false));
        peers
    }

    fn answer(&self, query: &AnnounceQuery, peers: &[Entry]) -> Vec<u8> {
        emit_dict(|mut dict| {
            dict.emit_pair(b"complete", 1)?;
            dict.emit_pair(b"incomplete", self.entries.len())?;
            dict.emit_pair(b"interval", INTERVAL.as_secs())?;
            dict.emit_pair(b"min interval", MIN_INTERVAL.as_secs())?;
            if query.compact {
                emit_compact(&mut dict, peers)
            } else {
                dict.emit_pair_with(b"peers", |value| emit_list(value, peers, query.no_peer_id))
            }
        })
    }
}

/// `peers` (BEP 23), and `peers6` (BEP 7) where there are any.
fn emit_compact(dict: &mut SortedDictEncoder<'_>, peers: &[Entry]) -> Result<(), Error> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for peer in peers {
        write_compact(peer.address, &mut v4, &mut v6);
    }
    dict.emit_pair_with(b"peers", |value| value.emit_bytes(&v4))?;
    if v6.is_empty() {
        return Ok(());
    }
    dict.emit_pair_with(b"peers6", |value| value.emit_bytes(&v6))
}

/// The form of BEP 3: a dictionary a peer.
fn emit_list(value: SingleItemEncoder<'_>, peers: &[Entry], no_peer_id: bool) -> Result<(), Error> {
    value.emit_list(|list| {
        peers.iter().try_for_each(|peer| {
            list.emit_dict(|mut dict| {
                dict.emit_pair(b"ip", peer.address.ip().to_string())?;
                if !no_peer_id {
                    dict.emit_pair_with(b"peer id", |value| value.emit_bytes(&peer.peer_id))?;
                }
                dict.emit_pair(b"port", peer.address.port())
            })
        })
    })
}

/// A refusal (BEP 3).
fn failure(reason: &str) -> Vec<u8> {
    emit_dict(|mut dict| dict.emit_pair(b"failure reason", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        tracker::{Announce, AnnounceResponse, ResponseError},
        wire::bencode::{Value, parse_dict},
    };
    use std::collections::BTreeSet;

    const INFOHASH: Infohash = Infohash([b'h'; 20]);
    const SOURCE_ID: [u8; 20] = *b"-LV0100-source-sourc";
    const PUBLIC: &str = "198.51.100.1:7000";

    fn tracker() -> TrackerServer {
        TrackerServer::new(INFOHASH, SOURCE_ID, Rng::with_seed(7))
    }

    fn seconds(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn id(number: u16) -> [u8; 20] {
        let mut id = *b"-LV0100-------------";
        id[18..].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn announce(peer_id: [u8; 20], port: u16, event: Option<Event>) -> String {
        Announce {
            infohash: INFOHASH,
            peer_id,
            port,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            numwant: 50,
            event,
            key: 0,
        }
        .query()
    }

    impl TrackerServer {
        fn ask(&mut self, at: u64, query: &str, asker: &str, local: &str) -> AnnounceResponse {
            let call = call(asker.parse().unwrap(), local.parse().unwrap());
            let body = Self::announce(self, seconds(at), query, call);
            AnnounceResponse::parse(&body).unwrap()
        }

        /// A peer `number` of its own public address announces; who it is told of.
        fn join(&mut self, at: u64, number: u16) -> Vec<SocketAddr> {
            let address = peer(number);
            let query = announce(id(number), address.port(), Some(Event::Started));
            let asker = address.ip().to_string();
            self.ask(at, &query, &asker, PUBLIC).peers
        }
    }

    fn call(asker: IpAddr, local: SocketAddr) -> Call {
        Call {
            asker,
            local,
            called: None,
        }
    }

    fn peer(number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        SocketAddr::from(([203, 0, high, low], 5000))
    }

    fn local() -> SocketAddr {
        PUBLIC.parse().unwrap()
    }

    #[test]
    fn the_first_asker_is_told_of_the_source_in_these_bytes() {
        let query = announce(id(1), 5000, None);
        let body = tracker().announce(seconds(0), &query, call(peer(1).ip(), local()));
        let expected = b"d8:completei1e10:incompletei1e8:intervali60e12:min intervali10e\
            5:peers6:\xc6\x33\x64\x01\x1b\x58e";
        assert_eq!(
            body.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }

    #[test]
    fn an_asker_over_ipv6_is_told_of_the_source_under_that_address() {
        let query = announce(id(1), 5000, None);
        let asker = "2001:db8::2".parse().unwrap();
        let local = "[2001:db8::1]:7000".parse().unwrap();
        let body = tracker().announce(seconds(0), &query, call(asker, local));
        let expected = b"d8:completei1e10:incompletei1e8:intervali60e12:min intervali10e\
            5:peers0:6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1b\x58e";
        assert_eq!(
            body.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }

    #[test]
    fn the_list_form_is_given_on_request() {
        let mut tracker = tracker();
        tracker.join(0, 1);
        let query = format!("{}&compact=0", announce(id(2), 5000, None)).replace("&compact=1", "");
        let body = tracker.announce(seconds(0), &query, call(peer(2).ip(), local()));
        let expected = b"d8:completei1e10:incompletei2e8:intervali60e12:min intervali10e5:peersl\
            d2:ip12:198.51.100.17:peer id20:-LV0100-source-sourc4:porti7000ee\
            d2:ip9:203.0.0.17:peer id20:-LV0100-----------\x00\x014:porti5000eeee";
        assert_eq!(
            body.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        let query = format!("{query}&no_peer_id=1");
        let body = tracker.announce(seconds(0), &query, call(peer(2).ip(), local()));
        assert!(!body.windows(7).any(|part| part == b"peer id"));
    }

    #[test]
    fn the_source_comes_first_then_the_others_and_never_the_asker() {
        let mut tracker = tracker();
        assert_eq!(tracker.join(0, 1), [local()]);
        assert_eq!(tracker.join(0, 2), [local(), peer(1)]);
        let told = tracker.join(0, 3);
        assert_eq!(told[0], local());
        assert_eq!(
            BTreeSet::from_iter(told),
            [local(), peer(1), peer(2)].into()
        );
        assert_eq!(tracker.join(1, 1).len(), 3, "known already");
        assert_eq!(tracker.len(), 3);
    }

    #[test]
    fn a_peer_is_not_told_of_itself_under_another_address_nor_of_the_source_twice() {
        let mut tracker = tracker();
        tracker.join(0, 1);
        let query = announce(id(1), 5000, None);
        assert_eq!(
            tracker.ask(0, &query, "203.0.113.9", PUBLIC).peers,
            [local()]
        );
        let query = announce(SOURCE_ID, 7000, None);
        tracker.ask(0, &query, "203.0.113.9", PUBLIC);
        let query = announce(id(9), 7000, None);
        tracker.ask(0, &query, "198.51.100.1", PUBLIC);
        let told = tracker.join(0, 2);
        assert_eq!(
            told.iter().filter(|address| **address == local()).count(),
            1
        );
        assert!(!told.contains(&"203.0.113.9:7000".parse().unwrap()));
    }

    #[test]
    fn another_infohash_and_a_broken_query_are_refused_in_words() {
        let refused = |query: &str| {
            let mut tracker = tracker();
            let body = tracker.announce(seconds(0), query, call(peer(1).ip(), local()));
            assert!(tracker.is_empty());
            match AnnounceResponse::parse(&body) {
                Err(ResponseError::Refused(reason)) => reason,
                other => panic!("{other:?}"),
            }
        };
        let other = announce(id(1), 5000, None).replace("hhhh", "gggg");
        assert_eq!(refused(&other), "this tracker serves another stream");
        assert_eq!(refused("port=5000"), "info_hash is missing");
    }

    #[test]
    fn an_ip_in_the_query_is_ignored() {
        let mut tracker = tracker();
        let query = format!("{}&ip=9.9.9.9", announce(id(1), 5000, None));
        tracker.ask(0, &query, "203.0.0.1", PUBLIC);
        assert_eq!(tracker.join(0, 2), [local(), peer(1)]);
    }

    #[test]
    fn port_0_is_answered_and_not_given_out() {
        let mut tracker = tracker();
        let query = announce(id(1), 0, None);
        assert_eq!(tracker.ask(0, &query, "203.0.0.1", PUBLIC).peers, [local()]);
        assert_eq!(tracker.join(0, 2), [local()]);
    }

    #[test]
    fn an_address_that_a_dual_stack_socket_mapped_is_ipv4() {
        let mut tracker = tracker();
        let query = announce(id(1), 5000, None);
        let answer = tracker.ask(0, &query, "::ffff:203.0.0.1", "[::ffff:198.51.100.1]:7000");
        assert_eq!(answer.peers, [local()]);
        assert_eq!(tracker.join(0, 2), [local(), peer(1)]);
    }

    #[test]
    fn stopped_counts_only_from_the_same_address_and_peer_id() {
        let mut tracker = tracker();
        tracker.join(0, 1);
        let stop = |tracker: &mut TrackerServer, peer_id, asker: &str| {
            let query = announce(peer_id, 5000, Some(Event::Stopped));
            tracker.ask(1, &query, asker, PUBLIC);
            tracker.len()
        };
        assert_eq!(stop(&mut tracker, id(1), "203.0.0.2"), 1);
        assert_eq!(stop(&mut tracker, id(2), "203.0.0.1"), 1);
        assert_eq!(stop(&mut tracker, id(1), "203.0.0.1"), 0);
    }

    #[test]
    fn who_stops_is_told_of_nobody_but_the_source() {
        let mut tracker = tracker();
        tracker.join(0, 1);
        let query = announce(id(2), 5000, Some(Event::Stopped));
        assert_eq!(tracker.ask(0, &query, "203.0.0.2", PUBLIC).peers, [local()]);
    }

    #[test]
    fn who_is_silent_for_two_intervals_is_forgotten() {
        let mut tracker = tracker();
        tracker.join(0, 1);
        tracker.join(50, 2);
        tracker.join(60, 1);
        assert_eq!(tracker.join(169, 3).len(), 3);
        assert_eq!(
            tracker.join(170, 3),
            [local(), peer(1)],
            "2 was last seen at 50"
        );
        assert_eq!(tracker.join(180, 3), [local()]);
        assert_eq!(tracker.len(), 1);
    }

    #[test]
    fn an_address_has_at_most_32_entries() {
        let mut tracker = tracker();
        for port in 1..=40 {
            tracker.ask(0, &announce(id(port), port, None), "203.0.0.1", PUBLIC);
        }
        assert_eq!(tracker.len(), 32);
        tracker.join(0, 2);
        assert_eq!(tracker.len(), 33, "others still come in");
        tracker.ask(0, &announce(id(1), 1, None), "203.0.0.1", PUBLIC);
        assert_eq!(tracker.len(), 33, "and those that are in stay");
    }

    #[test]
    fn at_most_2000_entries_are_kept_and_at_most_50_told() {
        let mut tracker = tracker();
        for number in 0..2100 {
            tracker.join(0, number);
        }
        assert_eq!(tracker.len(), 2000);
        let many = announce(id(1), 5000, None).replace("numwant=50", "numwant=1000");
        assert_eq!(tracker.ask(0, &many, "203.0.0.1", PUBLIC).peers.len(), 51);
        let default = announce(id(1), 5000, None).replace("numwant=50", "x=1");
        assert_eq!(
            tracker.ask(0, &default, "203.0.0.1", PUBLIC).peers.len(),
            51
        );
        let three = announce(id(1), 5000, None).replace("numwant=50", "numwant=3");
        assert_eq!(tracker.ask(0, &three, "203.0.0.1", PUBLIC).peers.len(), 4);
        let none = announce(id(1), 5000, None).replace("numwant=50", "numwant=0");
        assert_eq!(tracker.ask(0, &none, "203.0.0.1", PUBLIC).peers, [local()]);
    }

    #[test]
    fn everybody_is_told_of_in_time() {
        let mut tracker = tracker();
        for number in 0..200 {
            tracker.join(0, number);
        }
        let mut told = BTreeSet::new();
        for _ in 0..60 {
            let answer = tracker.join(1, 0);
            let distinct: BTreeSet<_> = answer.iter().copied().collect();
            assert_eq!(distinct.len(), answer.len(), "nobody twice");
            told.extend(distinct);
        }
        assert_eq!(told.len(), 200, "199 others and the source");
    }

    #[test]
    fn loopback_and_private_addresses_stay_within_their_scope() {
        let mut tracker = tracker();
        for (number, asker) in [(1, "127.0.0.1"), (2, "10.0.0.2"), (3, "203.0.113.3")] {
            tracker.ask(0, &announce(id(number), number, None), asker, PUBLIC);
        }
        let mut told = |asker: &str| {
            let mut peers = tracker
                .ask(0, &announce(id(9), 9, None), asker, PUBLIC)
                .peers;
            assert_eq!(peers.remove(0), local());
            let stop = announce(id(9), 9, Some(Event::Stopped));
            tracker.ask(0, &stop, asker, PUBLIC);
            peers.sort_unstable();
            peers.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told("127.0.0.1"), ["127.0.0.1:1", "203.0.113.3:3"]);
        assert_eq!(told("192.168.0.9"), ["10.0.0.2:2", "203.0.113.3:3"]);
        assert_eq!(told("203.0.113.9"), ["203.0.113.3:3"]);
    }

    #[test]
    fn the_source_is_told_of_where_the_asker_can_reach_it() {
        let told = |asker: &str, local: &str, called: Option<&str>| {
            let call = Call {
                asker: asker.parse().unwrap(),
                local: local.parse().unwrap(),
                called: called.map(|called| called.parse().unwrap()),
            };
            let body = tracker().announce(seconds(0), &announce(id(1), 1, None), call);
            let peers = AnnounceResponse::parse(&body).unwrap().peers;
            peers.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let home = "192.168.0.2:7000";
        assert_eq!(told("192.168.0.3", home, None), [home]);
        // A router forwards the port, under another number perhaps.
        let outside = "198.51.100.1:8000";
        assert_eq!(told("203.0.113.9", home, Some(outside)), [outside]);
        assert_eq!(told("203.0.113.9", home, None), [home], "by its name");
        assert_eq!(told("203.0.113.9", home, Some("0.0.0.0:1")), [home]);
        assert_eq!(told("127.0.0.1", home, None), [home]);
    }

    #[test]
    fn those_of_the_askers_family_come_first() {
        let mut tracker = tracker();
        for number in 0..100 {
            tracker.join(0, number);
            let asker = format!("2001:db8:{number:x}::1");
            tracker.ask(0, &announce(id(200 + number), 1, None), &asker, PUBLIC);
        }
        for asker in ["2001:db8:ffff::1", "198.18.0.1"] {
            let mut query = announce(id(999), 0, None);
            let asked = |tracker: &mut TrackerServer, query: &str| {
                let mut peers = tracker.ask(0, query, asker, PUBLIC).peers;
                peers.retain(|peer| *peer != local());
                let same = |peer: &&SocketAddr| peer.is_ipv6() == asker.contains(':');
                (peers.iter().filter(same).count(), peers.len())
            };
            assert_eq!(asked(&mut tracker, &query), (50, 50));
            query = query.replace("numwant=50", "numwant=7");
            assert_eq!(asked(&mut tracker, &query), (7, 7));
        }
        for number in 3..100 {
            let stop = announce(id(number), peer(number).port(), Some(Event::Stopped));
            tracker.ask(0, &stop, &peer(number).ip().to_string(), PUBLIC);
        }
        let few = tracker.ask(0, &announce(id(999), 0, None), "198.18.0.1", PUBLIC);
        let v4 = few.peers.iter().filter(|peer| peer.is_ipv4()).count();
        assert_eq!((v4, few.peers.len()), (4, 51), "with the source");
    }

    #[test]
    fn an_address_of_a_link_is_told_to_nobody() {
        let mut tracker = tracker();
        tracker.ask(0, &announce(id(1), 1, None), "fe80::1", PUBLIC);
        assert!(tracker.is_empty());
    }

    #[test]
    fn a_scrape_counts_source_and_viewers_of_our_stream_only() {
        let mut tracker = tracker();
        tracker.join(0, 1);
        tracker.join(0, 2);
        let expected = b"d5:filesd20:hhhhhhhhhhhhhhhhhhhhd8:completei1e10:downloadedi0e\
            10:incompletei2eeee";
        assert_eq!(tracker.scrape(seconds(1), ""), expected);
        let ours = "info_hash=gggggggggggggggggggg&info_hash=hhhhhhhhhhhhhhhhhhhh";
        assert_eq!(tracker.scrape(seconds(1), ours), expected);
        let other = tracker.scrape(seconds(1), "info_hash=gggggggggggggggggggg");
        let reason = parse_dict(&other).unwrap().get(b"failure reason");
        assert!(reason.is_some_and(|reason| matches!(reason, Value::Bytes(_))));
        tracker.scrape(seconds(200), "");
        assert!(tracker.is_empty(), "a scrape forgets too");
    }
}
