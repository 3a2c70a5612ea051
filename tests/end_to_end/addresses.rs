// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! IPv4 and IPv6 side by side. What routers make of addresses `tests/nat.sh` tries.

use std::{fs, io::Write, path::Path};

use crate::support::{
    NOWHERE,
    capture::Capture,
    fed_sink,
    fixture::{self, CLIP},
    metainfo,
    pipeline::Pipeline,
    process::Launch,
    transport::Transport,
};

/// A file of the same stream that names these trackers alone.
fn file(of: &Path, name: &str, urls: &[&str]) -> String {
    let mut changed = metainfo(of);
    changed.trackers = urls.iter().map(|url| vec![(*url).to_owned()]).collect();
    let file = of.with_file_name(name);
    fs::write(&file, changed.to_bytes()).unwrap();
    file.display().to_string()
}

fn watch(file: &str, properties: &str) -> (Pipeline, Capture) {
    let (viewer, bytes) = Pipeline::viewer(&format!("location={file} lsd=false {properties}"));
    viewer.play();
    (viewer, bytes)
}

#[test]
fn viewers_of_one_family_each_see_the_same_and_those_of_both_relay_across() {
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let stream = Transport::new(&input);
    let folder = tempfile::tempdir().unwrap();
    // It listens on 0.0.0.0 and ::, which is the default.
    let mut sink = Launch::new(&fed_sink(folder.path(), "port=0"));
    let mut feed = sink.feed();
    let port = sink.port();
    let of = folder.path().join("foo.tstream");
    let url = |host: &str| format!("http://{host}:{port}/announce");
    let (four, six) = (url("127.0.0.1"), url("[::1]"));
    let by_four = file(&of, "four.tstream", &[&four]);
    let by_six = file(&of, "six.tstream", &[&six]);
    let by_both = file(&of, "both.tstream", &[&four, &six]);
    let nowhere = file(&of, "nowhere.tstream", &[NOWHERE]);

    let only_four = watch(&by_four, "address=127.0.0.1");
    let only_six = watch(&by_six, "address=::1");
    // These are called by either family, and came by one.
    let between = [&by_four, &by_six].map(|file| watch(file, ""));
    let ports = between.each_ref().map(|(viewer, _)| viewer.port("src"));
    // These have the other one, and know nobody else.
    let alone = |address: &str, peer: String| {
        watch(
            &nowhere,
            &format!("address={address} peers={peer} pex=false"),
        )
    };
    let behind = [
        alone("::1", format!("[::1]:{}", ports[0])),
        alone("127.0.0.1", format!("127.0.0.1:{}", ports[1])),
    ];
    let both = watch(&by_both, "");
    let beginning = stream.offset_at(1.5);
    feed.write_all(&input[..beginning]).unwrap();
    let everybody = || {
        let some = [&only_four, &only_six, &both];
        between.iter().chain(&behind).chain(some)
    };
    for (_, bytes) in everybody() {
        bytes.wait_for(1);
    }
    for ((viewer, _), host) in behind.iter().zip(["[::1]", "127.0.0.1"]) {
        let peers = viewer.peers("src");
        assert_eq!(peers.len(), 1, "{peers:?}");
        assert!(peers[0].starts_with(host), "{peers:?}");
    }
    // Whoever has both ways to the source keeps one.
    let to_source = |peer: &&String| peer.ends_with(&format!(":{port}"));
    let peers = both.0.peers("src");
    assert_eq!(peers.iter().filter(to_source).count(), 1, "{peers:?}");
    feed.write_all(&input[beginning..]).unwrap();
    drop(feed);
    for (viewer, bytes) in everybody() {
        stream.joined_by(&bytes.wait_for_end(), true);
        assert_eq!(bytes.holes(), [0], "the start, and no hole after it");
        assert_eq!(viewer.stat("src", "pieces-rejected"), 0);
    }
    assert!(sink.wait_for_exit().success());
}
