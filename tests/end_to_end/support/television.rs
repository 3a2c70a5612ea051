// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A viewer that decodes whatever comes, and looks at the pictures and listens.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::{PATIENCE, pipeline::Pipeline};

/// What has been decoded so far.
#[derive(Debug, Default)]
struct Seen {
    /// Pictures that a decoder took for whole.
    pictures: usize,
    /// Those that show the bars of the test picture.
    bars: usize,
    first_picture: Option<Instant>,
    size: (i32, i32),
    sound: Duration,
    first_sound: Option<Instant>,
    channels: i32,
    /// The loudest sample, of 32767.
    loudest: u16,
}

/// `livetorrentsrc name=src ! decodebin` with every stream of it decoded as fast as it comes.
#[derive(Debug)]
pub(crate) struct Television {
    pub(crate) pipeline: Pipeline,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    began: Instant,
}

impl Television {
    /// Tunes in with these properties.
    pub(crate) fn tune_in(properties: &str) -> Self {
        let pipeline = Pipeline::new(&format!(
            "livetorrentsrc name=src {properties} ! decodebin name=decoder"
        ));
        let seen = Arc::new((Mutex::default(), Condvar::new()));
        let bin = pipeline.pipeline().downgrade();
        let shared = Arc::clone(&seen);
        pipeline
            .element("decoder")
            .connect_pad_added(move |_, pad| {
                if let Some(bin) = bin.upgrade() {
                    show(&bin, pad, &shared);
                }
            });
        let began = pipeline.play();
        Self {
            pipeline,
            seen,
            began,
        }
    }

    /// Waits for so many pictures and so much sound; no error comes before.
    pub(crate) fn wait_for(&self, pictures: usize, sound: Duration) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.seen.0.lock().unwrap();
        while seen.pictures < pictures || seen.sound < sound {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "seen and heard: {seen:?}");
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
        drop(seen);
        self.pipeline.assert_no_error();
    }

    /// The pictures are of this size, and all of them but one second's show the bars: a decoder that
    /// starts amid pictures which refer to others may take bad ones for whole.
    pub(crate) fn assert_bars(&self, size: (i32, i32)) {
        let seen = self.seen.0.lock().unwrap();
        assert_eq!(seen.size, size);
        assert!(seen.bars + 25 >= seen.pictures, "bars: {seen:?}");
    }

    /// The sound has so many channels, and is no silence.
    pub(crate) fn assert_sound(&self, channels: i32) {
        let seen = self.seen.0.lock().unwrap();
        assert_eq!(seen.channels, channels);
        assert!(seen.loudest > 1000, "it is silent: {seen:?}");
    }

    /// From PLAYING to the first picture and to the first sound.
    pub(crate) fn first(&self) -> (Option<Duration>, Option<Duration>) {
        let seen = self.seen.0.lock().unwrap();
        [seen.first_picture, seen.first_sound]
            .map(|first| first.map(|first| first - self.began))
            .into()
    }
}

/// Shows or plays what comes out of `pad`.
fn show(bin: &gst::Pipeline, pad: &gst::Pad, seen: &Arc<(Mutex<Seen>, Condvar)>) {
    let is_picture = pad
        .current_caps()
        .is_some_and(|caps| caps.structure(0).unwrap().name().starts_with("video/"));
    let words = if is_picture {
        "queue ! videoconvert ! video/x-raw,format=GRAY8"
    } else {
        "queue ! audioconvert ! audio/x-raw,format=S16LE,layout=interleaved"
    };
    let words = format!("{words} ! fakesink name=out signal-handoffs=true sync=false async=false");
    let branch = gst::parse::bin_from_description(&words, true).unwrap();
    let seen = Arc::clone(seen);
    branch
        .by_name("out")
        .unwrap()
        .connect("handoff", false, move |values| {
            let buffer = values[1].get::<gst::Buffer>().unwrap();
            let pad = values[2].get::<gst::Pad>().unwrap();
            let caps = pad.current_caps().unwrap();
            let structure = caps.structure(0).unwrap();
            let mut now = seen.0.lock().unwrap();
            if is_picture {
                now.see(&buffer, structure);
            } else {
                now.hear(&buffer, structure);
            }
            drop(now);
            seen.1.notify_all();
            None
        });
    bin.add(&branch).unwrap();
    branch.sync_state_with_parent().unwrap();
    let sink = branch.static_pad("sink").unwrap();
    pad.link(&sink).unwrap();
}

impl Seen {
    fn see(&mut self, buffer: &gst::Buffer, caps: &gst::StructureRef) {
        if buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            return;
        }
        self.first_picture.get_or_insert_with(Instant::now);
        self.size = (caps.get("width").unwrap(), caps.get("height").unwrap());
        self.pictures += 1;
        // SMPTE's bars: the first of seven is grey and the last one blue.
        let map = buffer.map_readable().unwrap();
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let luma = |fourteenth: usize| map[height / 4 * width + width * fourteenth / 14];
        if luma(1) > 140 && luma(13) < 80 {
            self.bars += 1;
        }
    }

    fn hear(&mut self, buffer: &gst::Buffer, caps: &gst::StructureRef) {
        self.first_sound.get_or_insert_with(Instant::now);
        self.channels = caps.get("channels").unwrap();
        let map = buffer.map_readable().unwrap();
        let rate: i32 = caps.get("rate").unwrap();
        let frames = map.len() / 2 / self.channels as usize;
        self.sound += Duration::from_secs(1) * frames as u32 / rate as u32;
        for sample in map.chunks_exact(2) {
            let sample = i16::from_le_bytes([sample[0], sample[1]]);
            self.loudest = self.loudest.max(sample.unsigned_abs());
        }
    }
}
