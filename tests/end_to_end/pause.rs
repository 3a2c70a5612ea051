// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A viewer that is paused.

use std::{fs, io::Write};

use crate::support::{
    fed_sink,
    fixture::{self, CLIP},
    pipeline::Pipeline,
    process::Launch,
    transport::Transport,
};

#[test]
fn a_viewer_that_keeps_its_position_goes_on_where_it_was_paused() {
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let stream = Transport::new(&input);
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Launch::new(&fed_sink(folder.path(), "port=0"));
    let mut feed = sink.feed();
    sink.port();
    let location = folder.path().join("foo.tstream");
    let (viewer, bytes) = Pipeline::viewer(&format!(
        "location={} latency=200 keep-position=true",
        location.display()
    ));
    viewer.play();
    let beginning = stream.offset_at(3.0);
    feed.write_all(&input[..beginning]).unwrap();
    bytes.wait_for(beginning / 2);
    viewer.set_state(gst::State::Paused);
    feed.write_all(&input[beginning..]).unwrap();
    drop(feed);
    // A paused viewer still takes part: it holds the end before the source goes.
    assert!(sink.wait_for_exit().success());
    viewer.play();
    viewer.wait_for_eos();
    stream.joined_by(&bytes.wait_for_end(), true);
    assert_eq!(bytes.holes(), [0], "the start, and no hole after it");
}
