// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Ending: by EOS, by Ctrl-C, and by NULL while peers hang.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use gst::prelude::*;

use crate::support::{
    PATIENCE, fed_sink,
    fixture::{self, CLIP},
    metainfo,
    peer::{Peer, id},
    pipeline::Pipeline,
    process::{Launch, timed},
    redirect,
    transport::Transport,
};

/// How long NULL may take, from any state.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn eos_comes_after_the_last_byte_and_ends_the_viewers() {
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let stream = Transport::new(&input);
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Launch::new(&fed_sink(folder.path(), "port=0"));
    let mut feed = sink.feed();
    sink.port();
    let location = folder.path().join("foo.tstream");
    let viewers = [0, 200, 1500].map(|latency| {
        Pipeline::viewer(&format!(
            "location={} latency={latency}",
            location.display()
        ))
    });
    for (viewer, _) in &viewers {
        viewer.play();
    }
    let beginning = stream.offset_at(2.0);
    feed.write_all(&input[..beginning]).unwrap();
    for (_, bytes) in &viewers {
        bytes.wait_for(1);
    }
    feed.write_all(&input[beginning..]).unwrap();
    drop(feed);
    for (viewer, bytes) in &viewers {
        viewer.wait_for_eos();
        stream.joined_by(&bytes.wait_for_end(), true);
    }
    assert!(sink.wait_for_exit().success());
}

#[test]
fn ctrl_c_leaves_a_valid_file_and_a_private_key() {
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Launch::new(&fed_sink(folder.path(), "port=0"));
    let mut feed = sink.feed();
    feed.write_all(&input[..100 * 188]).unwrap();
    sink.port();
    sink.interrupt();
    sink.wait_for_exit();
    assert_eq!(sink.errors(), [""; 0]);
    let file = metainfo(&folder.path().join("foo.tstream"));
    assert_eq!(file.info.name(), "foo");
    let key = fs::metadata(folder.path().join("foo.sauth")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["foo.restart", "foo.sauth", "foo.tstream"]);
}

#[test]
fn a_viewer_reaches_null_at_once_while_its_peer_and_tracker_hang() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Launch::new(&fed_sink(folder.path(), "port=0"));
    sink.port();
    sink.kill();
    // Connections are made by the kernel; nobody answers on them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let tstream = folder.path().join("silent.tstream");
    redirect(
        &folder.path().join("foo.tstream"),
        &tstream,
        &format!("http://127.0.0.1:{port}/announce"),
    );
    for state in [gst::State::Ready, gst::State::Paused, gst::State::Playing] {
        let (viewer, _) = Pipeline::viewer(&format!(
            "location={} peers=127.0.0.1:{port}",
            tstream.display()
        ));
        viewer.set_state(state);
        let hanging = (state == gst::State::Playing).then(|| silent.accept().unwrap());
        let taken = timed(|| viewer.set_state(gst::State::Null));
        println!("NULL from {state:?} after {} ms", taken.as_millis());
        assert!(taken < AT_ONCE, "{taken:?} from {state:?}");
        drop(hanging);
    }
}

#[test]
fn a_playing_viewer_and_its_source_reach_null_at_once_while_others_hang() {
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tstream = folder.path().join("foo.tstream");
    let file = fixture::file(CLIP);
    let source = Pipeline::new(&format!(
        "filesrc location={} ! livetorrentsink name=foo location={} port=0 public-address=127.0.0.1",
        file.display(),
        tstream.display()
    ));
    source.set_state(gst::State::Playing);
    let port = source.port("foo");
    let info = metainfo(&tstream).info;
    // One that says nothing, one that stops in the middle of its handshake, one that never reads.
    let _silent = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut half = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    half.write_all(b"\x13BitTorrent").unwrap();
    let mut request = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    request.write_all(b"GET /announce?").unwrap();
    let mut deaf =
        Peer::connect(port, info.infohash(), *b"-TE0001-never reads!", info.lap()).unwrap();
    deaf.greet(None).unwrap();

    let (viewer, bytes) = Pipeline::viewer(&format!("location={}", tstream.display()));
    viewer.play();
    bytes.wait_for(input.len() / 10);
    let viewer_port = viewer.element_port("src");
    let _silent_at_viewer = TcpStream::connect((Ipv4Addr::LOCALHOST, viewer_port)).unwrap();
    let taken = timed(|| viewer.set_state(gst::State::Null));
    println!("viewer: NULL after {} ms", taken.as_millis());
    assert!(taken < AT_ONCE, "viewer: {taken:?}");
    let taken = timed(|| source.set_state(gst::State::Null));
    println!("source: NULL after {} ms", taken.as_millis());
    assert!(taken < AT_ONCE, "source: {taken:?}");
}

#[test]
fn a_source_that_waits_for_viewers_at_eos_reaches_null_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let tstream = folder.path().join("foo.tstream");
    for _ in 0..3 {
        let source = Pipeline::new(&format!(
            "filesrc location={} ! livetorrentsink name=foo location={} port=0 sync=false \
             public-address=127.0.0.1 drain-timeout=3600000000000",
            fixture::file(CLIP).display(),
            tstream.display()
        ));
        source.set_state(gst::State::Ready);
        let port = source.port("foo");
        let info = metainfo(&tstream).info;
        let mut deaf =
            Peer::connect(port, info.infohash(), *b"-TE0001-never reads!", info.lap()).unwrap();
        deaf.greet(None).unwrap();
        deaf.send(id::INTERESTED, &[]).unwrap();
        deaf.wait_for_unchoke().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let pad = source.element("foo").static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data
                && event.type_() == gst::EventType::Eos
            {
                tell.send(()).unwrap();
            }
            gst::PadProbeReturn::Ok
        });
        source.set_state(gst::State::Playing);
        told.recv_timeout(PATIENCE).unwrap();
        let taken = timed(|| source.set_state(gst::State::Null));
        println!("NULL after {} ms", taken.as_millis());
        assert!(taken < AT_ONCE, "{taken:?}");
    }
}

#[test]
fn elements_can_play_again_after_null() {
    let folder = tempfile::tempdir().unwrap();
    let tstream = folder.path().join("foo.tstream");
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let stream = Transport::new(&input);
    let source = Pipeline::new(&format!(
        "filesrc location={} ! livetorrentsink name=foo location={} port=0 public-address=127.0.0.1",
        fixture::file(CLIP).display(),
        tstream.display()
    ));
    for _ in 0..2 {
        source.set_state(gst::State::Playing);
        source.port("foo");
        let (viewer, bytes) =
            Pipeline::viewer(&format!("location={} latency=100", tstream.display()));
        viewer.play();
        stream.joined_by(&bytes.wait_for_end(), true);
        source.wait_for_eos();
        source.set_state(gst::State::Null);
    }
}

#[test]
fn after_its_end_a_source_broadcasts_again_from_ready() {
    let folder = tempfile::tempdir().unwrap();
    let tstream = folder.path().join("foo.tstream");
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let stream = Transport::new(&input);
    let source = Pipeline::new(&format!(
        "filesrc location={} ! livetorrentsink name=foo location={} port=0 public-address=127.0.0.1",
        fixture::file(CLIP).display(),
        tstream.display()
    ));
    for _ in 0..2 {
        source.set_state(gst::State::Playing);
        let (viewer, bytes) =
            Pipeline::viewer(&format!("location={} latency=100", tstream.display()));
        viewer.play();
        stream.joined_by(&bytes.wait_for_end(), true);
        source.wait_for_eos();
        source.set_state(gst::State::Ready);
    }
}
