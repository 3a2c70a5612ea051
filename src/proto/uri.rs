// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The `livetorrent:` link (PROTOCOL §1): a stream's `info`, its trackers and some peers in one
//! line of text, after the magnet links of BEP 9.
//!
//! The parts of a `.tstream` that are advice (`created by`, speed, title, nodes) have no place in
//! it. As in a magnet link each `tr` is a tier of its own, in the order of the link. A `+` is a plus
//! sign: spaces are `%20`. What follows a `#` is no part of the link (RFC 3986 §3.5).

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    key::PublicKey,
    metainfo::{Info, Infohash, MAX_CONTACTS, Metainfo, MetainfoError, Tiers, checked_lap},
};

/// Most bytes of a link; room for all its trackers and peers at their usual size.
pub const MAX_LEN: usize = 64 << 10;

/// What a value is written with: the unreserved characters of RFC 3986 §2.3 stand for themselves.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const SCHEME: &str = "livetorrent:?";
const URN: &str = "urn:btih:";

/// What is wrong with a link as such.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It does not begin as a link.
    #[error("a link begins with \"livetorrent:?\"")]
    Scheme,
    /// More than [`MAX_LEN`] bytes.
    #[error("the link is longer than 64 KiB")]
    TooLong,
    /// A part that must be there is not.
    #[error("the link has no \"{0}\"")]
    Missing(&'static str),
    /// A part that may be there once is there more than once.
    #[error("the link has \"{0}\" more than once")]
    Repeated(&'static str),
    /// A percent sign without two hex digits, or not UTF-8.
    #[error("\"{0}\" of the link is not percent-encoded UTF-8")]
    Encoding(&'static str),
    /// A part that is not what it should be.
    #[error("\"{key}\" of the link is not {expected}")]
    Value {
        /// Which.
        key: &'static str,
        /// What should stand there.
        expected: &'static str,
    },
    /// The link tells of another stream than it names.
    #[error("\"xt\" of the link is {xt}, but its other parts make {info}: it was changed")]
    Infohash {
        /// What the link names.
        xt: Infohash,
        /// What its parts make.
        info: Infohash,
    },
}

/// The parts of a link that may be there once.
const ONCE: [&str; 5] = ["xt", "dn", "pl", "np", "pk"];

/// The values of [`ONCE`], of `tr` and of `x.pe`.
#[derive(Default)]
struct Parts {
    once: [Option<String>; ONCE.len()],
    trackers: Tiers,
    peers: Vec<String>,
}

impl Parts {
    fn add(&mut self, pair: &str) -> Result<(), LinkError> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A key that cannot be decoded is none that is known.
        let key = decode(key).unwrap_or_default();
        let key = key.as_str();
        if let Some(at) = ONCE.iter().position(|known| *known == key) {
            let known = ONCE[at];
            let value = decode(value).ok_or(LinkError::Encoding(known))?;
            if self.once[at].replace(value).is_some() {
                return Err(LinkError::Repeated(known));
            }
        } else if key == "tr" {
            self.trackers.open();
            self.trackers
                .add(&decode(value).ok_or(LinkError::Encoding("tr"))?);
        } else if key == "x.pe" {
            let peer = decode(value).ok_or(LinkError::Encoding("x.pe"))?;
            check_peer(&peer)?;
            if self.peers.len() < MAX_CONTACTS && !self.peers.contains(&peer) {
                self.peers.push(peer);
            }
        }
        Ok(())
    }

    /// The value of a part that must be there.
    fn take(&mut self, key: &'static str) -> Result<String, LinkError> {
        ONCE.iter()
            .position(|known| *known == key)
            .and_then(|at| self.once[at].take())
            .ok_or(LinkError::Missing(key))
    }
}

/// What percent-encoded UTF-8 stands for.
fn decode(text: &str) -> Option<String> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let digits = rest.get(at + 1..at + 3)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    let text = percent_decode_str(text).decode_utf8().ok()?;
    Some(text.into_owned())
}

/// Refuses what is not `host:port`; an IPv6 address stands in brackets.
fn check_peer(peer: &str) -> Result<(), LinkError> {
    let (host, port) = peer.rsplit_once(':').unwrap_or((peer, ""));
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_is_good = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let odd = |c: char| c.is_control() || c.is_whitespace() || "[]:/?#@".contains(c);
            !host.is_empty() && !host.contains(odd)
        }
    };
    let port_is_good = number(port).is_some_and(|port| (1..=u64::from(u16::MAX)).contains(&port));
    if host_is_good && port_is_good {
        return Ok(());
    }
    Err(LinkError::Value {
        key: "x.pe",
        expected: "host:port",
    })
}

