// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! How far behind the source a viewer is, and how it gets there.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gst::prelude::*;

use crate::support::{
    PATIENCE,
    live::{Ages, Live},
    pipeline::Pipeline,
    pulse::Pulse,
};

/// What may be between two pictures where the rate changes.
const GAP: Duration = Duration::from_millis(150);
/// So long after the first picture sinks have found their pace.
const WARM_UP: Duration = Duration::from_secs(2);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A viewer that shows its stream: pictures to a fakesink that keeps time, sound to `audio`.
struct Shown {
    viewer: Pipeline,
    ages: Ages,
    pictures: Arc<Mutex<Vec<Instant>>>,
    rates: Arc<Mutex<Vec<(Instant, f64)>>>,
    live_location: String,
}

impl Shown {
    fn new(live: &Live, properties: &str, audio: &str) -> Self {
        let live_location = live.location.display().to_string();
        let viewer = Pipeline::new(&format!(
            "livetorrentsrc name=src location={live_location} {properties} ! decodebin name=decoder \
             decoder. ! queue ! videoconvert ! fakesink name=out sync=true signal-handoffs=true \
             decoder. ! queue ! audioconvert ! audioresample ! {audio}"
        ));
        let ages = live.watch(&viewer);
        let pictures = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&pictures);
        viewer.element("out").connect("handoff", false, move |_| {
            noted.lock().unwrap().push(Instant::now());
            None
        });
        let rates = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&rates);
        // Where it reaches the sink it has come through the demuxer and the decoder.
        let pad = viewer.element("out").static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data
                && let gst::EventView::InstantRateChange(change) = event.view()
            {
                // The demuxer sends it on along each of its streams.
                let rate = change.get().0;
                let mut rates = noted.lock().unwrap();
                if rates.last().is_none_or(|(_, last)| *last != rate) {
                    rates.push((Instant::now(), rate));
                }
            }
            gst::PadProbeReturn::Ok
        });
        viewer.play();
        Self {
            viewer,
            ages,
            pictures,
            rates,
            live_location,
        }
    }

    fn set_latency(&self, latency: Duration) {
        let latency = latency.as_millis() as u32;
        self.viewer.element("src").set_property("latency", latency);
    }

    fn rate(&self) -> f64 {
        let stats = self
            .viewer
            .element("src")
            .property::<gst::Structure>("stats");
        stats.get("playback-rate").unwrap()
    }

    /// Pictures come faster while it plays faster.
    fn check_speeds(&self) {
        let pictures = self.pictures.lock().unwrap();
        for pair in self.rates.lock().unwrap().windows(2) {
            let ((from, rate), (to, _)) = (pair[0], pair[1]);
            let shown = pictures.iter().filter(|at| (from..to).contains(at)).count();
            let speed = shown as f64 / 25.0 / (to - from).as_secs_f64();
            println!("{shown} pictures at {rate}: {speed:.3}");
            let tolerance = 0.02 + 2.0 / shown as f64;
            assert!(
                (speed - rate).abs() < tolerance,
                "{speed} instead of {rate}"
            );
        }
    }

    /// The longest time between two pictures, near a change of rate and elsewhere.
    fn gaps(&self) -> (Duration, Duration) {
        let pictures = self.pictures.lock().unwrap();
        let rates = self.rates.lock().unwrap();
        let began = pictures[0] + WARM_UP;
        let is_near = |at: Instant| {
            rates.iter().any(|(change, _)| {
                at + Duration::from_secs(1) > *change && at < *change + Duration::from_secs(1)
            })
        };
        let mut longest = (Duration::ZERO, Duration::ZERO);
        for pair in pictures.windows(2).filter(|pair| pair[0] > began) {
            let gap = pair[1] - pair[0];
            let place = if is_near(pair[1]) {
                &mut longest.0
            } else {
                &mut longest.1
            };
            *place = gap.max(*place);
        }
        longest
    }
}

