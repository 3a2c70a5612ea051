// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The client's half: an announce URL out, a bencoded body in.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::Event;
use crate::proto::{
    address::{is_dialable, read_compact_v4, read_compact_v6},
    metainfo::Infohash,
    wire::bencode::{BencodeError, Dict, List, Value, parse_dict},
};

/// Most addresses of one response that are used.
pub(super) const MAX_PEERS: usize = 200;
/// Most characters of a tracker's words that are kept.
pub(super) const MAX_TEXT: usize = 256;
/// No tracker is asked more often than our own lets viewers ask (PROTOCOL §8).
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Nor forgotten for longer than this, whatever it says.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Where a tracker does not say: what most of them do.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// What stays as it is in a query (RFC 3986 §2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a peer tells a tracker (BEP 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// The stream.
    pub infohash: Infohash,
    /// Who.
    pub peer_id: [u8; 20],
    /// Where it accepts connections; 0: nowhere.
    pub port: u16,
    /// Bytes sent since `started`.
    pub uploaded: u64,
    /// Bytes received since `started`.
    pub downloaded: u64,
    /// 0 for the source, 1 for viewers (PROTOCOL §8).
    pub left: u64,
    /// Most addresses wanted.
    pub numwant: u32,
    /// What happened, if anything did.
    pub event: Option<Event>,
    /// Tells the tracker that it is the same peer under another address; nobody else sees it.
    pub key: u32,
}

impl Announce {
    /// The URL to GET: the tracker's, which may have a query of its own, with this in its query.
    #[must_use]
    pub fn url(&self, tracker: &str) -> String {
        // A fragment is never sent.
        let (base, _) = tracker.split_once('#').unwrap_or((tracker, ""));
        let joint = match base.split_once('?') {
            None => "?",
            Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        format!("{base}{joint}{}", self.query())
    }

    /// The query string, without `?`.
    #[must_use]
    pub fn query(&self) -> String {
        let Self {
            port,
            uploaded,
            downloaded,
            left,
            numwant,
            key,
            ..
        } = self;
        let infohash = percent_encode(&self.infohash.0, ENCODED);
        let peer_id = percent_encode(&self.peer_id, ENCODED);
        let mut query = format!(
            "info_hash={infohash}&peer_id={peer_id}&port={port}&uploaded={uploaded}\
             &downloaded={downloaded}&left={left}&compact=1&numwant={numwant}&key={key:08x}"
        );
        if let Some(event) = self.event {
            query.push_str("&event=");
            query.push_str(event.as_str());
        }
        query
    }

    /// One for tests, no two of whose figures are alike.
    #[cfg(test)]
    pub(crate) const fn sample() -> Self {
        Self {
            infohash: Infohash([0xff; 20]),
            peer_id: *b"-LV0100-abcdefghijkl",
            port: 7764,
            uploaded: 3,
            downloaded: 1,
            left: 2,
            numwant: 50,
            event: Some(Event::Started),
            key: 0x0bad_beef,
        }
    }
}

/// What a tracker answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// When to announce again, 10 s … 24 h; 30 min where it does not say.
    pub interval: Duration,
    /// No sooner than this, where it says; 10 s … 24 h.
    pub min_interval: Option<Duration>,
    /// Something for people, at most 256 printable characters.
    pub warning: Option<String>,
    /// At most 200 addresses that can be dialled, in the tracker's order, IPv4 first.
    pub peers: Vec<SocketAddr>,
}

/// Why a body is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The tracker refused, in its words: at most 256 printable characters.
    #[error("the tracker refused: {0}")]
    Refused(String),
    /// It is no bencoded dictionary: a web page, as a rule.
    #[error("the tracker's answer is no bencoded dictionary: {0}")]
    Bencode(#[from] BencodeError),
}

impl AnnounceResponse {
    /// Reads a response body; how much of one is read at most is the caller's to say. White space
    /// after the dictionary is allowed: some trackers send a line end.
    ///
    /// # Errors
    /// [`ResponseError`] where the tracker refused or the body is something else.
    pub fn parse(body: &[u8]) -> Result<Self, ResponseError> {
        let dict = parse_dict(body.trim_ascii_end())?;
        if let Some(reason) = dict.get(b"failure reason") {
            let reason = reason.text(MAX_TEXT).unwrap_or_default();
            return Err(ResponseError::Refused(reason));
        }
        let interval = |key: &[u8]| dict.get(key)?.int().map(bounded_interval);
        Ok(Self {
            interval: interval(b"interval").unwrap_or(DEFAULT_INTERVAL),
            min_interval: interval(b"min interval"),
            warning: dict
                .get(b"warning message")
                .and_then(|text| text.text(MAX_TEXT)),
            peers: read_peers(dict),
        })
    }
}