/// A decimal number of digits alone.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn need_number(parts: &mut Parts, key: &'static str) -> Result<u64, LinkError> {
    let expected = "a decimal number below 2^64";
    number(&parts.take(key)?).ok_or(LinkError::Value { key, expected })
}

/// The infohash that `xt` names.
fn exact_topic(xt: &str) -> Option<Infohash> {
    let (urn, hex) = xt.split_at_checked(URN.len())?;
    if !urn.eq_ignore_ascii_case(URN) {
        return None;
    }
    let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
    bytes.try_into().ok().map(Infohash)
}

/// Reads `livetorrent:?xt=urn:btih:…`.
///
/// At most [`MAX_CONTACTS`] trackers and as many peers are kept, none twice; those after are
/// ignored.
///
/// # Errors
/// What is wrong, and where.
pub fn parse(link: &str) -> Result<Metainfo, MetainfoError> {
    if link.len() > MAX_LEN {
        return Err(LinkError::TooLong.into());
    }
    let query = match link.split_at_checked(SCHEME.len()) {
        Some((scheme, query)) if scheme.eq_ignore_ascii_case(SCHEME) => query,
        _ => return Err(LinkError::Scheme.into()),
    };
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let mut parts = Parts::default();
    query.split('&').try_for_each(|pair| parts.add(pair))?;

    let xt = exact_topic(&parts.take("xt")?).ok_or(LinkError::Value {
        key: "xt",
        expected: "\"urn:btih:\" and 40 hex digits",
    })?;
    let name = parts.take("dn")?;
    let piece_length = need_number(&mut parts, "pl")?;
    let lap = checked_lap(need_number(&mut parts, "np")?)?;
    let pk = parts.take("pk")?;
    let der = BASE64URL_NOPAD
        .decode(pk.as_bytes())
        .map_err(|_| LinkError::Value {
            key: "pk",
            expected: "base64url without padding (RFC 4648 §5)",
        })?;
    let key = PublicKey::from_der(&der)?;
    let piece_length =
        u32::try_from(piece_length).map_err(|_| MetainfoError::PieceLength(piece_length))?;
    let info = Info::new(&name, piece_length, lap, key)?;
    if info.infohash() != xt {
        let info = info.infohash();
        return Err(LinkError::Infohash { xt, info }.into());
    }
    Ok(Metainfo {
        trackers: parts.trackers.finish(),
        peers: parts.peers,
        ..Metainfo::new(info)
    })
}

