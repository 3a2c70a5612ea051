// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Prints how long a viewer takes from PLAYING to its first decoded picture and to the first that a sink
//! shows, over loopback: a broadcast of a test picture with sound and one key frame a second, joined again and
//! again at whatever moment comes.
//!
//! usage: start-time \[RUNS\] \[LATENCY IN MS\]

use std::{
    error::Error,
    sync::{Mutex, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

/// The stream goes on for so long before anybody joins, so that there is something to start from.
const AHEAD: Duration = Duration::from_secs(5);
/// For the first picture.
const LIMIT: Duration = Duration::from_secs(20);

fn launch(description: &str) -> Result<gst::Pipeline, Box<dyn Error>> {
    let pipeline = gst::parse::launch(description)?;
    Ok(pipeline.downcast().map_err(|_| "no pipeline")?)
}

/// When a buffer first passes an element's pad.
fn first_buffer(
    pipeline: &gst::Pipeline,
    element: &str,
    pad: &str,
) -> Result<mpsc::Receiver<Instant>, Box<dyn Error>> {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let pad = pipeline
        .by_name(element)
        .and_then(|element| element.static_pad(pad))
        .ok_or("no such pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        // Whoever measured may be gone.
        let _ = tell.lock().map(|tell| tell.send(Instant::now()));
        gst::PadProbeReturn::Remove
    });
    Ok(told)
}

/// When the sink `shown` has rendered its first buffer.
fn first_shown(pipeline: &gst::Pipeline) -> Result<mpsc::Receiver<Instant>, Box<dyn Error>> {
    let (tell, told) = mpsc::channel();
    let once = OnceLock::new();
    let sink = pipeline.by_name("shown").ok_or("no sink")?;
    sink.connect("handoff", false, move |_| {
        if once.set(()).is_ok() {
            let _ = tell.send(Instant::now());
        }
        None
    });
    Ok(told)
}

/// The times to the first byte, the first decoded picture and the first shown one.
fn join(location: &str, latency: u32) -> Result<[Duration; 3], Box<dyn Error>> {
    let pipeline = launch(&format!(
        "livetorrentsrc name=from location={location} latency={latency} peer-cache=\"\" ! decodebin name=decoder \
         decoder. ! queue ! videoconvert ! identity name=decoded ! fakesink name=shown sync=true signal-handoffs=true \
         decoder. ! queue ! audioconvert ! fakesink sync=true"
    ))?;
    let byte = first_buffer(&pipeline, "from", "src")?;
    let picture = first_buffer(&pipeline, "decoded", "sink")?;
    let shown = first_shown(&pipeline)?;
    let began = Instant::now();
    pipeline.set_state(gst::State::Playing)?;
    let times = [byte, picture, shown].map(|told| told.recv_timeout(LIMIT));
    pipeline.set_state(gst::State::Null)?;
    let [byte, picture, shown] = times;
    Ok([byte? - began, picture? - began, shown? - began])
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let runs: usize = arguments.next().map_or(Ok(10), |runs| runs.parse())?;
    let latency: u32 = arguments
        .next()
        .map_or(Ok(1000), |latency| latency.parse())?;
    gst::init()?;
    gstlivetorrent::plugin_register_static()?;
    let folder = tempfile::tempdir()?;
    let location = folder.path().join("start.tstream");
    let location = location.display().to_string();
    let broadcast = launch(&format!(
        "videotestsrc is-live=true ! video/x-raw,width=640,height=360,framerate=25/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=2000 key-int-max=25 \
         ! video/x-h264,profile=baseline ! queue ! mux. \
         audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! voaacenc ! aacparse ! queue ! mux. \
         mpegtsmux name=mux ! livetorrentsink name=start location={location} port=0 public-address=127.0.0.1"
    ))?;
    broadcast.set_state(gst::State::Playing)?;
    thread::sleep(AHEAD);

    let mut times = [const { Vec::new() }; 3];
    for run in 0..runs {
        // Another moment of the second between two key frames each time.
        thread::sleep(Duration::from_millis(370 * (run as u64 % 3)));
        let joined = join(&location, latency)?;
        let [byte, picture, shown] = joined.map(|time| time.as_millis());
        println!("run {run}: first byte {byte} ms, decoded {picture} ms, shown {shown} ms");
        for (times, time) in times.iter_mut().zip(joined) {
            times.push(time);
        }
    }
    broadcast.set_state(gst::State::Null)?;
    let [byte, picture, shown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_millis()
    });
    println!(
        "p50 of {runs} at latency={latency}: first byte {byte} ms, decoded {picture} ms, shown {shown} ms"
    );
    Ok(())
}
