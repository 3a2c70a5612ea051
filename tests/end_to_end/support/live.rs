// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A live broadcast in the test's own process, and how far behind it a viewer is.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::{PATIENCE, pipeline::Pipeline, transport::PACKET};

/// Between two looks at a figure that changes while a stream plays.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A test picture with sound in real time, a key frame every second.
#[derive(Debug)]
pub(crate) struct Live {
    pipeline: Pipeline,
    pub(crate) location: PathBuf,
    sent: Sent,
}

/// When each packet that is like no other was sent; none: there was another like it.
type Sent = Arc<Mutex<HashMap<u64, Option<Instant>>>>;

/// How old packets were when a viewer released them, and when that was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ages(Arc<Mutex<Vec<(Instant, Duration)>>>);

impl Live {
    pub(crate) fn start(folder: &Path, properties: &str) -> Self {
        let location = folder.join("live.tstream");
        let pipeline = Pipeline::new(&format!(
            "videotestsrc is-live=true pattern=zone-plate kx2=8 ky2=8 kt=2 \
             ! video/x-raw,width=320,height=240,framerate=25/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max=25 \
             ! video/x-h264,profile=baseline ! queue ! mux. \
             audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=48000,channels=2 \
             ! voaacenc bitrate=96000 ! aacparse ! queue ! mux. \
             mpegtsmux name=mux ! livetorrentsink name=live location={} port=0 \
             public-address=127.0.0.1 {properties}",
            location.display()
        ));
        let sent = Sent::default();
        let noted = Arc::clone(&sent);
        watch_packets(
            &pipeline.element("live").static_pad("sink").unwrap(),
            move |packets, now| {
                let mut noted = noted.lock().unwrap();
                for packet in packets {
                    noted
                        .entry(digest(packet))
                        .and_modify(|at| *at = None)
                        .or_insert(Some(now));
                }
            },
        );
        pipeline.play();
        Self {
            pipeline,
            location,
            sent,
        }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.pipeline.element_port("live")
    }

    pub(crate) const fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Waits until so much was broadcast.
    pub(crate) fn wait_for(&self, time: Duration) {
        let packets = |sent: &Sent| sent.lock().unwrap().len();
        let deadline = Instant::now() + PATIENCE;
        let mut began = None;
        while began.is_none_or(|began: Instant| began.elapsed() < time) {
            assert!(Instant::now() < deadline, "no broadcast");
            if packets(&self.sent) > 0 {
                began.get_or_insert_with(Instant::now);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Notes from here on how old the newest byte of each buffer of `src` is. A piece ends with its
    /// newest byte, so that is the source's time against the release's.
    pub(crate) fn watch(&self, viewer: &Pipeline) -> Ages {
        let ages = Ages::default();
        let noted = ages.clone();
        let sent = Arc::clone(&self.sent);
        watch_packets(
            &viewer.element("src").static_pad("src").unwrap(),
            move |packets, now| {
                let sent = sent.lock().unwrap();
                let newest = packets
                    .into_iter()
                    .rev()
                    .find_map(|packet| sent.get(&digest(packet)).copied().flatten());
                if let Some(at) = newest {
                    noted.0.lock().unwrap().push((now, now - at));
                }
            },
        );
        ages
    }
}

impl Ages {
    /// The median age of what was released in the last second.
    pub(crate) fn now(&self) -> Option<Duration> {
        let ages = self.0.lock().unwrap();
        let since = Instant::now() - Duration::from_secs(1);
        let mut of_late: Vec<_> = ages
            .iter()
            .rev()
            .take_while(|(at, _)| *at > since)
            .map(|(_, age)| *age)
            .collect();
        of_late.sort_unstable();
        of_late.get(of_late.len() / 2).copied()
    }

    /// Waits until it has been within 100 ms of `distance` for a second.
    pub(crate) fn wait_for(&self, distance: Duration) -> Duration {
        let deadline = Instant::now() + PATIENCE;
        let mut since = None;
        loop {
            let now = self.now();
            let is_there =
                now.is_some_and(|age| age.abs_diff(distance) <= Duration::from_millis(100));
            since = is_there.then(|| since.unwrap_or_else(Instant::now));
            if let Some((since, age)) = since.zip(now)
                && since.elapsed() >= Duration::from_secs(1)
            {
                return age;
            }
            assert!(
                Instant::now() < deadline,
                "{now:?} behind, not {distance:?}"
            );
            thread::sleep(LOOK_EVERY);
        }
    }
}

fn watch_packets(pad: &gst::Pad, note: impl Fn(Vec<&[u8]>, Instant) + Send + Sync + 'static) {
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |_, info| {
        let now = Instant::now();
        let of_buffer = |buffer: &gst::BufferRef| {
            let map = buffer.map_readable().unwrap();
            note(map.chunks_exact(PACKET).collect(), now);
        };
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => of_buffer(buffer),
            Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(of_buffer),
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

fn digest(packet: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(packet);
    hasher.finish()
}
