// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A stream's clock begins again at 0 every 26.5 hours, in the middle of a picture if need be.

use std::{
    fs,
    io::Write,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use gst::prelude::*;

use crate::support::{
    PATIENCE, fed_sink,
    fixture::{self, TELEVISION},
    pipeline::Pipeline,
    process::{Launch, timed},
    stamps,
    transport::Transport,
};

/// When the clock wraps: late enough for a viewer to be there.
const WRAP: u64 = 9;
/// Far more than there is between two pictures, and far less than what a clock that is read wrongly
/// would make of it.
const GAP: gst::ClockTime = gst::ClockTime::from_seconds(1);

#[test]
fn a_stream_is_paced_and_shown_across_the_wrap_of_its_clock() {
    let input = fs::read(fixture::file(TELEVISION)).unwrap();
    let wrapping = stamps::wrapping_after(&input, WRAP);
    assert_eq!((stamps::wraps(&input), stamps::wraps(&wrapping)), (0, 1));
    let stream = Transport::new(&input);
    let end = stream.offset_at(12.0);
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Launch::new(&fed_sink(folder.path(), "port=0"));
    let mut feed = sink.feed();
    sink.port();

    let location = folder.path().join("foo.tstream");
    let location = location.display();
    let (viewer, bytes) = Pipeline::viewer(&format!("location={location} latency=300"));
    viewer.play();
    let screen = Pipeline::new(&format!(
        "livetorrentsrc location={location} latency=300 ! tsdemux ! h264parse ! avdec_h264 \
         ! fakesink name=screen signal-handoffs=true"
    ));
    let pictures: Arc<Mutex<Vec<gst::ClockTime>>> = Arc::default();
    let noted = Arc::clone(&pictures);
    let (tell, told) = mpsc::channel();
    screen
        .element("screen")
        .connect("handoff", false, move |values| {
            let sink = values[0].get::<gst::Element>().unwrap();
            let buffer = values[1].get::<gst::Buffer>().unwrap();
            let segment = sink
                .static_pad("sink")
                .unwrap()
                .sticky_event::<gst::event::Segment>(0);
            let segment = segment.unwrap().segment().clone();
            let segment = segment.downcast::<gst::ClockTime>().unwrap();
            noted
                .lock()
                .unwrap()
                .extend(segment.to_running_time(buffer.pts()));
            // Nobody waits but for the first.
            let _ = tell.send(());
            None
        });
    screen.play();

    // Both are there before the wrap: the stream goes on when they are.
    let beginning = stream.offset_at(3.0);
    feed.write_all(&wrapping[..beginning]).unwrap();
    bytes.wait_for(1);
    told.recv_timeout(PATIENCE).unwrap();
    let paced = timed(|| {
        feed.write_all(&wrapping[beginning..end]).unwrap();
        drop(feed);
        viewer.wait_for_eos();
    });
    screen.wait_for_eos();

    // The sink goes by the stream's clock: a wrap is no reason to hurry or to wait for a day.
    println!("9 s of stream took {paced:?}");
    assert!(paced >= Duration::from_secs(8), "{paced:?}");
    let sent = &wrapping[..end];
    let joined = Transport::new(sent).joined_by(&bytes.wait_for_end(), true);
    assert_eq!(viewer.stat("src", "stalls"), 0);

    let pictures = pictures.lock().unwrap();
    let gaps = pictures.windows(2).map(|pair| (pair[0], pair[1]));
    for (before, after) in gaps {
        assert!(
            before < after && after < before + GAP,
            "{before} then {after}"
        );
    }
    let sent = Transport::new(sent).pictures(joined.start);
    assert!(
        pictures.len() + 30 >= sent,
        "{} of {sent} pictures",
        pictures.len()
    );
}
