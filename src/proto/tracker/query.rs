// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The query strings of announce and scrape requests, as strangers write them.

use percent_encoding::percent_decode_str;

use super::Event;
use crate::proto::metainfo::Infohash;

/// Most `key=value` pairs that are looked at.
const MAX_PAIRS: usize = 64;

/// Why a query is no announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A key that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value is not what its key takes.
    #[error("{0} is invalid")]
    Invalid(&'static str),
}

/// What an announce request says (BEP 3, BEP 23). `ip` is not looked at (PROTOCOL §8), nor what
/// the tracker has no use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceQuery {
    /// The stream.
    pub infohash: Infohash,
    /// Who.
    pub peer_id: [u8; 20],
    /// Where it accepts connections; 0: nowhere.
    pub port: u16,
    /// What happened, where that is something BEP 3 knows.
    pub event: Option<Event>,
    /// Most addresses wanted, where it says so in a number that makes sense.
    pub numwant: Option<u32>,
    /// Addresses in compact form: unless it says `compact=0`.
    pub compact: bool,
    /// No peer ids in the list form.
    pub no_peer_id: bool,
}

impl AnnounceQuery {
    /// Reads the part of a request's target after `?`. Of a key that comes twice the first counts.
    ///
    /// # Errors
    /// [`QueryError`] where infohash, peer id or port are missing or invalid.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        Ok(Self {
            infohash: twenty(query, "info_hash").map(Infohash)?,
            peer_id: twenty(query, "peer_id")?,
            port: value(query, "port")
                .ok_or(QueryError::Missing("port"))?
                .parse()
                .map_err(|_| QueryError::Invalid("port"))?,
            event: match value(query, "event") {
                Some("started") => Some(Event::Started),
                Some("stopped") => Some(Event::Stopped),
                Some("completed") => Some(Event::Completed),
                _ => None,
            },
            numwant: value(query, "numwant").and_then(|number| number.parse().ok()),
            compact: value(query, "compact") != Some("0"),
            no_peer_id: value(query, "no_peer_id") == Some("1"),
        })
    }
}

/// The infohashes that a scrape asks about (BEP 48); those of another length are left out.
pub(super) fn scraped(query: &str) -> impl Iterator<Item = Infohash> {
    pairs(query)
        .filter(|(key, _)| *key == "info_hash")
        .filter_map(|(_, value)| decode_twenty(value).map(Infohash))
}

/// Whether a scrape names any stream.
pub(super) fn names_stream(query: &str) -> bool {
    value(query, "info_hash").is_some()
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .take(MAX_PAIRS)
        .filter_map(|pair| pair.split_once('='))
}

fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    pairs(query)
        .find(|(found, _)| *found == key)
        .map(|(_, value)| value)
}

fn twenty(query: &str, key: &'static str) -> Result<[u8; 20], QueryError> {
    let value = value(query, key).ok_or(QueryError::Missing(key))?;
    decode_twenty(value).ok_or(QueryError::Invalid(key))
}

/// Exactly 20 bytes, percent-encoded in any way.
fn decode_twenty(value: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    let mut decoded = percent_decode_str(value);
    for byte in &mut bytes {
        *byte = decoded.next()?;
    }
    decoded.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tracker::Announce;
    use proptest::prelude::*;

    #[test]
    fn an_announce_is_read() {
        // The example infohash of BEP 3's escaping rules in mixed forms.
        let query = "info_hash=%12%34Vx%9a%BC%de%f1%23Eg%89%ab%cd%ef%124Vx%9A\
            &peer_id=-qB4520-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=1\
            &ip=9.9.9.9&event=started&numwant=200&compact=1&no_peer_id=1&corrupt=0&flag";
        let announce = AnnounceQuery::parse(query).unwrap();
        let infohash = [
            0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd,
            0xef, 0x12, 0x34, 0x56, 0x78, 0x9a,
        ];
        assert_eq!(announce.infohash, Infohash(infohash));
        assert_eq!(announce.peer_id, *b"-qB4520-abcdefghijkl");
        assert_eq!(announce.port, 6881);
        assert_eq!(announce.event, Some(Event::Started));
        assert_eq!(announce.numwant, Some(200));
        assert!(announce.compact && announce.no_peer_id);
    }

    #[test]
    fn what_is_left_out_has_a_default_and_nonsense_counts_as_left_out() {
        let needed = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=0";
        let announce = AnnounceQuery::parse(needed).unwrap();
        assert_eq!((announce.event, announce.numwant), (None, None));
        assert!(announce.compact && !announce.no_peer_id);
        let nonsense = format!("{needed}&event=&numwant=-1&compact=yes");
        assert_eq!(AnnounceQuery::parse(&nonsense), Ok(announce));
        let list = AnnounceQuery::parse(&format!("{needed}&compact=0")).unwrap();
        assert!(!list.compact);
    }

    #[test]
    fn what_must_be_there_is_told() {
        for (query, error) in [
            ("", QueryError::Missing("info_hash")),
            ("info_hash=short", QueryError::Invalid("info_hash")),
            (
                "info_hash=aaaaaaaaaaaaaaaaaaaaa",
                QueryError::Invalid("info_hash"),
            ),
            (
                "info_hash=aaaaaaaaaaaaaaaaaaaa",
                QueryError::Missing("peer_id"),
            ),
            (
                "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=%zz",
                QueryError::Invalid("peer_id"),
            ),
            (
                "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb",
                QueryError::Missing("port"),
            ),
            (
                "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=65536",
                QueryError::Invalid("port"),
            ),
        ] {
            assert_eq!(AnnounceQuery::parse(query), Err(error), "{query}");
        }
    }

    #[test]
    fn a_scrape_names_any_number_of_streams() {
        let query = "info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=x&info_hash=bbbbbbbbbbbbbbbbbbbb";
        let hashes: Vec<_> = scraped(query).collect();
        assert_eq!(hashes, [Infohash([b'a'; 20]), Infohash([b'b'; 20])]);
        assert!(names_stream("info_hash=x"));
        assert!(!names_stream("x=info_hash"));
    }

    proptest! {
        #[test]
        fn what_a_client_writes_is_read(
            infohash: [u8; 20], peer_id: [u8; 20], port: u16, numwant: u32,
        ) {
            let announce = Announce {
                infohash: Infohash(infohash), peer_id, port, uploaded: 0, downloaded: 0, left: 0,
                numwant, event: Some(Event::Stopped), key: 0,
            };
            let read = AnnounceQuery::parse(&announce.query()).unwrap();
            prop_assert_eq!((read.infohash.0, read.peer_id), (infohash, peer_id));
            prop_assert_eq!((read.port, read.numwant), (port, Some(numwant)));
            prop_assert_eq!(read.event, Some(Event::Stopped));
        }

        #[test]
        fn no_query_panics(query in "[a-z_&=%0-9é]{0,80}") {
            let parsed = AnnounceQuery::parse(&query);
            prop_assert!(parsed.is_err(), "three keys by name don't come by chance");
        }
    }
}
