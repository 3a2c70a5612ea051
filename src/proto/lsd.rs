// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Local service discovery (BEP 14): what hosts of one network shout to find each other, without IO.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use data_encoding::HEXLOWER_PERMISSIVE;

use super::metainfo::Infohash;

/// Where it is shouted.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);
/// The same for IPv6.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);
/// Of both.
pub const PORT: u16 = 6771;
/// Most bytes of a datagram (BEP 14).
pub const MAX_DATAGRAM: usize = 1400;
/// Most header lines that are read.
const MAX_HEADERS: usize = 64;

/// Who has what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Where it takes peers in; 0: nowhere, it only wants to know who is there.
    pub port: u16,
    /// Whether it names the stream that was asked about.
    pub names_stream: bool,
    /// What it tells its own words by; none: it did not say.
    pub cookie: Option<Vec<u8>>,
}

/// The datagram that says: peers of `stream`, here is one, at `port`.
#[must_use]
pub fn search(host: &str, port: u16, stream: Infohash, cookie: &str) -> Vec<u8> {
    let mut text = String::from("BT-SEARCH * HTTP/1.1\r\n");
    for (name, value) in [
        ("Host", host),
        ("Port", &port.to_string()),
        ("Infohash", &stream.to_string()),
        ("cookie", cookie),
    ] {
        // Writing to a string does not fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n\r\n");
    text.into_bytes()
}

impl Search {
    /// Reads a datagram; none: it is something else.
    #[must_use]
    pub fn parse(datagram: &[u8], stream: Infohash) -> Option<Self> {
        if datagram.len() > MAX_DATAGRAM {
            return None;
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(datagram).ok()?;
        if request.method != Some("BT-SEARCH") {
            return None;
        }
        let named = |name| {
            let headers = request.headers.iter();
            headers.filter(move |header| header.name.eq_ignore_ascii_case(name))
        };
        let port = named("Port").next()?.value;
        Some(Self {
            port: std::str::from_utf8(port).ok()?.trim().parse().ok()?,
            names_stream: named("Infohash").any(|header| {
                HEXLOWER_PERMISSIVE
                    .decode(header.value)
                    .is_ok_and(|infohash| infohash == stream.0)
            }),
            cookie: named("cookie").next().map(|header| header.value.to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: Infohash = Infohash([0xab; 20]);

    #[test]
    fn a_search_is_what_bep_14_shows() {
        let datagram = search("239.192.152.143:6771", 6881, STREAM, "name");
        let text = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n\
             Infohash: {}\r\ncookie: name\r\n\r\n\r\n",
            "ab".repeat(20)
        );
        assert_eq!(datagram, text.as_bytes());
        let read = Search {
            port: 6881,
            names_stream: true,
            cookie: Some(b"name".to_vec()),
        };
        assert_eq!(Search::parse(&datagram, STREAM), Some(read));
    }

    #[test]
    fn others_write_it_in_other_ways() {
        let text = format!(
            "BT-SEARCH * HTTP/1.1\r\nhost: x\r\nPORT: 1\r\nInfohash: {}\r\nInfohash: {}\r\n\r\n\r\n",
            "00".repeat(20),
            "AB".repeat(20)
        );
        let read = Search::parse(text.as_bytes(), STREAM).unwrap();
        assert!(read.names_stream && read.cookie.is_none());
        assert!(
            !Search::parse(text.as_bytes(), Infohash([1; 20]))
                .unwrap()
                .names_stream
        );
    }

    #[test]
    fn what_is_no_search_is_none() {
        let good = String::from_utf8(search("x", 1, STREAM, "c")).unwrap();
        for text in [
            good.replace("BT-SEARCH", "GET"),
            good.replace("Port: 1", "Port: 65536"),
            good.replace("Port: 1\r\n", ""),
            good.replace("cookie: c", &"x: y\r\n".repeat(65)),
            good.replace(
                "cookie: c",
                &format!("cookie: {}", "c".repeat(MAX_DATAGRAM)),
            ),
            String::new(),
        ] {
            assert_eq!(Search::parse(text.as_bytes(), STREAM), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_datagram_panics(rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Search::parse(&rest, STREAM);
            let _ = Search::parse(&[b"BT-SEARCH * HTTP/1.1\r\nPort: ", &rest[..]].concat(), STREAM);
        }
    }
}