/// Moves the distance there and back by rate.
fn a_little_is_made_up_for_by_rate(folder: &Path, audio: &str) {
    let live = Live::start(folder, "");
    live.wait_for(Duration::from_secs(4));
    let shown = Shown::new(&live, "latency=1500 max-rate-change=0.1", audio);
    println!("watching {}", shown.live_location);
    for latency in [1500, 900, 1500] {
        shown.set_latency(millis(latency));
        let age = shown.ages.wait_for(millis(latency));
        println!(
            "{} ms behind the source at latency={latency}",
            age.as_millis()
        );
    }
    // The correction ends where it is done.
    while shown.rate() != 1.0 {
        std::thread::yield_now();
    }
    shown.check_speeds();
    let rates: Vec<f64> = shown
        .rates
        .lock()
        .unwrap()
        .iter()
        .map(|(_, rate)| *rate)
        .collect();
    let (near, elsewhere) = shown.gaps();
    println!("rates {rates:?}; longest gap at a change {near:?}, elsewhere {elsewhere:?}");
    assert!(rates.iter().any(|rate| *rate > 1.0) && rates.iter().any(|rate| *rate < 1.0));
    assert!(rates.iter().all(|rate| (0.9..=1.1).contains(rate)));
    assert!(rates.len() <= 8, "few changes");
    // A machine that is too busy to show pictures in time shows it elsewhere too.
    assert!(near <= GAP.max(elsewhere), "{near:?}");
}

#[test]
fn pictures_and_sound_go_on_while_the_distance_is_corrected() {
    let folder = tempfile::tempdir().unwrap();
    a_little_is_made_up_for_by_rate(folder.path(), "fakesink sync=true");
}

#[test]
fn pulseaudio_plays_on_while_the_distance_is_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let pulse = Pulse::start(folder.path());
    a_little_is_made_up_for_by_rate(folder.path(), &pulse.sink);
}

/// A broadcast has sound that not every viewer plays, and the event that changes the rate makes a
/// decoder fail that nothing follows.
#[test]
fn a_viewer_of_the_pictures_only_plays_on_where_it_is_too_far_behind() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    live.wait_for(Duration::from_secs(4));
    let viewers = ["decodebin", "decodebin3"].map(|decoder| {
        let viewer = Pipeline::new(&format!(
            "livetorrentsrc name=src location={} latency=2000 ! {decoder} ! video/x-raw \
             ! fakesink name=out sync=true",
            live.location.display()
        ));
        viewer.play();
        (decoder, viewer)
    });
    for (_, viewer) in &viewers {
        wait_for_pictures(viewer, 50);
        // More than is left alone, and less than a jump where the rate may change.
        viewer.element("src").set_property("latency", 1200u32);
    }
    for (decoder, viewer) in &viewers {
        wait_for_pictures(viewer, 250);
        let distance = viewer.stat("src", "live-distance");
        println!("{decoder}: {distance} ns behind");
        assert!((1_100_000_000..1_500_000_000).contains(&distance));
    }
}

/// Parts are closed and begun on all streams together, and one that is told of a rate meanwhile waits
/// for the others for ever.
#[test]
fn a_viewer_that_writes_parts_goes_on_while_the_distance_is_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    live.wait_for(Duration::from_secs(4));
    let viewers = [0, 1, 2, 3].map(|number| {
        let parts = folder.path().join(number.to_string());
        std::fs::create_dir(&parts).unwrap();
        let viewer = Pipeline::new(&format!(
            "livetorrentsrc name=src location={} latency=1500 max-rate-change=0.1 ! tsdemux name=in \
             in. ! queue ! h264parse ! hls.video in. ! queue ! aacparse ! hls.audio \
             hlssink2 name=hls target-duration=1 max-files=0 location={parts}/%06d.ts \
             playlist-location={parts}/live.m3u8",
            live.location.display(),
            parts = parts.display()
        ));
        let ages = live.watch(&viewer);
        viewer.play();
        (viewer, ages, parts)
    });
    for latency in [1500, 1000, 1500] {
        for (viewer, ..) in &viewers {
            viewer
                .element("src")
                .set_property("latency", latency as u32);
        }
        for (_, ages, _) in &viewers {
            ages.wait_for(millis(latency));
        }
    }
    for (viewer, _, parts) in &viewers {
        let written = || std::fs::read_dir(parts).unwrap().count();
        let then = written();
        let deadline = Instant::now() + PATIENCE;
        while written() < then + 2 {
            viewer.assert_no_error();
            assert!(Instant::now() < deadline, "no part after {then}");
            std::thread::sleep(millis(20));
        }
        assert_eq!(
            viewer.stat("src", "pieces-skipped"),
            0,
            "by rate, not by jumps"
        );
    }
}

/// Waits until so many pictures were shown. An error fails the test.
fn wait_for_pictures(viewer: &Pipeline, pictures: u64) {
    let deadline = Instant::now() + PATIENCE;
    let shown = || {
        let stats = viewer.element("out").property::<gst::Structure>("stats");
        stats.get::<u64>("rendered").unwrap()
    };
    while shown() < pictures {
        viewer.assert_no_error();
        assert!(Instant::now() < deadline, "{} pictures", shown());
        std::thread::sleep(millis(20));
    }
}

