// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Prints how long a transport packet takes from the pad of a sink to the pad of a source, in one process over
//! loopback: livetorrent with `latency=0`, and SRT with its default for comparison.
//!
//! usage: hop-delay \[SECONDS\] \[BITS PER SECOND\]

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    hash::{DefaultHasher, Hasher},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

/// Bytes of a transport packet (ISO/IEC 13818-1 §2.4.3.2).
const PACKET: usize = 188;

/// A packet's hash and when it passed.
type Passed = Arc<Mutex<Vec<(u64, Instant)>>>;

/// Notes every transport packet that passes the pad. Both pads see whole packets only.
fn watch(pad: &gst::Pad) -> Passed {
    let passed = Passed::default();
    let noted = Arc::clone(&passed);
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => note(buffer, &noted),
            Some(gst::PadProbeData::BufferList(list)) => {
                list.iter().for_each(|buffer| note(buffer, &noted));
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    passed
}

fn note(buffer: &gst::BufferRef, passed: &Passed) {
    let now = Instant::now();
    let Ok(bytes) = buffer.map_readable() else {
        return;
    };
    let mut passed = passed.lock().expect("nobody panics with it");
    passed.extend(bytes.chunks_exact(PACKET).map(|packet| {
        let mut hasher = DefaultHasher::new();
        hasher.write(packet);
        (hasher.finish(), now)
    }));
}

/// When each packet that was sent only once was sent.
fn unique(sent: &[(u64, Instant)]) -> HashMap<u64, Instant> {
    let mut times = HashMap::new();
    let mut again = HashSet::new();
    for &(hash, at) in sent {
        if times.insert(hash, at).is_some() {
            again.insert(hash);
        }
    }
    times.retain(|hash, _| !again.contains(hash));
    times
}

/// The test picture at `bitrate`, live.
fn television(bitrate: u64) -> String {
    format!(
        "videotestsrc is-live=true pattern=snow ! video/x-raw,width=640,height=360,framerate=25/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast bitrate={} key-int-max=25 \
         ! mpegtsmux alignment=7",
        bitrate / 1000
    )
}

fn launch(description: &str) -> Result<gst::Pipeline, Box<dyn Error>> {
    let pipeline = gst::parse::launch(description)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "no pipeline")?;
    pipeline.set_state(gst::State::Playing)?;
    Ok(pipeline)
}

fn pad(pipeline: &gst::Pipeline, element: &str, pad: &str) -> Result<gst::Pad, Box<dyn Error>> {
    pipeline
        .by_name(element)
        .and_then(|element| element.static_pad(pad))
        .ok_or_else(|| format!("no {element}.{pad}").into())
}

/// Runs both pipelines for `time` and prints the delays, the first second left out.
fn measure(name: &str, send: &str, receive: &str, time: Duration) -> Result<(), Box<dyn Error>> {
    let sender = launch(send)?;
    let sent = watch(&pad(&sender, "to", "sink")?);
    // What the source knows of its stream before the first viewer comes: a second is enough.
    thread::sleep(Duration::from_secs(1));
    let receiver = launch(receive)?;
    let got = watch(&pad(&receiver, "from", "src")?);
    thread::sleep(time);
    sender.set_state(gst::State::Null)?;
    receiver.set_state(gst::State::Null)?;

    let sent = sent.lock().map_err(|_| "poisoned")?;
    let got = got.lock().map_err(|_| "poisoned")?;
    let Some((_, first)) = got.first() else {
        return Err(format!("{name}: nothing arrived").into());
    };
    let sent = unique(&sent);
    let mut delays: Vec<Duration> = got
        .iter()
        .filter(|(_, at)| *at > *first + Duration::from_secs(1))
        .filter_map(|(hash, at)| Some(at.duration_since(*sent.get(hash)?)))
        .collect();
    delays.sort();
    if delays.is_empty() {
        return Err(format!("{name}: nothing arrived after the first second").into());
    }
    let at = |percent: usize| delays[(delays.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!(
        "{name:<28} median {:6.1} ms   95 % {:6.1} ms   most {:6.1} ms   ({} packets)",
        at(50),
        at(95),
        at(100),
        delays.len()
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(10), |word| word.parse())?;
    let bitrate = arguments
        .next()
        .map_or(Ok(4_000_000), |word| word.parse())?;
    gst::init()?;
    gstlivetorrent::plugin_register_static()?;
    let time = Duration::from_secs(seconds);
    let folder = tempfile::tempdir()?;
    let tstream = folder.path().join("hop.tstream");
    measure(
        "livetorrent, latency=0",
        &format!(
            "{} ! livetorrentsink name=to location={} port=0 public-address=127.0.0.1 sync=false",
            television(bitrate),
            tstream.display()
        ),
        &format!(
            "livetorrentsrc name=from latency=0 location={} peer-cache=\"\" ! fakesink sync=false",
            tstream.display()
        ),
        time,
    )?;
    if gst::ElementFactory::find("srtsink").is_none() {
        println!("no SRT here to compare with");
        return Ok(());
    }
    // SRT cannot pick a port and tell: take one that was free a moment ago.
    let port = std::net::UdpSocket::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    measure(
        "SRT, its default latency",
        &format!(
            "{} ! srtsink name=to uri=srt://127.0.0.1:{port}?mode=listener sync=false \
             wait-for-connection=false",
            television(bitrate)
        ),
        &format!("srtsrc name=from uri=srt://127.0.0.1:{port} ! fakesink sync=false"),
        time,
    )
}
