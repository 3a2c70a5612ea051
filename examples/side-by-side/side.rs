// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One side, in a process of its own. It is told by lines on its standard input: `mark` begins what is
//! counted, `tell` ends it and has the figures written as a line of JSON.

use std::{
    error::Error,
    io::{BufRead, stdin},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use gst::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::{
    candidate::{Candidate, Meeting},
    stamps::Seen,
    television::Television,
};

/// For the first byte.
const PATIENCE: Duration = Duration::from_secs(15);

/// Processor seconds of this process so far, user and system.
fn processor() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The most memory that this process has had, in MiB.
fn memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// What is counted between `mark` and `tell`.
struct Span {
    since: Instant,
    processor: f64,
}

impl Span {
    fn begin() -> Self {
        Self {
            since: Instant::now(),
            processor: processor(),
        }
    }

    /// Share of a core, and seconds.
    fn end(&self) -> (f64, f64) {
        let seconds = self.since.elapsed().as_secs_f64();
        ((processor() - self.processor) / seconds, seconds)
    }
}

/// Waits for a line of standard input.
fn told(word: &str) -> Result<(), Box<dyn Error>> {
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    match line.trim() {
        line if line == word => Ok(()),
        other => Err(format!("told \"{other}\" and not \"{word}\"").into()),
    }
}

fn parse(description: &str) -> Result<gst::Element, Box<dyn Error>> {
    let bin = gst::parse::bin_from_description_with_name(description, true, "side")?;
    Ok(bin.upcast())
}

fn inner(bin: &gst::Element, name: &str) -> Option<gst::Element> {
    bin.downcast_ref::<gst::Bin>()?.by_name(name)
}

/// Bytes that the sink says it has sent to viewers.
fn uploaded(candidate: Candidate, sink: &gst::Element) -> u64 {
    match candidate {
        Candidate::Nothing => 0,
        Candidate::Livetorrent | Candidate::LivetorrentLarge => {
            let stats = sink.property::<gst::Structure>("stats");
            let field = |name| stats.get::<u64>(name).unwrap_or_default();
            field("bytes-uploaded") + field("overhead-bytes")
        }
        Candidate::Srt | Candidate::SrtQuick | Candidate::SrtAes => sink
            .property::<gst::Structure>("stats")
            .get::<u64>("bytes-sent-total")
            .unwrap_or_default(),
        Candidate::Tcp => sink.property("bytes-served"),
    }
}

/// Broadcasts.
pub(crate) fn send(candidate: Candidate, meeting: &Meeting) -> Result<Value, Box<dyn Error>> {
    let pipeline = gst::Pipeline::new();
    let television = Television::new(meeting.bitrate);
    let sink = parse(&candidate.sink(meeting))?;
    pipeline.add(&television)?;
    pipeline.add(&sink)?;
    television.link(&sink)?;
    let to = inner(&sink, "to").ok_or("no sink")?;
    pipeline.set_state(gst::State::Playing)?;
    told("mark")?;
    let span = Span::begin();
    let before = (television.packets(), uploaded(candidate, &to));
    told("tell")?;
    let (share, seconds) = span.end();
    let packets = television.packets() - before.0;
    let sent = uploaded(candidate, &to).saturating_sub(before.1);
    let figures = json!({
        "processor": share,
        "memory": memory(),
        "made": packets as f64 * 188.0 * 8.0 / seconds,
        "upload": sent as f64 * 8.0 / seconds,
        "failed": failure(&pipeline),
    });
    pipeline.set_state(gst::State::Null)?;
    Ok(figures)
}

/// What the pipeline says went wrong.
fn failure(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(error.error().to_string()),
        _ => None,
    }
}

/// One viewer.
struct Viewer {
    pipeline: gst::Pipeline,
    seen: Arc<Mutex<Seen>>,
    /// From PLAYING to the first byte.
    first: Duration,
}

/// Counts what passes a pad, and tells of the first.
fn watch(pad: &gst::Pad) -> (Arc<Mutex<Seen>>, mpsc::Receiver<Instant>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let noted = Arc::clone(&seen);
    let (tell, told) = mpsc::sync_channel(1);
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |_, info| {
        // Full or gone after the first.
        let _ = tell.try_send(Instant::now());
        let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut note = |buffer: &gst::BufferRef| {
            if let Ok(bytes) = buffer.map_readable() {
                seen.bytes(&bytes);
            }
        };
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => note(buffer),
            Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(note),
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    (seen, told)
}

impl Viewer {
    fn begin(description: &str) -> Result<Self, Box<dyn Error>> {
        let pipeline = gst::Pipeline::new();
        let source = parse(description)?;
        let sink = gst::ElementFactory::make("fakesink")
            .property("sync", false)
            .build()?;
        pipeline.add_many([&source, &sink])?;
        source.link(&sink)?;
        let from = inner(&source, "from").ok_or("no source")?;
        let pad = from.static_pad("src").ok_or("no pad")?;
        let (seen, first) = watch(&pad);
        let began = Instant::now();
        pipeline.set_state(gst::State::Playing)?;
        let first = first.recv_timeout(PATIENCE)?.duration_since(began);
        Ok(Self {
            pipeline,
            seen,
            first,
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches, so many at a time.
pub(crate) fn receive(
    candidate: Candidate,
    meeting: &Meeting,
    count: usize,
) -> Result<Value, Box<dyn Error>> {
    let viewers = (0..count)
        .map(|number| Viewer::begin(&candidate.source(meeting, number)))
        .collect::<Result<Vec<_>, _>>()?;
    println!("first");
    told("mark")?;
    viewers.iter().for_each(|viewer| viewer.seen().forget());
    let span = Span::begin();
    told("tell")?;
    let (share, seconds) = span.end();
    let each = |figure: &dyn Fn(&Seen) -> f64| -> Vec<f64> {
        let mut all: Vec<_> = viewers
            .iter()
            .map(|viewer| figure(&viewer.seen()))
            .collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let got = each(&|seen| seen.packets as f64 * 188.0 * 8.0 / seconds);
    let lost = each(&|seen| seen.lost as f64);
    // Of several viewers the one in the middle.
    let delay = |share| each(&|seen| seen.delay(share).unwrap_or(f64::NAN))[count / 2];
    let figures = json!({
        "processor": share,
        "memory": memory(),
        "got": got.first(),
        "lost": lost.iter().sum::<f64>(),
        "first": viewers.first().map(|viewer| viewer.first.as_secs_f64() * 1e3),
        "delay50": delay(0.5),
        "delay99": delay(0.99),
        "failed": viewers.iter().find_map(|viewer| failure(&viewer.pipeline)),
    });
    for viewer in &viewers {
        viewer.pipeline.set_state(gst::State::Null)?;
    }
    Ok(figures)
}
