// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Input that the tests broadcast.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use gst::prelude::*;

use super::{pipeline::Pipeline, transport::PACKET};

/// 20 s of H.264 and AAC in MPEG-TS as x264enc, voaacenc and mpegtsmux make it, 25 pictures and one
/// random access point a second, about 1.5 Mbit/s.
pub(crate) const TELEVISION: &str = "\
    videotestsrc num-buffers=500 pattern=zone-plate kx2=8 ky2=8 kt=2 \
    ! video/x-raw,width=320,height=240,framerate=25/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=1300 key-int-max=25 \
    ! video/x-h264,profile=baseline ! queue ! mux. \
    audiotestsrc num-buffers=938 samplesperbuffer=1024 wave=sine \
    ! audio/x-raw,rate=48000,channels=2 ! voaacenc bitrate=96000 ! aacparse ! queue ! mux. \
    mpegtsmux name=mux ! filesink location=";

/// The same for four seconds: where real time does not matter.
pub(crate) const CLIP: &str = "\
    videotestsrc num-buffers=100 pattern=zone-plate kx2=8 ky2=8 kt=3 \
    ! video/x-raw,width=320,height=240,framerate=25/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=1300 key-int-max=25 \
    ! video/x-h264,profile=baseline ! queue ! mux. \
    audiotestsrc num-buffers=188 samplesperbuffer=1024 wave=square \
    ! audio/x-raw,rate=48000,channels=2 ! voaacenc bitrate=96000 ! aacparse ! queue ! mux. \
    mpegtsmux name=mux ! filesink location=";

/// The file that `pipeline` makes. Made once: its name tells the pipeline.
pub(crate) fn file(pipeline: &str) -> PathBuf {
    let digest: u64 = pipeline.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{digest:016x}.ts"));
    // Tests run side by side, in several processes: the first one makes it.
    let lock = File::create(folder.join(format!("{digest:016x}.lock"))).unwrap();
    lock.lock().unwrap();
    if !file.exists() {
        let fresh = folder.join(format!("{digest:016x}.new"));
        let words = format!("{pipeline}{}", fresh.display());
        let status = Command::new("gst-launch-1.0")
            .arg("-q")
            .args(words.split_whitespace())
            .status()
            .expect("gst-launch-1.0 is installed by pipelines/setup.sh");
        assert!(status.success(), "cannot make {pipeline}");
        fs::rename(fresh, &file).unwrap();
    }
    file
}

/// A transport stream of PES packets on one PID without tables that can be told apart at every byte:
/// `packets` packets, numbered from `first`.
pub(crate) fn numbered_packets(first: u64, packets: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(packets * PACKET);
    for number in (first..).take(packets) {
        let counter = (number & 0xf) as u8;
        bytes.extend_from_slice(&[0x47, 0x01, 0x00, 0x10 | counter]);
        let mut generator = fastrand::Rng::with_seed(number);
        bytes.extend(std::iter::repeat_with(|| generator.u8(..)).take(PACKET - 4));
    }
    bytes
}

/// What a decoder makes of `stream`: its pictures, and how often it complained.
pub(crate) fn decode(stream: &[u8]) -> Decoded {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.ts");
    fs::write(&file, stream).unwrap();
    let pipeline = Pipeline::new(&format!(
        "filesrc location={} ! tsdemux name=demux \
         demux. ! queue ! h264parse ! avdec_h264 output-corrupt=false max-errors=0 \
         ! fakesink name=video signal-handoffs=true \
         demux. ! queue ! aacparse ! avdec_aac max-errors=0 ! fakesink name=audio signal-handoffs=true",
        file.display()
    ));
    let pictures = count_buffers(&pipeline, "video");
    let sounds = count_buffers(&pipeline, "audio");
    pipeline.play();
    // An error of a decoder ends the wait with a panic.
    pipeline.wait_for_eos();
    Decoded {
        pictures: pictures.load(Relaxed),
        sounds: sounds.load(Relaxed),
    }
}

/// What a decoder made of a stream.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) pictures: usize,
    /// Buffers of sound.
    pub(crate) sounds: usize,
}

fn count_buffers(pipeline: &Pipeline, fakesink: &str) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    pipeline
        .element(fakesink)
        .connect("handoff", false, move |values| {
            let buffer = values[1].get::<gst::Buffer>().unwrap();
            if !buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
                counter.fetch_add(1, Relaxed);
            }
            None
        });
    count
}
