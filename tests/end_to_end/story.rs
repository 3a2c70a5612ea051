// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What `GST_DEBUG=livetorrentsrc:5` tells of a join, an outage and a return.

use std::{fs, io::Write};

use crate::support::{
    fed_sink,
    fixture::{self, TELEVISION},
    process::Launch,
};

/// Lines at level 5 of the viewer, without time, process and place.
fn story(viewer: &Launch) -> Vec<String> {
    let lines = viewer.debug_lines().into_iter();
    let told = lines.filter(|line| line.contains("DEBUG") && line.contains("livetorrentsrc "));
    told.filter_map(|line| Some(line.split_once("> ")?.1.to_owned()))
        .collect()
}

/// Asserts that each part is in a line, and each of these lines after the one before.
fn in_order(story: &[String], parts: &[&str]) {
    let mut lines = story.iter();
    for part in parts {
        assert!(
            lines.any(|line| line.contains(part)),
            "{part:?} is not in its place in {story:#?}"
        );
    }
}

#[test]
fn the_log_tells_the_story_of_a_join_and_of_an_outage() {
    let input = fs::read(fixture::file(TELEVISION)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Launch::new(&fed_sink(folder.path(), "port=0 sync=false"));
    let port = sink.port();
    let mut feed = sink.feed();
    feed.write_all(&input[..input.len() / 2]).unwrap();
    let location = folder.path().join("foo.tstream");
    let words = format!(
        "livetorrentsrc location={} ! fakesink sync=false async=false",
        location.display()
    );
    let words: Vec<_> = words.split(' ').collect();
    let viewer = Launch::with_debug(&words, "livetorrentsrc:5");
    viewer.wait_for_debug("first byte");
    sink.kill();
    viewer.wait_for_debug("status is SourceAway now");

    let again = format!("port={port} sync=false drain-timeout=0");
    let mut sink = Launch::new(&fed_sink(folder.path(), &again));
    let mut feed = sink.feed();
    feed.write_all(&input).unwrap();
    viewer.wait_for_debug("resumed");
    for name in ["stalled", "source-away", "source-back", "resumed"] {
        viewer.wait_for_message(&format!("livetorrent-{name}"));
    }

    let story = story(&viewer);
    println!("{}", story.join("\n"));
    let source = format!("127.0.0.1:{port}");
    let calling = format!("calling {source}");
    let connected = format!("connected to {source}");
    let asking = format!("asking tracker http://{source}/announce");
    in_order(&story, &[&asking, "knows 1 peers"]);
    in_order(
        &story,
        &[
            &calling,
            &connected,
            "tip: 127.0.0.1",
            "entry: the random access point",
            "first byte: piece",
            "is gone: ",
            "late: piece",
            "stalled",
            "the source is away",
            &connected,
            "the source is back",
            "tip: 127.0.0.1",
            "all that came next has left the window",
            "first byte: piece",
            "resumed",
        ],
    );
    in_order(&story, &["has shaken hands", "has shaken hands"]);
    in_order(&story, &["status is Joining now", "status is Playing now"]);
    assert!(story.len() < 100, "{} lines are no story", story.len());
}
