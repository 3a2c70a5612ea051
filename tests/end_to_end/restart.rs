// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The same name again: one `.tstream` for every broadcast under one key.

use std::{fs, io::Write, path::Path};

use crate::support::{
    capture::Capture,
    fed_sink,
    fixture::{self, CLIP, TELEVISION},
    metainfo,
    peer::Peer,
    pipeline::Pipeline,
    process::Launch,
    transport::{PACKET, Transport},
};

/// The newest sequence of the source that listens at `port`.
fn tip(port: u16, tstream: &Path) -> u64 {
    let info = metainfo(tstream).info;
    let mut peer = Peer::connect(port, info.infohash(), *b"-TE0001-looks around", info.lap())
        .expect("the source answers");
    peer.greet(None).unwrap();
    peer.wait_for_tip().unwrap()
}

/// What comes after one of the next DISCONTs, of which there were `holes` before, is `input` from
/// some start on. Before that there may be holes that a source left that died with pieces which
/// nobody had.
fn follows(capture: &Capture, holes: usize, stream: &Transport<'_>, input: &[u8]) {
    // A viewer that stayed goes on with the first piece of the new start, or at a random access
    // point; stream headers may stand in front.
    let starts: Vec<usize> = [0]
        .into_iter()
        .chain(stream.random_access_points())
        .collect();
    let new_broadcast = |hole: usize| {
        capture.wait_for(hole + 4 * PACKET);
        let seen = &capture.bytes()[hole..];
        starts
            .iter()
            .flat_map(|start| [(*start, 0), (*start, 2 * PACKET)])
            .find(|(start, headers)| input[*start..].starts_with(&seen[*headers..]))
    };
    // The wait for a hole that never comes ends the test.
    let (hole, (start, headers)) = (holes..)
        .map(|number| capture.wait_for_hole(number))
        .find_map(|hole| Some((hole, new_broadcast(hole)?)))
        .expect("there is always one more hole");
    let whole = hole + headers + input.len() - start;
    capture.wait_for(whole);
    assert_eq!(capture.bytes()[hole + headers..whole], input[start..]);
}

#[test]
fn a_viewer_that_stayed_up_shows_the_next_broadcasts_and_sequences_go_up() {
    let inputs = [TELEVISION, CLIP].map(|pipeline| fs::read(fixture::file(pipeline)).unwrap());
    let streams = inputs.each_ref().map(|input| Transport::new(input));
    let folder = tempfile::tempdir().unwrap();
    let tstream = folder.path().join("foo.tstream");
    let restart_file = folder.path().join("foo.restart");

    // The first broadcast dies without a word.
    let mut sink = Launch::new(&fed_sink(folder.path(), "port=0 sync=false"));
    let port = sink.port();
    let infohash = metainfo(&tstream).info.infohash();
    let file = fs::read(&tstream).unwrap();
    let key = fs::read(folder.path().join("foo.sauth")).unwrap();
    let (viewer, bytes) = Pipeline::viewer(&format!("location={} latency=200", tstream.display()));
    viewer.play();
    let mut feed = sink.feed();
    feed.write_all(&inputs[0]).unwrap();
    bytes.wait_for(1);
    let first_tip = tip(port, &tstream);
    sink.kill();

    // The second one comes after kill -9, the third after the restart file was lost as well.
    let mut last_tip = first_tip;
    for (round, lost) in [(1, false), (0, true)] {
        let holes = bytes.holes().len();
        if lost {
            fs::remove_file(&restart_file).unwrap();
        }
        let again = format!("port={port} sync=false drain-timeout=0");
        let mut sink = Launch::new(&fed_sink(folder.path(), &again));
        assert_eq!(sink.port(), port);
        let mut feed = sink.feed();
        feed.write_all(&inputs[round]).unwrap();
        follows(&bytes, holes, &streams[round], &inputs[round]);
        let tip = tip(port, &tstream);
        assert!(tip > last_tip, "{tip} after {last_tip}");
        last_tip = tip;
        assert_eq!(metainfo(&tstream).info.infohash(), infohash);
        sink.kill();
    }
    assert_eq!(
        fs::read(&tstream).unwrap(),
        file,
        "the file stays as it was"
    );
    assert_eq!(fs::read(folder.path().join("foo.sauth")).unwrap(), key);
}

#[test]
fn the_next_start_of_an_interrupted_broadcast_has_its_file_and_higher_sequences() {
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tstream = folder.path().join("foo.tstream");
    let mut tips = Vec::new();
    let mut infohashes = Vec::new();
    for _ in 0..3 {
        let mut sink = Launch::new(&fed_sink(folder.path(), "port=0 sync=false"));
        let port = sink.port();
        let mut feed = sink.feed();
        feed.write_all(&input).unwrap();
        tips.push(tip(port, &tstream));
        infohashes.push(metainfo(&tstream).info.infohash());
        sink.interrupt();
        sink.wait_for_exit();
    }
    assert!(tips.is_sorted_by(|a, b| a < b), "{tips:?}");
    assert!(infohashes.iter().all(|infohash| *infohash == infohashes[0]));
}