/// Seconds as a tracker says them, within reason.
pub(super) fn bounded_interval(seconds: u64) -> Duration {
    Duration::from_secs(seconds).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// `peers` in either form and `peers6`.
fn read_peers(dict: Dict<'_>) -> Vec<SocketAddr> {
    let (compact, list) = match dict.get(b"peers") {
        Some(Value::Bytes(bytes)) => (read_compact_v4(bytes), None),
        Some(Value::List(list)) => (None, Some(list)),
        _ => (None, None),
    };
    let compact6 = dict
        .get(b"peers6")
        .and_then(Value::bytes)
        .and_then(read_compact_v6);
    let mut peers = Vec::new();
    compact
        .into_iter()
        .flatten()
        .chain(list.into_iter().flat_map(read_list))
        .chain(compact6.into_iter().flatten())
        .filter(is_dialable)
        .take(MAX_PEERS)
        .for_each(|address| peers.push(address));
    peers
}

/// The form of BEP 3, a dictionary a peer. Names instead of addresses are left out: whoever
/// looks one up for a stranger can be made to knock anywhere.
fn read_list(list: List<'_>) -> impl Iterator<Item = SocketAddr> {
    list.iter().filter_map(|peer| {
        let peer = peer.dict()?;
        let ip = str::from_utf8(peer.get(b"ip")?.bytes()?).ok()?;
        let ip: IpAddr = ip.parse().ok()?;
        Some(SocketAddr::new(ip, peer.get(b"port")?.int()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn announce() -> Announce {
        Announce {
            infohash: Infohash([
                0, 1, 0x25, 0x26, 0x2b, 0xff, b'a', b'Z', b'0', b'-', b'.', b'_', b'~', b' ', b'/',
                b'=', 0x80, 0x7f, 10, 9,
            ]),
            peer_id: *b"-LV0100-abcdefghijkl",
            port: 6881,
            uploaded: 1,
            downloaded: 2,
            left: 1,
            numwant: 50,
            event: Some(Event::Started),
            key: 0xbeef,
        }
    }

    const QUERY: &str = "info_hash=%00%01%25%26%2B%FFaZ0-._~%20%2F%3D%80%7F%0A%09\
        &peer_id=-LV0100-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=1&compact=1\
        &numwant=50&key=0000beef&event=started";

    #[test]
    fn a_query_escapes_all_but_unreserved_characters() {
        assert_eq!(announce().query(), QUERY);
        let regular = Announce {
            event: None,
            ..announce()
        };
        assert_eq!(format!("{}&event=started", regular.query()), QUERY);
    }

    #[test]
    fn a_url_keeps_the_query_it_has() {
        for (tracker, start) in [
            ("http://h:1/announce", "http://h:1/announce?"),
            ("http://h:1/announce?", "http://h:1/announce?"),
            ("http://h:1/a?pass=x", "http://h:1/a?pass=x&"),
            ("http://h:1/a?pass=x&", "http://h:1/a?pass=x&"),
            ("http://h:1/a#part", "http://h:1/a?"),
        ] {
            assert_eq!(announce().url(tracker), format!("{start}{QUERY}"));
        }
    }

    #[test]
    fn a_compact_response_is_read() {
        let body = b"d8:completei1e10:incompletei2e8:intervali60e12:min intervali10e\
            5:peers12:\x01\x02\x03\x04\x1a\xe1\x7f\0\0\x01\0\x50\
            6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x51\
            15:warning message7:slow\x1b[me\r\n";
        let response = AnnounceResponse::parse(body).unwrap();
        assert_eq!(response.interval, Duration::from_secs(60));
        assert_eq!(response.min_interval, Some(Duration::from_secs(10)));
        assert_eq!(response.warning.as_deref(), Some("slow?[m"));
        assert_eq!(
            response.peers,
            ["1.2.3.4:6881", "127.0.0.1:80", "[2001:db8::1]:81"].map(|text| text.parse().unwrap())
        );
    }

    #[test]
    fn a_list_response_is_read_and_what_is_no_address_left_out() {
        let body = b"d8:intervali1800e5:peersl\
            d2:ip7:1.2.3.47:peer id20:-LV0100-abcdefghijkl4:porti6881ee\
            d2:ip11:2001:db8::14:porti81ee\
            d2:ip11:example.com4:porti81ee\
            d2:ip7:1.2.3.44:porti65536ee\
            d2:ip7:1.2.3.44:porti0eei7eee";
        let response = AnnounceResponse::parse(body).unwrap();
        assert_eq!(
            response.peers,
            ["1.2.3.4:6881", "[2001:db8::1]:81"].map(|text| text.parse().unwrap())
        );
        assert_eq!(response.min_interval, None);
    }

    #[test]
    fn a_refusal_is_told_in_the_trackers_words() {
        assert_eq!(
            AnnounceResponse::parse(b"d14:failure reason9:not here\ne"),
            Err(ResponseError::Refused("not here?".to_owned()))
        );
    }

    #[test]
    fn a_web_page_is_no_answer() {
        assert!(matches!(
            AnnounceResponse::parse(b"<html>"),
            Err(ResponseError::Bencode(_))
        ));
    }

    #[test]
    fn intervals_stay_within_reason_whatever_the_tracker_says() {
        let interval = |body: &[u8]| AnnounceResponse::parse(body).unwrap().interval.as_secs();
        assert_eq!(interval(b"d8:intervali0ee"), 10);
        assert_eq!(interval(b"d8:intervali18446744073709551615ee"), 86_400);
        assert_eq!(interval(b"d8:intervali-1ee"), 1800);
        assert_eq!(interval(b"de"), 1800);
    }

    #[test]
    fn two_hundred_addresses_are_used() {
        let mut body = b"d5:peers6000:".to_vec();
        body.extend_from_slice(&[1, 2, 3, 4, 5, 6].repeat(1000));
        body.push(b'e');
        assert_eq!(AnnounceResponse::parse(&body).unwrap().peers.len(), 200);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let body = [b"d5:peers", &body[..]].concat();
            if let Ok(response) = AnnounceResponse::parse(&body) {
                prop_assert!(response.peers.len() <= body.len() / COMPACT);
            }
        }
    }

    const COMPACT: usize = crate::proto::address::COMPACT_V4_LEN;
}