/// The link that leads to this stream.
///
/// Trackers and peers that would make it longer than [`MAX_LEN`] are left out, so that what is
/// written can be read.
#[must_use]
pub fn format(metainfo: &Metainfo) -> String {
    let info = &metainfo.info;
    let mut link = format!(
        "{SCHEME}xt={URN}{}&dn={}&pl={}&np={}&pk={}",
        info.infohash(),
        utf8_percent_encode(info.name(), RESERVED),
        info.piece_length(),
        info.lap().npieces(),
        BASE64URL_NOPAD.encode(&info.key().to_der()),
    );
    let trackers = metainfo.trackers.iter().flatten().map(|url| ("tr", url));
    let peers = metainfo.peers.iter().map(|peer| ("x.pe", peer));
    for (key, value) in trackers.chain(peers) {
        let part = format!("&{key}={}", utf8_percent_encode(value, RESERVED));
        if link.len() + part.len() <= MAX_LEN {
            link.push_str(&part);
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::{super::metainfo::tests::any_info, *};
    use crate::proto::key::KeyError;
    use proptest::{collection::vec, prelude::*, sample::Index};

    const FILE: &[u8] = include_bytes!("../../tests/data/stream.tstream");
    const INFOHASH: &str = include_str!("../../tests/data/infohash.hex");

    /// The link of the file that OpenSSL and Python made, written by hand.
    fn link() -> String {
        let pk = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A_4QCLi8maQa6elWKLxk8vGyDC1-n1F3o8KU1EYimQ";
        format!(
            "livetorrent:?xt=urn:btih:{INFOHASH}&dn=Z%C3%BCrich%20live&pl=16384&np=512&pk={pk}\
             &tr=http%3A%2F%2F192.0.2.1%3A7764%2Fannounce&tr=udp%3A%2F%2Ftracker.example%3A6969"
        )
    }

    fn link_error(link: &str) -> LinkError {
        match parse(link) {
            Err(MetainfoError::Link(error)) => error,
            other => panic!("{link}: {other:?}"),
        }
    }

    #[test]
    fn the_link_of_a_file_leads_to_the_same_stream() {
        let file = Metainfo::parse(FILE).unwrap();
        assert_eq!(format(&file), link());
        let read = parse(&link()).unwrap();
        assert_eq!(read.info, file.info);
        assert_eq!(read.trackers, file.trackers);
        assert!(read.peers.is_empty());
    }

    #[test]
    fn parts_come_in_any_order_with_unknown_ones_between_and_hex_in_either_case() {
        let link = link();
        let (_, query) = link.split_once('?').unwrap();
        let mut pairs: Vec<_> = query.split('&').collect();
        pairs.reverse();
        let reversed = pairs.join("&x=1&x=%zz&&=&y&");
        let upper = INFOHASH.to_uppercase();
        let link = format!("LiveTorrent:?{reversed}#pk=1").replace(INFOHASH, &upper);
        let read = parse(&link.replace("urn:btih", "URN:BTIH")).unwrap();
        assert_eq!(read.info, Metainfo::parse(FILE).unwrap().info);
        assert_eq!(read.trackers.len(), 2);
        let encoded = self::link()
            .replace("urn:btih:", "urn%3abtih%3A")
            .replace("&tr", "&%74r");
        assert_eq!(parse(&encoded).unwrap().trackers.len(), 2);
    }

    #[test]
    fn every_part_but_trackers_and_peers_is_there_once() {
        for key in ONCE {
            let start = link().find(&format!("{key}=")).unwrap();
            let end = link()[start..].find('&').map(|at| start + at).unwrap();
            let pair = &link()[start..end];
            let without = link().replace(pair, "");
            assert_eq!(link_error(&without), LinkError::Missing(key));
            let twice = format!("{}&{pair}", link());
            assert_eq!(link_error(&twice), LinkError::Repeated(key));
        }
        let peers = format!(
            "{}&x.pe=192.0.2.1:80&x.pe=%5B2001:db8::1%5D:81&x.pe=a.b:82",
            link()
        );
        assert_eq!(
            parse(&peers).unwrap().peers,
            ["192.0.2.1:80", "[2001:db8::1]:81", "a.b:82"]
        );
    }

    #[test]
    fn a_link_whose_parts_make_another_stream_is_refused() {
        for (from, to) in [
            ("pl=16384", "pl=16385"),
            ("np=512", "np=513"),
            ("Z%C3%BCrich", "Zurich"),
            ("btih:0", "btih:1"),
        ] {
            let changed = link().replace(from, to);
            assert_ne!(changed, link());
            let error = link_error(&changed);
            assert!(matches!(error, LinkError::Infohash { .. }), "{error}");
        }
    }

    #[test]
    fn each_part_is_checked_and_named() {
        for (from, to, named) in [
            ("livetorrent:?", "magnet:?", "livetorrent:?"),
            ("livetorrent:?", "livetorrent:", "livetorrent:?"),
            ("urn:btih:", "urn:btmh:", "\"xt\""),
            (INFOHASH, &INFOHASH[1..], "\"xt\""),
            (INFOHASH, &INFOHASH[2..], "\"xt\""),
            (INFOHASH, "ü", "\"xt\""),
            ("Z%C3%BCrich", "Z%C3%Brich", "\"dn\""),
            ("Z%C3%BCrich", "Z%C3rich", "\"dn\""),
            ("dn=Z", "dn=%2FZ", "info.name"),
            ("live&", "live%", "\"dn\""),
            ("pl=16384", "pl=+16384", "\"pl\""),
            ("pl=16384", "pl=", "\"pl\""),
            (
                "pl=16384",
                "pl=4294983680",
                "info.piece length is 4294983680",
            ),
            ("pl=16384", "pl=512", "info.piece length is 512"),
            ("np=512", "np=0x200", "\"np\""),
            ("np=512", "np=255", "255 pieces"),
            (
                "np=512",
                "np=18446744073709551615",
                "18446744073709551615 pieces",
            ),
            ("pk=", "pk==", "\"pk\""),
            ("A_4Q", "A/4Q", "\"pk\""),
            ("EYimQ&", "EYimR&", "\"pk\""),
            ("EYimQ&", "EYimQ==&", "\"pk\""),
            ("pk=MFk", "pk=MFo", "info.live.pubkey"),
            ("tr=http", "tr=%http", "\"tr\""),
            ("&tr=udp", "&x.pe=192.0.2.1&tr=udp", "\"x.pe\""),
            ("&tr=udp", "&x.pe=192.0.2.1:0&tr=udp", "\"x.pe\""),
            ("&tr=udp", "&x.pe=192.0.2.1:65536&tr=udp", "\"x.pe\""),
            ("&tr=udp", "&x.pe=:80&tr=udp", "\"x.pe\""),
            ("&tr=udp", "&x.pe=2001:db8::1:80&tr=udp", "\"x.pe\""),
            ("&tr=udp", "&x.pe=[a]:80&tr=udp", "\"x.pe\""),
        ] {
            let changed = link().replacen(from, to, 1);
            assert_ne!(changed, link(), "{from}");
            let error = parse(&changed).unwrap_err().to_string();
            assert!(error.contains(named), "{to}: {error}");
        }
    }

    #[test]
    fn the_key_of_another_curve_is_refused_by_name() {
        let der = include_bytes!("../../tests/data/secp384r1.der");
        let start = link().find("&pk=").unwrap();
        let other = format!("{}&pk={}", &link()[..start], BASE64URL_NOPAD.encode(der));
        assert_eq!(
            parse(&other),
            Err(MetainfoError::Key(KeyError::Curve("secp384r1".into())))
        );
    }

    #[test]
    fn the_length_of_a_link_and_its_trackers_and_peers_are_bounded() {
        let padded = format!("{}&x=", link());
        let padded = format!("{padded}{}", "x".repeat(MAX_LEN - padded.len()));
        assert!(parse(&padded).is_ok());
        assert_eq!(link_error(&format!("{padded}x")), LinkError::TooLong);
        let many: String = (0..200)
            .map(|i| format!("&tr=t{i}&x.pe=h:{}", i + 1))
            .collect();
        let read = parse(&format!("{}{many}", link())).unwrap();
        assert_eq!(read.trackers.len(), MAX_CONTACTS);
        assert_eq!(read.peers.len(), MAX_CONTACTS);
    }

    #[test]
    fn a_link_with_trackers_beyond_its_room_is_cut_to_one_that_can_be_read() {
        let mut metainfo = Metainfo::parse(FILE).unwrap();
        let long = |i: u32| format!("http://{i}/{}", "/".repeat(10_000));
        metainfo.trackers = (0..4).map(|i| vec![long(i)]).collect();
        let link = format(&metainfo);
        assert!(link.len() <= MAX_LEN);
        assert_eq!(parse(&link).unwrap().trackers, metainfo.trackers[..2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_is_read(
            info in any_info(),
            tiers in vec(vec("[a-z]{3,5}://[a-z0-9.:/?=&%é +#-]{1,30}", 0..3), 0..3),
            peers in prop::collection::hash_set("[a-z0-9.é]{1,10}:[1-9][0-9]{0,3}", 0..3),
        ) {
            let metainfo = Metainfo {
                trackers: tiers,
                peers: peers.into_iter().collect(),
                ..Metainfo::new(info)
            };
            let read = parse(&format(&metainfo)).unwrap();
            let mut flat: Vec<_> = Vec::new();
            for url in metainfo.trackers.iter().flatten() {
                if !flat.contains(url) {
                    flat.push(url.clone());
                }
            }
            prop_assert_eq!(&read.info, &metainfo.info);
            prop_assert_eq!(read.trackers.concat(), flat);
            prop_assert!(read.trackers.iter().all(|tier| tier.len() == 1));
            prop_assert_eq!(&read.peers, &metainfo.peers);
            prop_assert_eq!(parse(&format(&read)), Ok(read));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}", query in "[a-z.=&%0-9é#]{0,200}") {
            prop_assert!(parse(&text).is_err());
            let link = format!("livetorrent:?{query}");
            prop_assert!(parse(&link).is_err());
        }

        #[test]
        fn no_damage_makes_the_reader_panic(at: Index, cut: Index, text in "[%&=#?ü0-9]{0,4}") {
            let mut link: Vec<char> = link().chars().collect();
            let at = at.index(link.len());
            link.splice(at..=at, text.chars());
            link.truncate(link.len() - cut.index(link.len() / 4));
            let original = Metainfo::parse(FILE).unwrap();
            // What a damaged link leads to is the same stream or nothing.
            if let Ok(read) = parse(&link.into_iter().collect::<String>()) {
                prop_assert_eq!(read.info, original.info);
            }
        }
    }
}
