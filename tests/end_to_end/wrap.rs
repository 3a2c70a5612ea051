// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Sequences go on when the lap's indices begin again.

use std::{fs, time::Instant};

use gst::prelude::*;

use crate::support::{
    fixture::{self, CLIP, numbered_packets},
    metainfo,
    pipeline::Pipeline,
    transport::{PACKET, Transport},
};

/// The smallest lap, and the default piece length.
const LAP: usize = 256 * 16 * 1024;
/// Packets handed to the sink in one buffer: 10 ms at 20 Mbit/s.
const CHUNK: usize = 132;
/// How far the viewer may fall behind what was handed in: a quarter of the window, so that the test
/// judges the laps and not the speed of the machine.
const AHEAD: usize = LAP / 8;
const LAPS: usize = 6;

#[test]
fn a_viewer_goes_round_the_smallest_lap_without_losing_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let tstream = folder.path().join("foo.tstream");
    // 2 s at 1 Mbit/s in pieces of 16 KiB, or of 100 ms, are fewer than the smallest lap.
    let source = Pipeline::new(&format!(
        "appsrc name=in format=bytes caps=video/mpegts,systemstream=true,packetsize=188 \
         ! livetorrentsink name=foo location={} port=0 public-address=127.0.0.1 \
         bitrate=1000000 duration=2000000000 max-bitrate=20000000",
        tstream.display()
    ));
    source.set_state(gst::State::Playing);
    source.port("foo");
    assert_eq!(metainfo(&tstream).info.lap().npieces(), 256);
    let appsrc = source.element("in");
    let push = |chunk: Vec<u8>| {
        let buffer = gst::Buffer::from_mut_slice(chunk);
        let flow: gst::FlowReturn = appsrc.emit_by_name("push-buffer", &[&buffer]);
        assert_eq!(flow, Ok(gst::FlowSuccess::Ok).into());
    };

    let (viewer, bytes) = Pipeline::viewer(&format!("location={} latency=0", tstream.display()));
    viewer.play();
    // Something to tune in to, then bytes of which no two packets are alike.
    let mut sent = fs::read(fixture::file(CLIP)).unwrap();
    push(sent.clone());
    bytes.wait_for(4 * PACKET);
    let start = Transport::new(&sent).joined_by(&bytes.bytes(), false).start;
    let preamble = 2 * PACKET;

    let began = Instant::now();
    let target = sent.len() + LAPS * LAP;
    while sent.len() < target {
        let chunk = numbered_packets((sent.len() / PACKET) as u64, CHUNK);
        sent.extend_from_slice(&chunk);
        push(chunk);
        bytes.wait_for((preamble + sent.len() - start).saturating_sub(AHEAD));
    }
    bytes.wait_for(preamble + sent.len() - start);
    println!(
        "{LAPS} laps at {:.1} Mbit/s",
        (LAPS * LAP) as f64 * 8.0 / began.elapsed().as_secs_f64() / 1e6
    );
    let _: gst::FlowReturn = appsrc.emit_by_name("end-of-stream", &[]);
    let output = bytes.wait_for_end();

    assert!(
        output[preamble..] == sent[start..],
        "{} bytes came, {} were sent from the start of the viewer on",
        output.len() - preamble,
        sent.len() - start
    );
    assert!(viewer.stat("src", "pieces-verified") >= 5 * 256);
    assert_eq!(viewer.stat("src", "pieces-skipped"), 0);
}
