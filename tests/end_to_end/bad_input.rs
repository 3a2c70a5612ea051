// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is wrong ends in one clear error, a status that is not zero, and no file touched.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::support::{fed_sink, process::Launch};

/// A whole `.tstream` file, its key beside it, as the sink leaves them in `folder`.
fn broadcast_files(folder: &Path) -> (PathBuf, Vec<u8>) {
    let mut sink = Launch::new(&fed_sink(folder, "port=0"));
    sink.port();
    drop(sink.feed());
    sink.wait_for_exit();
    let tstream = folder.join("foo.tstream");
    let bytes = fs::read(&tstream).unwrap();
    (tstream, bytes)
}

/// Every file in `folder` with its bytes and the time it was written.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            (path.clone(), fs::read(path).unwrap(), time)
        })
        .collect();
    files.sort();
    files
}

/// Runs a pipeline that must fail with one error that says all of `words`.
fn fails(pipeline: &[String], words: &[&str]) {
    let mut launch = Launch::new(pipeline);
    drop(launch.feed());
    let status = launch.wait_for_exit();
    let said = launch.said();
    assert!(!status.success(), "it ends well: {said}");
    let mut errors = launch.errors();
    // gst-launch-1.0 can miss an error in PAUSED; the source then says the same again in PLAYING.
    errors.dedup();
    assert_eq!(errors.len(), 1, "one error: {said}");
    let (_, told) = said.split_once("ERROR").unwrap();
    for word in words {
        assert!(told.contains(word), "'{word}' is not in: {told}");
    }
}

fn viewer(location: &str) -> Vec<String> {
    [
        "livetorrentsrc",
        &format!("location={location}"),
        "!",
        "fakesink",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Replaces the only occurrence of `from`.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let found: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect();
    let [at] = found[..] else {
        panic!("{} times", found.len());
    };
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// A SubjectPublicKeyInfo on the curve with this object identifier.
fn public_key(curve: &[u8], coordinate: usize) -> Vec<u8> {
    let ec_public_key = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let algorithm = [&ec_public_key[..], curve].concat();
    let mut point = vec![0x00, 0x04];
    point.extend(std::iter::repeat_n(0x17, 2 * coordinate));
    let mut der = vec![0x30, (4 + algorithm.len() + point.len()) as u8];
    der.extend_from_slice(&[0x30, algorithm.len() as u8]);
    der.extend_from_slice(&algorithm);
    der.extend_from_slice(&[0x03, point.len() as u8]);
    der.extend_from_slice(&point);
    der
}

#[test]
fn a_file_that_is_no_stream_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let (tstream, good) = broadcast_files(folder.path());
    let bad = folder.path().join("bad.tstream");
    let location = bad.display().to_string();
    let (_, after) = {
        let at = good.windows(9).position(|w| w == b"6:pubkey9").unwrap();
        good.split_at(at)
    };
    let key = &after[..b"6:pubkey91:".len() + 91];
    let with_key = |der: Vec<u8>| {
        let mut entry = format!("6:pubkey{}:", der.len()).into_bytes();
        entry.extend_from_slice(&der);
        replace(&good, key, &entry)
    };
    let p384 = public_key(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22], 48);
    let secp256k1 = public_key(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a], 32);

    let cases: [(&str, Vec<u8>, &[&str]); 9] = [
        ("empty", Vec::new(), &[]),
        ("truncated", good[..good.len() / 2].to_vec(), &[]),
        ("one byte short", good[..good.len() - 1].to_vec(), &[]),
        ("oversized", vec![b'9'; (1 << 20) + 1], &[]),
        ("with something after it", [&good[..], b"x"].concat(), &[]),
        ("no bencode", b"<html>not found</html>".to_vec(), &[]),
        (
            "version 2",
            replace(&good, b"7:versioni1e", b"7:versioni2e"),
            &["version"],
        ),
        ("on P-384", with_key(p384), &["curve"]),
        ("on secp256k1", with_key(secp256k1), &["curve"]),
    ];
    for (what, bytes, words) in cases {
        println!("{what}");
        fs::write(&bad, bytes).unwrap();
        let before = contents(folder.path());
        fails(&viewer(&location), &[&[location.as_str()], words].concat());
        assert_eq!(contents(folder.path()), before, "{what}");
    }
    assert_eq!(fs::read(tstream).unwrap(), good);
}

#[test]
fn a_missing_file_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.tstream");
    fails(
        &viewer(&missing.display().to_string()),
        &["missing.tstream"],
    );
    fails(
        &viewer(&folder.path().display().to_string()),
        &[folder.path().to_str().unwrap()],
    );
    // Nobody listens at port 1.
    fails(
        &viewer("http://127.0.0.1:1/foo.tstream"),
        &["http://127.0.0.1:1/foo.tstream"],
    );
    fails(&viewer("livetorrent:?xt=urn:btih:00"), &[]);
    fails(
        &["livetorrentsrc", "!", "fakesink"].map(str::to_owned),
        &["location"],
    );
    assert_eq!(contents(folder.path()), []);
}

#[test]
fn a_key_that_cannot_be_read_is_one_error_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    broadcast_files(folder.path());
    let key = folder.path().join("foo.sauth");
    for damage in [
        &b""[..],
        b"-----BEGIN PRIVATE KEY-----\nMIGH",
        b"\xff\x00 no text",
    ] {
        fs::write(&key, damage).unwrap();
        let before = contents(folder.path());
        fails(&fed_sink(folder.path(), "port=0"), &["foo.sauth"]);
        assert_eq!(contents(folder.path()), before);
    }
    // A folder of its name cannot be read either, by nobody.
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    let before = contents(folder.path());
    fails(&fed_sink(folder.path(), "port=0"), &["foo.sauth"]);
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_taken_port_is_one_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    broadcast_files(folder.path());
    let before = contents(folder.path());
    fails(
        &fed_sink(folder.path(), &format!("port={port}")),
        &[&port.to_string()],
    );
    assert_eq!(contents(folder.path()), before);
    let location = folder.path().join("foo.tstream").display().to_string();
    let mut words = viewer(&location);
    words.insert(2, format!("port={port}"));
    fails(&words, &[&port.to_string()]);
}

#[test]
fn a_folder_that_takes_no_file_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    // Below a file, and in a file system that makes no files: root is refused there as well.
    let file = folder.path().join("file");
    fs::write(&file, "kept").unwrap();
    let before = contents(folder.path());
    for place in [
        file.as_path(),
        Path::new("/proc"),
        &folder.path().join("missing"),
    ] {
        fails(&fed_sink(place, "port=0"), &[place.to_str().unwrap()]);
    }
    assert_eq!(contents(folder.path()), before);
    assert!(!folder.path().join("missing").exists());
}
