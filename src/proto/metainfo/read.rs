// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Reads a `.tstream`, with every refusal of PROTOCOL §1.

use sha1::{Digest, Sha1};

use super::{
    AUTH_METHOD, Info, Infohash, MAX_CONTACTS, Metainfo, MetainfoError, Tiers, VERSION,
    bencode::{Value, check_whole, each_item, each_pair},
    check_piece_length, lap_of,
};
use crate::proto::key::PublicKey;

/// SHA-1 of the bytes of an `info` dictionary.
pub(super) fn infohash(info: &[u8]) -> Infohash {
    Infohash(Sha1::digest(info).into())
}

/// Reads a file.
pub(super) fn parse(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
    check_whole(bytes)?;
    let mut info = None;
    let mut tiers = Tiers::default();
    tiers.open();
    let mut nodes = Vec::new();
    let (mut created_by, mut creation_date) = (None, None);
    let (mut speed, mut title) = (None, None);
    each_pair(bytes, |key, value| {
        match key {
            // Keys are sorted, so it comes before the list and leads the first tier.
            b"announce" => tiers.add(value.text("announce")?),
            b"announce-list" => read_tiers(value, &mut tiers)?,
            b"azureus_properties" => (speed, title) = read_azureus(value)?,
            b"created by" => created_by = Some(value.text("created by")?.to_owned()),
            b"creation date" => creation_date = Some(read_date(value)?),
            b"info" => info = Some(read_info(value.dict("info")?)?),
            b"nodes" => nodes = read_nodes(value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(Metainfo {
        info: info.ok_or(MetainfoError::Missing("info"))?,
        trackers: tiers.finish(),
        nodes,
        created_by,
        creation_date,
        speed,
        title,
        peers: Vec::new(),
    })
}

fn read_date(value: Value<'_>) -> Result<i64, MetainfoError> {
    value.integer().ok_or(MetainfoError::Type {
        key: "creation date",
        expected: "an integer of 64 bits",
    })
}

fn read_tiers(value: Value<'_>, tiers: &mut Tiers) -> Result<(), MetainfoError> {
    let wrong = MetainfoError::Type {
        key: "announce-list",
        expected: "a list of lists of UTF-8 strings",
    };
    each_item(value, &wrong, |tier| {
        each_item(tier, &wrong, |url| {
            tiers.add(url.text("announce-list").map_err(|_| wrong.clone())?);
            Ok(())
        })?;
        tiers.open();
        Ok(())
    })
}

fn read_nodes(value: Value<'_>) -> Result<Vec<(String, u16)>, MetainfoError> {
    let wrong = MetainfoError::Type {
        key: "nodes",
        expected: "a list of lists of a host and a port",
    };
    let mut nodes = Vec::new();
    each_item(value, &wrong, |node| {
        let mut parts = Vec::with_capacity(2);
        each_item(node, &wrong, |part| {
            if parts.len() == 2 {
                return Err(wrong.clone());
            }
            parts.push(part);
            Ok(())
        })?;
        let [host, port] = parts[..] else {
            return Err(wrong.clone());
        };
        let host = host.text("nodes").map_err(|_| wrong.clone())?;
        let port = port.integer().filter(|port| *port != 0);
        let port = port
            .filter(|_| !host.is_empty())
            .ok_or_else(|| wrong.clone())?;
        if nodes.len() < MAX_CONTACTS {
            nodes.push((host.to_owned(), port));
        }
        Ok(())
    })?;
    Ok(nodes)
}

/// The advisory speed and title.
fn read_azureus(value: Value<'_>) -> Result<(Option<u64>, Option<String>), MetainfoError> {
    let (mut speed, mut title) = (None, None);
    each_pair(value.dict("azureus_properties")?, |key, value| {
        if key != b"Content" {
            return Ok(());
        }
        each_pair(value.dict("azureus_properties.Content")?, |key, value| {
            match key {
                b"Speed Bps" => {
                    speed = Some(value.unsigned("azureus_properties.Content.Speed Bps")?);
                }
                b"Title" => {
                    title = Some(value.text("azureus_properties.Content.Title")?.to_owned());
                }
                _ => {}
            }
            Ok(())
        })
    })?;
    Ok((speed, title))
}

/// The value of a key that must be there.
fn need<'a>(value: Option<Value<'a>>, key: &'static str) -> Result<Value<'a>, MetainfoError> {
    value.ok_or(MetainfoError::Missing(key))
}

fn unknown(dict: &'static str, key: &[u8]) -> MetainfoError {
    /// Bytes of a key that an error shows.
    const SHOWN: usize = 64;
    let key = String::from_utf8_lossy(&key[..key.len().min(SHOWN)]).into_owned();
    MetainfoError::Unknown { dict, key }
}

fn read_info(raw: &[u8]) -> Result<Info, MetainfoError> {
    let (mut length, mut live, mut name, mut piece_length) = (None, None, None, None);
    let mut surplus = None;
    each_pair(raw, |key, value| {
        match key {
            b"length" => length = Some(value),
            b"live" => live = Some(value),
            b"name" => name = Some(value),
            b"piece length" => piece_length = Some(value),
            _ => surplus = surplus.or(Some(key)),
        }
        Ok(())
    })?;
    // The version goes first: a later one may have other keys, and it is what to tell then.
    let key = read_live(need(live, "info.live")?.dict("info.live")?)?;
    if let Some(key) = surplus {
        return Err(unknown("info", key));
    }
    let piece_length = need(piece_length, "info.piece length")?.unsigned("info.piece length")?;
    let piece_length = check_piece_length(piece_length)?;
    let length = need(length, "info.length")?.unsigned("info.length")?;
    let name = need(name, "info.name")?.text("info.name")?;
    let info = Info::new(name, piece_length, lap_of(length, piece_length)?, key)?;
    Ok(Info {
        // Over the bytes as they stand. They are the ones that `info_bytes` gives, since canonical
        // bencode of these keys has one form.
        infohash: infohash(raw),
        ..info
    })
}

fn read_live(raw: &[u8]) -> Result<PublicKey, MetainfoError> {
    let (mut auth_method, mut pubkey, mut version) = (None, None, None);
    let mut surplus = None;
    each_pair(raw, |key, value| {
        match key {
            b"authmethod" => auth_method = Some(value),
            b"pubkey" => pubkey = Some(value),
            b"version" => version = Some(value),
            _ => surplus = surplus.or(Some(key)),
        }
        Ok(())
    })?;
    let version = need(version, "info.live.version")?.unsigned("info.live.version")?;
    if version != VERSION {
        return Err(MetainfoError::Version(version.to_string()));
    }
    let auth_method = need(auth_method, "info.live.authmethod")?.text("info.live.authmethod")?;
    if auth_method != AUTH_METHOD {
        return Err(MetainfoError::AuthMethod(
            auth_method.chars().take(64).collect(),
        ));
    }
    let pubkey = match need(pubkey, "info.live.pubkey")? {
        Value::Bytes(der) => PublicKey::from_der(der)?,
        _ => {
            return Err(MetainfoError::Type {
                key: "info.live.pubkey",
                expected: "a string",
            });
        }
    };
    match surplus {
        Some(key) => Err(unknown("info.live", key)),
        None => Ok(pubkey),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            MAX_LEN,
            tests::{any_info, key},
        },
        *,
    };
    use crate::proto::key::KeyError;
    use proptest::{collection::vec, option, prelude::*};
    use std::collections::BTreeMap;

    /// Made by OpenSSL and Python (tests/data/make-vectors.py).
    const VECTOR: &[u8] = include_bytes!("../../../tests/data/stream.tstream");
    const INFOHASH: &str = include_str!("../../../tests/data/infohash.hex");

    /// Bencode for tests, so that wrong files can be made too; a `Raw` goes in as it is.
    #[derive(Clone)]
    enum B {
        Raw(Vec<u8>),
        Dict(BTreeMap<Vec<u8>, Self>),
    }

    fn s(text: impl AsRef<[u8]>) -> B {
        let text = text.as_ref();
        B::Raw([format!("{}:", text.len()).as_bytes(), text].concat())
    }

    fn raw(text: &str) -> B {
        B::Raw(text.into())
    }

    fn d<const N: usize>(pairs: [(&str, B); N]) -> B {
        B::Dict(pairs.map(|(key, value)| (key.into(), value)).into())
    }

    impl B {
        fn bytes(&self) -> Vec<u8> {
            match self {
                Self::Raw(bytes) => bytes.clone(),
                Self::Dict(pairs) => {
                    let mut out = b"d".to_vec();
                    for (key, value) in pairs {
                        out.extend(s(key).bytes());
                        out.extend(value.bytes());
                    }
                    out.push(b'e');
                    out
                }
            }
        }

        /// With the value at a path replaced, added or (by nothing) removed.
        fn with(&self, path: &[&str], value: Option<Self>) -> Self {
            let Self::Dict(mut pairs) = self.clone() else {
                panic!("the path leads through dictionaries");
            };
            let [key, rest @ ..] = path else {
                panic!("the path is not empty");
            };
            let value = match (rest.is_empty(), value) {
                (true, value) => value,
                (false, value) => Some(pairs[key.as_bytes()].with(rest, value)),
            };
            match value {
                Some(value) => pairs.insert(key.as_bytes().to_vec(), value),
                None => pairs.remove(key.as_bytes()),
            };
            Self::Dict(pairs)
        }
    }

    fn good() -> B {
        let live = d([
            ("authmethod", s("ECDSA")),
            ("pubkey", s(key().to_der())),
            ("version", raw("i1e")),
        ]);
        let info = d([
            ("length", raw("i4194304e")),
            ("live", live),
            ("name", s("foo")),
            ("piece length", raw("i16384e")),
        ]);
        d([
            ("announce", s("http://192.0.2.1:7764/announce")),
            ("info", info),
        ])
    }

    fn error_of(path: &[&str], value: Option<B>) -> String {
        let bytes = good().with(path, value).bytes();
        Metainfo::parse(&bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_file_made_by_another_program_is_read_and_its_infohash_is_the_sha_1_of_its_info() {
        let metainfo = Metainfo::parse(VECTOR).unwrap();
        assert_eq!(metainfo.info.infohash().to_string(), INFOHASH);
        assert_eq!(metainfo.info.name(), "Zürich live");
        assert_eq!(metainfo.info.piece_length(), 16384);
        assert_eq!(metainfo.info.lap().npieces(), 512);
        assert_eq!(metainfo.info.key(), &key());
        let tiers = [
            ["http://192.0.2.1:7764/announce"],
            ["udp://tracker.example:6969"],
        ];
        assert_eq!(metainfo.trackers, tiers);
        assert_eq!(metainfo.nodes, [("router.example".to_owned(), 6881)]);
        assert_eq!(metainfo.created_by.as_deref(), Some("make-vectors.py"));
        assert_eq!(metainfo.creation_date, Some(1_767_225_600));
        assert_eq!(metainfo.speed, Some(500_000));
        assert_eq!(metainfo.title.as_deref(), Some("Limmatquai"));
        assert_eq!(metainfo.to_bytes(), VECTOR);
    }

    #[test]
    fn every_flipped_bit_of_info_is_refused_or_makes_another_stream() {
        let infohash = |bytes: &[u8]| Metainfo::parse(bytes).map(|file| file.info.infohash());
        let original = infohash(VECTOR);
        let start = VECTOR.windows(6).position(|w| w == b"4:info").unwrap() + 6;
        let end = VECTOR.windows(7).position(|w| w == b"5:nodes").unwrap();
        for bit in 0..VECTOR.len() * 8 {
            let mut bytes = VECTOR.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = infohash(&bytes);
            let inside = (start..end).contains(&(bit / 8));
            assert!(
                changed.is_err() || (changed == original) != inside,
                "bit {bit}"
            );
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for len in 0..VECTOR.len() {
            assert!(Metainfo::parse(&VECTOR[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn what_follows_the_dictionary_is_refused() {
        for tail in ["\n", "e", "de", "i1e"] {
            let bytes = [VECTOR, tail.as_bytes()].concat();
            assert_eq!(
                Metainfo::parse(&bytes),
                Err(MetainfoError::Trailing(tail.len()))
            );
        }
    }

    #[test]
    fn a_file_over_one_mebibyte_is_refused_and_one_of_just_that_is_read() {
        let padded = |len: usize| good().with(&["padding"], Some(s("x".repeat(len)))).bytes();
        let spare = MAX_LEN - padded(1_000_000).len() + 1_000_000;
        // The length prefix has one digit more from 1 000 000 on, as the measure above has.
        assert_eq!(padded(spare).len(), MAX_LEN);
        assert!(Metainfo::parse(&padded(spare)).is_ok());
        assert_eq!(
            Metainfo::parse(&padded(spare + 1)),
            Err(MetainfoError::TooLong)
        );
    }

    #[test]
    fn bencode_that_is_not_canonical_is_refused() {
        let text = String::from_utf8_lossy(&good().bytes()).into_owned();
        assert!(text.starts_with("d8:announce30:"));
        let announce = "8:announce1:a";
        let info = good().with(&["announce"], None).bytes();
        let info = &info[1..info.len() - 1];
        let file = |parts: &[&[u8]]| [b"d", parts.concat().as_slice(), b"e"].concat();
        assert!(Metainfo::parse(&file(&[announce.as_bytes(), info])).is_ok());
        for (case, bytes) in [
            ("unsorted", file(&[info, announce.as_bytes()])),
            (
                "repeated",
                file(&[announce.as_bytes(), announce.as_bytes(), info]),
            ),
            ("leading zero", file(&[b"8:announce01:a", info])),
            ("a key that is no string", file(&[b"i1ei1e", info])),
            ("a key without value", file(&[info, b"5:nodes"])),
            ("minus zero", file(&[b"4:aaaai-0e", info])),
            ("plus", file(&[b"4:aaaai+1e", info])),
            ("leading zero of an integer", file(&[b"4:aaaai01e", info])),
            ("empty integer", file(&[b"4:aaaaie", info])),
            (
                "too long a string",
                file(&[b"4:aaaa18446744073709551615:x", info]),
            ),
            (
                "too deep",
                file(&[b"4:aaaa", &[b'l'; 100], &[b'e'; 100], info]),
            ),
        ] {
            let error = Metainfo::parse(&bytes);
            assert!(
                matches!(error, Err(MetainfoError::Bencode(_))),
                "{case}: {error:?}"
            );
        }
        for bytes in ["", "le", "i1e", "2:de"] {
            let error = Metainfo::parse(bytes.as_bytes());
            assert_eq!(error, Err(MetainfoError::NotADictionary), "{bytes:?}");
        }
    }

    #[test]
    fn a_hundred_thousand_open_lists_are_an_error_and_no_overflow() {
        let bytes = [b"d4:aaaa".as_slice(), &[b'l'; 100_000]].concat();
        assert!(matches!(
            Metainfo::parse(&bytes),
            Err(MetainfoError::Bencode(_))
        ));
    }

    #[test]
    fn other_versions_methods_and_curves_are_refused_by_name() {
        let live = |key| ["info", "live", key];
        let version = error_of(&live("version"), Some(raw("i2e")));
        assert_eq!(
            version,
            "info.live.version is 2; this program reads version 1"
        );
        let method = error_of(&live("authmethod"), Some(s("RSA")));
        assert_eq!(
            method,
            "info.live.authmethod is \"RSA\"; this program reads \"ECDSA\""
        );
        let curve = include_bytes!("../../../tests/data/secp384r1.der");
        let curve = error_of(&live("pubkey"), Some(s(curve)));
        assert_eq!(
            curve,
            "info.live.pubkey: the key's curve is secp384r1; this program reads P-256"
        );
    }

    #[test]
    fn a_later_version_is_told_even_when_its_info_has_other_keys() {
        let later = good().with(&["info", "live", "version"], Some(raw("i2e")));
        for path in [&["info", "aaa"][..], &["info", "live", "zzz"]] {
            let bytes = later.with(path, Some(raw("i1e"))).bytes();
            let error = Metainfo::parse(&bytes);
            assert_eq!(error, Err(MetainfoError::Version("2".into())));
        }
    }

    #[test]
    fn each_key_of_info_must_be_there() {
        for path in [
            &["info"][..],
            &["info", "length"],
            &["info", "live"],
            &["info", "name"],
            &["info", "piece length"],
            &["info", "live", "authmethod"],
            &["info", "live", "pubkey"],
            &["info", "live", "version"],
        ] {
            assert_eq!(
                error_of(path, None),
                format!("{} is missing", path.join("."))
            );
        }
    }

    #[test]
    fn unknown_keys_are_refused_in_info_and_ignored_elsewhere() {
        let zero = || Some(raw("i0e"));
        assert_eq!(
            error_of(&["info", "pieces"], zero()),
            "info has the key \"pieces\", which version 1 does not know"
        );
        assert_eq!(
            error_of(&["info", "live", "bits"], zero()),
            "info.live has the key \"bits\", which version 1 does not know"
        );
        let plain = Metainfo::parse(&good().bytes()).unwrap();
        for (key, value) in [
            ("", raw("i0e")),
            ("comment", s("\u{0}")),
            ("url-list", raw("l1:ae")),
            ("zzz", raw("d1:ai99999999999999999999999999ee")),
            ("httpseeds", s([0xff, 0xfe])),
        ] {
            let bytes = good().with(&[key], Some(value)).bytes();
            assert_eq!(Metainfo::parse(&bytes).as_ref(), Ok(&plain), "{key}");
        }
    }

    #[test]
    fn a_known_key_of_the_wrong_type_is_refused_and_named() {
        let azureus = |key: &str, value| d([("Content", d([(key, value)]))]);
        for (path, value) in [
            (&["announce"][..], raw("i1e")),
            (&["announce"], s([0xff])),
            (&["announce-list"], s("http://a")),
            (&["announce-list"], raw("l1:ae")),
            (&["announce-list"], raw("lli1eee")),
            (&["azureus_properties"], raw("le")),
            (&["azureus_properties"], d([("Content", raw("i1e"))])),
            (&["azureus_properties"], azureus("Speed Bps", s("5"))),
            (&["azureus_properties"], azureus("Speed Bps", raw("i-1e"))),
            (&["azureus_properties"], azureus("Title", raw("i1e"))),
            (&["created by"], raw("i1e")),
            (&["creation date"], s("2026")),
            (&["creation date"], raw("i9223372036854775808e")),
            (&["info"], s("x")),
            (&["info", "length"], s("x")),
            (&["info", "length"], raw("i-1e")),
            (&["info", "length"], raw("i18446744073709551616e")),
            (&["info", "live"], raw("le")),
            (&["info", "live", "authmethod"], raw("i1e")),
            (&["info", "live", "pubkey"], raw("i1e")),
            (&["info", "live", "version"], s("1")),
            (&["info", "name"], raw("i1e")),
            (&["info", "name"], s([0xff])),
            (&["info", "piece length"], s("16384")),
            (&["nodes"], s("x")),
            (&["nodes"], raw("l1:ae")),
            (&["nodes"], raw("ll1:aee")),
            (&["nodes"], raw("ll1:ai0eee")),
            (&["nodes"], raw("ll0:i1eee")),
            (&["nodes"], raw("ll1:ai65536eee")),
            (&["nodes"], raw("ll1:ai1ei1eee")),
        ] {
            let error = error_of(path, Some(value));
            assert!(error.starts_with(&path.join(".")), "{error}");
            assert!(error.contains(" is not "), "{error}");
        }
    }

    #[test]
    fn lengths_and_names_out_of_bounds_are_refused() {
        let length = |n: u64| Some(raw(&format!("i{n}e")));
        let path = &["info", "length"];
        for npieces in [0, 255, (1 << 20) + 1, 1 << 40] {
            assert_eq!(
                error_of(path, length(npieces * 16384)),
                MetainfoError::Pieces(npieces).to_string()
            );
        }
        assert_eq!(
            error_of(path, length(4_194_305)),
            "info.length is 4194305, no multiple of the piece length 16384"
        );
        for piece_length in [0, 1023, (1 << 20) + 1, u64::from(u32::MAX) + 1024] {
            let error = error_of(&["info", "piece length"], length(piece_length));
            assert_eq!(error, MetainfoError::PieceLength(piece_length).to_string());
        }
        for name in ["", ".", "..", "a/b", "a\u{0}"] {
            let error = error_of(&["info", "name"], Some(s(name)));
            assert!(
                error.starts_with("the stream's name (info.name) "),
                "{error}"
            );
        }
    }

    #[test]
    fn announce_leads_the_first_tier_and_empty_or_repeated_trackers_are_left_out() {
        let trackers = |announce: Option<&str>, list: &str| {
            let file = good().with(&["announce"], announce.map(s));
            let bytes = file.with(&["announce-list"], Some(raw(list))).bytes();
            Metainfo::parse(&bytes).unwrap().trackers
        };
        assert_eq!(trackers(Some("a"), "le"), [["a"]]);
        assert_eq!(trackers(Some("a"), "ll1:aee"), [["a"]]);
        assert_eq!(trackers(Some("a"), "ll1:b1:aee"), [["a", "b"]]);
        assert_eq!(
            trackers(Some("a"), "ll1:bel1:cee"),
            [vec!["a", "b"], vec!["c"]]
        );
        assert_eq!(trackers(Some("a"), "ll1:bel1:aee"), [["a", "b"]]);
        assert_eq!(trackers(None, "ll1:bel1:cee"), [["b"], ["c"]]);
        assert_eq!(trackers(Some("a"), "llel0:el1:b1:bee"), [["a"], ["b"]]);
        assert!(trackers(Some(""), "le").is_empty());
        assert!(trackers(None, "le").is_empty());
    }

    #[test]
    fn no_more_trackers_and_nodes_are_kept_than_the_limit() {
        let many = |item: fn(usize) -> String| {
            let items: String = (0..1000).map(item).collect();
            Some(raw(&format!("l{items}e")))
        };
        let file = good().with(&["announce-list"], many(|i| format!("l4:{i:04}e")));
        let file = file.with(&["nodes"], many(|i| format!("l4:{i:04}i1ee")));
        let metainfo = Metainfo::parse(&file.bytes()).unwrap();
        let trackers = metainfo.trackers.iter().flatten().count();
        assert_eq!(trackers, MAX_CONTACTS);
        assert_eq!(metainfo.nodes.len(), MAX_CONTACTS);
    }

    #[test]
    fn a_key_that_cannot_be_read_keeps_its_own_error() {
        let bytes = good()
            .with(&["info", "live", "pubkey"], Some(s([0; 12])))
            .bytes();
        assert_eq!(
            Metainfo::parse(&bytes),
            Err(MetainfoError::Key(KeyError::Length(12)))
        );
    }

    fn any_metainfo() -> impl Strategy<Value = Metainfo> {
        let tier = vec("[a-z]{3,5}://[a-z0-9.:/?=&%é-]{1,30}", 1..4);
        (
            any_info(),
            vec(tier, 0..4),
            vec(("[a-z0-9.:é]{1,20}", 1..=u16::MAX), 0..4),
            (option::of(".{0,20}"), option::of(any::<i64>())),
            (option::of(any::<u64>()), option::of(".{0,20}")),
        )
            .prop_map(|(info, mut trackers, nodes, created, content)| {
                let mut seen = std::collections::HashSet::new();
                trackers
                    .iter_mut()
                    .for_each(|tier| tier.retain(|url| seen.insert(url.clone())));
                trackers.retain(|tier| !tier.is_empty());
                Metainfo {
                    trackers,
                    nodes,
                    created_by: created.0,
                    creation_date: created.1,
                    speed: content.0,
                    title: content.1,
                    ..Metainfo::new(info)
                }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_is_read(metainfo in any_metainfo()) {
            let bytes = metainfo.to_bytes();
            let read = Metainfo::parse(&bytes).unwrap();
            // Equal infohashes too: the one over the bytes and the one of `Info::new`.
            prop_assert_eq!(&read, &metainfo);
            prop_assert_eq!(read.to_bytes(), bytes);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..300)) {
            prop_assert!(Metainfo::parse(&bytes).is_err());
        }

        #[test]
        fn no_damage_makes_the_reader_panic(
            metainfo in any_metainfo(),
            hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
            insert in vec(prop::sample::select(&b"0123456789:ilde-"[..]), 0..6),
        ) {
            let mut bytes = metainfo.to_bytes();
            for (at, byte) in hits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let at = cut.index(bytes.len());
            bytes.splice(at..at, insert);
            if let Ok(read) = Metainfo::parse(&bytes) {
                prop_assert_eq!(Metainfo::parse(&read.to_bytes()), Ok(read));
            }
        }
    }
}
