// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Everywhere a URI goes: players, the file that the source hands out, the link, the type of the file.

use std::sync::mpsc;

use gst::{glib, prelude::*};

use crate::support::{
    PATIENCE,
    pipeline::{self, Pipeline},
    process::Launch,
};

/// Pictures and buffers of sound that show that a stream is decoded.
const SHOWN: usize = 20;

/// A live broadcast with picture and sound for as long as the test takes.
struct Television {
    source: Pipeline,
    folder: tempfile::TempDir,
    link: String,
}

impl Television {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Pipeline::new(&format!(
            "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=25/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=200 key-int-max=25 \
             ! video/x-h264,profile=baseline ! queue ! mux. \
             audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! voaacenc ! aacparse \
             ! queue ! mux. \
             mpegtsmux name=mux ! livetorrentsink name=foo location={} port=0 public-address=127.0.0.1",
            folder.path().join("foo.tstream").display()
        ));
        source.set_state(gst::State::Playing);
        let ready = source.wait_for_message("livetorrent-ready");
        let link = ready.get::<String>("uri").unwrap();
        Self {
            source,
            folder,
            link,
        }
    }

    fn file(&self) -> String {
        self.folder.path().join("foo.tstream").display().to_string()
    }

    fn http(&self) -> String {
        let port = self.source.element_port("foo");
        format!("http://127.0.0.1:{port}/foo.tstream")
    }
}

/// A sink that tells of each buffer.
fn counting_sink(name: &str) -> (gst::Element, mpsc::Receiver<()>) {
    pipeline::init();
    let sink = gst::ElementFactory::make("fakesink")
        .name(name)
        .property("sync", true)
        .property("signal-handoffs", true)
        .build()
        .unwrap();
    let (tell, told) = mpsc::channel();
    sink.connect("handoff", false, move |_| {
        // Nobody listens once enough came.
        let _ = tell.send(());
        None
    });
    (sink, told)
}

fn wait_for_some(told: &mpsc::Receiver<()>, what: &str) {
    for number in 0..SHOWN {
        let came = told.recv_timeout(PATIENCE);
        assert!(came.is_ok(), "{number} {what} and no more");
    }
}

/// Plays a URI with `player` until picture and sound have been shown.
fn plays(player: &str, uri: &str) {
    let (video, pictures) = counting_sink("pictures");
    let (audio, sounds) = counting_sink("sounds");
    let player = Pipeline::new(&format!("{player} name=player"));
    let element = player.pipeline();
    element.set_property("uri", uri);
    element.set_property("video-sink", &video);
    element.set_property("audio-sink", &audio);
    player.play();
    wait_for_some(&pictures, "pictures");
    wait_for_some(&sounds, "buffers of sound");
    player.assert_no_error();
}

/// Plays a location with `livetorrentsrc ! decodebin` until the first decoded stream was shown.
fn decodes(location: &str) {
    let (sink, shown) = counting_sink("shown");
    let player = Pipeline::new("livetorrentsrc name=src ! decodebin name=decode");
    player.element("src").set_property("location", location);
    let pipeline = player.pipeline();
    pipeline.add(&sink).unwrap();
    let sink = sink.downgrade();
    player.element("decode").connect_pad_added(move |_, pad| {
        let Some(sink) = sink.upgrade() else { return };
        let end = sink.static_pad("sink").unwrap();
        if !end.is_linked() {
            pad.link(&end).unwrap();
        }
    });
    player.play();
    wait_for_some(&shown, "buffers");
    player.assert_no_error();
}

#[test]
fn players_take_the_uri_of_a_file_and_the_link() {
    let television = Television::new();
    let file = glib::filename_to_uri(television.file(), None).unwrap();
    let file = file.replacen("file:", "livetorrent:", 1);
    assert!(file.starts_with("livetorrent:///"), "{file}");
    plays("playbin3", &file);
    plays("playbin3", &television.link);
    plays("playbin", &file);
}

#[test]
fn a_location_is_a_path_a_file_uri_what_the_source_serves_or_the_link() {
    let television = Television::new();
    let file = television.file();
    decodes(&file);
    decodes(&format!("file://{file}"));
    decodes(&television.http());
    decodes(&television.link);
}

#[test]
fn gst_play_plays_a_uri() {
    let television = Television::new();
    let play = Launch::play(format!("livetorrent://{}", television.file()));
    // Where it is in the stream, which it only tells while that is shown.
    play.wait_for("a second", |line| line.starts_with("0:00:01").then_some(()));
    assert!(!play.said().contains("ERROR"));
}

/// What `typefind` takes a file for.
fn type_of(file: &std::path::Path) -> String {
    let pipeline = Pipeline::new(&format!(
        "filesrc location={} ! typefind name=find ! fakesink",
        file.display()
    ));
    let (tell, told) = mpsc::channel();
    pipeline
        .element("find")
        .connect("have-type", false, move |values| {
            let caps = values[2].get::<gst::Caps>().unwrap();
            // A later guess is of no interest.
            let _ = tell.send(caps.structure(0).unwrap().name().to_string());
            None
        });
    pipeline.set_state(gst::State::Paused);
    told.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_tstream_is_known_by_what_is_in_it_whatever_its_name() {
    let television = Television::new();
    let tstream = std::fs::read(television.file()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["foo.tstream", "foo.torrent", "foo"] {
        let file = folder.path().join(name);
        std::fs::write(&file, &tstream).unwrap();
        assert_eq!(type_of(&file), "application/x-tstream", "{name}");
    }
    let info = "d6:lengthi1e4:name3:bar12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let torrent = format!("d8:announce19:http://h:1/announce4:info{info}e");
    let found = gst_base::type_find_helper_for_data(gst::Object::NONE, torrent);
    let name = found
        .ok()
        .and_then(|(caps, _)| Some(caps.structure(0)?.name().to_string()));
    assert_ne!(name.as_deref(), Some("application/x-tstream"));
}
