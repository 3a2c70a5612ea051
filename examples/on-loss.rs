// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Prints what a decoder makes of a stream with holes of one piece, shown on from the next byte (`on-loss=skip`)
//! or from the next key frame (`on-loss=next-keyframe`): pictures and sound that are missing, and pictures that
//! differ from the broadcaster's.
//!
//! usage: on-loss \[HOLES\]

use std::{
    error::Error,
    path::Path,
    sync::{Arc, Mutex},
};

use gst::prelude::*;

/// Bytes of a transport packet (ISO/IEC 13818-1 §2.4.3.2).
const PACKET: usize = 188;
/// Packets that a piece of 16 KiB holds.
const PIECE: usize = 86;
/// A picture that differs by more from the broadcaster's is not what was meant (dB).
const ALIKE: f64 = 30.0;
/// Pictures that one hole may cost, and that are looked at where none is exactly the same.
const LOST_AT_MOST: usize = 120;
const AROUND: usize = 8;
/// Seconds of stream for each hole.
const APART: usize = 3;

fn run(description: &str) -> Result<gst::Pipeline, Box<dyn Error>> {
    let pipeline = gst::parse::launch(description)?.downcast::<gst::Pipeline>();
    Ok(pipeline.map_err(|_| "no pipeline")?)
}

fn to_the_end(pipeline: &gst::Pipeline) -> Result<(), Box<dyn Error>> {
    pipeline.set_state(gst::State::Playing)?;
    let bus = pipeline.bus().ok_or("no bus")?;
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::NONE, &kinds);
    pipeline.set_state(gst::State::Null)?;
    match end.as_ref().map(|message| message.type_()) {
        Some(gst::MessageType::Eos) => Ok(()),
        _ => Err("the pipeline failed".into()),
    }
}

/// The pictures, and how many buffers of sound there are.
type Decoded = (Vec<Vec<u8>>, usize);

fn decode(file: &Path) -> Result<Decoded, Box<dyn Error>> {
    let pipeline = run(&format!(
        "filesrc location={} ! tsdemux name=demux \
         demux. ! queue ! h264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=GRAY8 \
         ! fakesink name=video signal-handoffs=true \
         demux. ! queue ! aacparse ! avdec_aac ! fakesink name=audio signal-handoffs=true",
        file.display()
    ))?;
    let decoded = Arc::new(Mutex::new(Decoded::default()));
    for (sink, is_video) in [("video", true), ("audio", false)] {
        let decoded = Arc::clone(&decoded);
        let sink = pipeline.by_name(sink).ok_or("no sink")?;
        sink.connect("handoff", false, move |values| {
            let buffer = values.get(1)?.get::<gst::Buffer>().ok()?;
            let mut decoded = decoded.lock().ok()?;
            if is_video {
                let bytes = buffer.map_readable().ok()?.to_vec();
                decoded.0.push(bytes);
            } else {
                decoded.1 += 1;
            }
            None
        });
    }
    to_the_end(&pipeline)?;
    let decoded = std::mem::take(&mut *decoded.lock().map_err(|_| "poisoned")?);
    Ok(decoded)
}

/// Peak signal-to-noise ratio of two pictures.
fn likeness(a: &[u8], b: &[u8]) -> f64 {
    let squares = a
        .iter()
        .zip(b)
        .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    let mean = squares.sum::<f64>() / a.len().max(1) as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}

/// How many of the pictures that were shown are as they were meant, and how many are not. What was meant
/// is told by what follows the last picture that is exactly one of the broadcaster's.
fn compare(meant: &[Vec<u8>], shown: &[Vec<u8>]) -> (usize, usize) {
    let (mut right, mut wrong, mut next) = (0, 0, 0);
    for picture in shown {
        let rest = &meant[next.min(meant.len())..];
        if let Some(exact) = rest
            .iter()
            .take(LOST_AT_MOST)
            .position(|other| other == picture)
        {
            next += exact + 1;
            right += 1;
            continue;
        }
        let mut near = rest.iter().take(AROUND);
        if near.any(|other| likeness(other, picture) >= ALIKE) {
            right += 1;
        } else {
            wrong += 1;
        }
        next += 1;
    }
    (right, wrong)
}

/// The random access indicator of a packet on `pid` (ISO/IEC 13818-1 §2.4.3.5).
fn is_key_frame(packet: &[u8], pid: u16) -> bool {
    let own = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
    own == pid && packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x40 != 0
}

/// The stream without a piece here and there, up to the next key frame where `to_key_frame`.
fn with_holes(stream: &[u8], holes: usize, pid: u16, to_key_frame: bool) -> Vec<u8> {
    let packets: Vec<&[u8]> = stream.chunks_exact(PACKET).collect();
    let mut out = Vec::new();
    let mut at = 0;
    for hole in 0..holes {
        // Somewhere in the second between two key frames, another place each time.
        let begins = packets.len() * (2 * hole + 1) / (2 * holes) + hole * 37 % PIECE;
        out.extend(packets[at..begins.max(at)].concat());
        at = begins.max(at) + PIECE;
        while to_key_frame && at < packets.len() && !is_key_frame(packets[at], pid) {
            at += 1;
        }
    }
    out.extend(packets[at.min(packets.len())..].concat());
    out
}

fn main() -> Result<(), Box<dyn Error>> {
    let holes: usize = std::env::args()
        .nth(1)
        .map_or(Ok(20), |holes| holes.parse())?;
    gst::init()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("whole.ts");
    let seconds = holes * APART;
    to_the_end(&run(&format!(
        "videotestsrc num-buffers={} pattern=zone-plate kx2=8 ky2=8 kt=2 ! video/x-raw,width=640,height=360,framerate=25/1 \
         ! x264enc tune=zerolatency bitrate=2500 key-int-max=50 ! video/x-h264,profile=main ! queue ! mux. \
         audiotestsrc num-buffers={} samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! voaacenc ! aacparse ! queue ! mux. \
         mpegtsmux name=mux ! filesink location={}",
        seconds * 25,
        seconds * 48_000 / 1024,
        file.display()
    ))?)?;
    let stream = std::fs::read(&file)?;
    let (pictures, sounds) = decode(&file)?;
    let pid = (0x20..0x1fff)
        .find(|&pid| {
            stream
                .chunks_exact(PACKET)
                .any(|packet| is_key_frame(packet, pid))
        })
        .ok_or("no key frame")?;
    println!(
        "{holes} holes of {} KiB in {seconds} s, a key frame every 2 s",
        PIECE * PACKET / 1024
    );
    for (name, to_key_frame) in [("skip", false), ("next-keyframe", true)] {
        let file = folder.path().join(name);
        std::fs::write(&file, with_holes(&stream, holes, pid, to_key_frame))?;
        let (shown, heard) = decode(&file)?;
        let per_hole = |count: usize| count as f64 / holes as f64;
        let (right, wrong) = compare(&pictures, &shown);
        let missing = pictures.len().saturating_sub(right + wrong);
        println!(
            "{name:14} {:5.1} pictures missing and {:5.1} wrong after a hole, {:4.0} ms of sound missing",
            per_hole(missing),
            per_hole(wrong),
            per_hole(sounds.saturating_sub(heard)) * 1024.0 / 48.0
        );
    }
    Ok(())
}