#[test]
fn a_player_jumps_and_shows_what_it_jumped_to() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    live.wait_for(Duration::from_secs(8));
    let shown = Shown::new(&live, "latency=6000", "fakesink sync=true");
    shown.ages.wait_for(millis(6000));
    shown.set_latency(millis(1000));
    shown.viewer.wait_for_message("livetorrent-skipped");
    // Where the demuxer took the jump for a gap, sinks would wait and hold up what follows.
    let age = shown.ages.wait_for(millis(1000));
    println!("{} ms behind after the jump", age.as_millis());
}

#[test]
fn two_viewers_of_one_stream_are_each_at_its_distance() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    live.wait_for(Duration::from_secs(3));
    let location = live.location.display();
    let viewers = [500, 5000].map(|latency| {
        let (viewer, _) = Pipeline::viewer(&format!("location={location} latency={latency}"));
        let ages = live.watch(&viewer);
        viewer.play();
        (viewer, ages, latency)
    });
    for (viewer, ages, latency) in &viewers {
        let age = ages.wait_for(millis(*latency));
        println!(
            "{} ms behind the source at latency={latency}",
            age.as_millis()
        );
        assert_eq!(viewer.stat("src", "pieces-skipped"), 0);
    }
}

#[test]
fn a_viewer_that_is_far_too_far_behind_jumps() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    live.wait_for(Duration::from_secs(8));
    let (viewer, capture) = Pipeline::viewer(&format!(
        "location={} latency=6000",
        live.location.display()
    ));
    let ages = live.watch(&viewer);
    viewer.play();
    ages.wait_for(millis(6000));
    assert_eq!(capture.holes().len(), 1);
    viewer.element("src").set_property("latency", 800u32);
    let skipped = viewer.wait_for_message("livetorrent-skipped");
    let age = ages.wait_for(millis(800));
    println!("{} ms behind after a jump over {skipped}", age.as_millis());
    assert!(skipped.get::<u64>("bytes").unwrap() > 100_000);
    assert_eq!(capture.holes().len(), 2, "one jump");
    // And back: it waits, and repeats nothing.
    viewer.element("src").set_property("latency", 5000u32);
    ages.wait_for(millis(5000));
    assert_eq!(capture.holes().len(), 3);
}

#[test]
fn a_viewer_starts_far_back_and_goes_to_live_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    live.wait_for(Duration::from_secs(12));
    let (viewer, _) = Pipeline::viewer(&format!(
        "location={} start-offset=8000000000",
        live.location.display()
    ));
    let ages = live.watch(&viewer);
    let began = viewer.play();
    while ages.now().is_none() {
        std::thread::yield_now();
    }
    let took = began.elapsed();
    let age = ages.now().unwrap();
    println!(
        "{} ms behind after {} ms",
        age.as_millis(),
        took.as_millis()
    );
    assert!((millis(7800)..millis(9700)).contains(&age), "{age:?}");
    viewer
        .element("src")
        .emit_by_name::<()>("jump-to-live", &[]);
    viewer.wait_for_message("livetorrent-skipped");
    let age = ages.wait_for(millis(1000));
    println!("{} ms behind after jump-to-live", age.as_millis());
}

#[test]
fn a_viewer_that_was_paused_is_at_its_distance_again() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    live.wait_for(Duration::from_secs(3));
    let viewer = |properties: &str| {
        let location = live.location.display();
        let (viewer, capture) = Pipeline::viewer(&format!("location={location} {properties}"));
        let ages = live.watch(&viewer);
        viewer.play();
        ages.wait_for(millis(1000));
        (viewer, capture, ages)
    };
    let (jumps, jumped, jump_ages) = viewer("");
    let (keeps, kept, keep_ages) = viewer("keep-position=true max-rate-change=0.2");
    for viewer in [&jumps, &keeps] {
        viewer.set_state(gst::State::Paused);
    }
    live.wait_for(Duration::from_secs(4));
    for viewer in [&jumps, &keeps] {
        viewer.play();
    }
    jumps.wait_for_message("livetorrent-skipped");
    println!(
        "{:?} behind after the jump",
        jump_ages.wait_for(millis(1000))
    );
    assert_eq!(jumped.holes().len(), 2);
    println!(
        "{:?} behind after catching up",
        keep_ages.wait_for(millis(1000))
    );
    assert_eq!(kept.holes().len(), 1, "it shows all of it");
    assert_eq!(keeps.stat("src", "pieces-skipped"), 0);
}
