// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A transport stream to places where it may be cut.

use std::fs;

use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use gst::prelude::*;
use gstlivetorrent::mpegts::{Aligner, Cutter, PACKET_LEN, Packet, StreamClock};

/// Ten seconds of a test picture with sound, as mpegtsmux writes them.
fn television() -> Vec<u8> {
    gst::init().expect("GStreamer is there");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=250 pattern=snow ! video/x-raw,width=640,height=360,framerate=25/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max=25 ! queue ! mux. \
         audiotestsrc num-buffers=430 ! audio/x-raw,rate=44100 ! voaacenc ! aacparse ! queue ! mux. \
         mpegtsmux name=mux ! filesink location={}",
        file.path().display()
    ))
    .expect("the elements are there");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let bus = pipeline.bus().expect("every pipeline has a bus");
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).expect("it stops");
    assert!(
        end.is_some_and(|message| message.type_() == gst::MessageType::Eos),
        "no test picture could be made"
    );
    fs::read(file.path()).expect("what was written can be read")
}

fn packets(stream: &[u8]) -> &[Packet] {
    let (packets, rest) = stream.as_chunks::<PACKET_LEN>();
    assert!(rest.is_empty() && packets.len() > 10_000);
    packets
}

/// Where a decoder can start, of each packet.
#[divan::bench(sample_count = 50)]
fn cut(bencher: Bencher<'_, '_>) {
    let stream = television();
    let packets = packets(&stream);
    bencher
        .counter(ItemsCount::new(packets.len()))
        .counter(BytesCount::of_slice(&stream))
        .bench_local(|| {
            let mut cutter = Cutter::default();
            let accesses = packets
                .iter()
                .filter(|packet| cutter.packet(packet).random_access);
            black_box(accesses.count())
        });
}

/// What finds packets in buffers of seven, and calls the cutter for each.
#[divan::bench(sample_count = 50)]
fn align_and_cut(bencher: Bencher<'_, '_>) {
    let stream = television();
    let count = packets(&stream).len();
    bencher
        .counter(ItemsCount::new(count))
        .counter(BytesCount::of_slice(&stream))
        .bench_local(|| {
            let (mut aligner, mut cutter) = (Aligner::default(), Cutter::default());
            let mut accesses = 0;
            for buffer in stream.chunks(7 * PACKET_LEN) {
                aligner.push(buffer, |packet| {
                    accesses += usize::from(cutter.packet(packet).random_access);
                });
            }
            black_box(accesses)
        });
}

/// The clock that paces a file.
#[divan::bench(sample_count = 50)]
fn clock(bencher: Bencher<'_, '_>) {
    let stream = television();
    let packets = packets(&stream);
    bencher
        .counter(ItemsCount::new(packets.len()))
        .bench_local(|| {
            let mut clock = StreamClock::default();
            for packet in packets {
                black_box(clock.packet(packet));
            }
        });
}
