// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The status pages of a broadcast and of its viewers, asked over sockets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use gst::{glib, prelude::*};
use gstlivetorrent::net::local_addresses;
use serde_json::Value;

use crate::support::{
    PATIENCE,
    live::Live,
    metainfo,
    peer::{Peer, id},
    pipeline::Pipeline,
    process::timed,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What a peer may call itself.
const SCRIPT: &str = "</td><script>alert(\"1\")</script>'";

/// A connection on which this was asked, under a host and with further headers.
fn asked(at: SocketAddr, target: &str, host: &str, headers: &str) -> TcpStream {
    let mut socket = TcpStream::connect_timeout(&at, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// Head and body of an answer.
fn ask(at: SocketAddr, target: &str, host: &str, headers: &str) -> (String, String) {
    let mut answer = String::new();
    let mut socket = asked(at, target, host, headers);
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.to_owned(), body.to_owned())
}

/// What is answered to who asks on this machine.
fn get(port: u16, target: &str) -> String {
    let (head, body) = ask((HERE, port).into(), target, "localhost", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{target}: {head}");
    body
}

fn stats(port: u16) -> Value {
    serde_json::from_str(&get(port, "/stats.json")).unwrap()
}

/// Asks until the figures are as they should be.
fn wait_for(port: u16, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = stats(port);
        if is_so(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "{what}: {stats}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A viewer with a page, and where that is.
fn viewer(live: &Live) -> (Pipeline, u16) {
    let location = live.location.display();
    let (viewer, _) = Pipeline::viewer(&format!("location={location} status-port=0"));
    viewer.play();
    let port = viewer.element("src").property::<i32>("status-port");
    (viewer, port.try_into().expect("a port was picked"))
}

/// The figures in each event of a connection that listens.
fn events(socket: TcpStream) -> impl Iterator<Item = Value> {
    let lines = BufReader::new(socket).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| !line.is_empty());
    std::iter::from_fn(move || {
        let line = lines.find(|line| line.starts_with("data: "))?;
        Some(serde_json::from_str(&line["data: ".len()..]).unwrap())
    })
}

#[test]
fn source_and_viewer_show_how_it_goes_and_tell_who_listens() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    let (_viewer, viewer_port) = viewer(&live);
    let source_port = live.port();
    for (port, role) in [(source_port, "source"), (viewer_port, "viewer")] {
        let moved = if role == "source" {
            "bytes-uploaded"
        } else {
            "bytes-out"
        };
        let before = wait_for(port, moved, |stats| stats[moved].as_u64() > Some(0));
        assert_eq!(before["role"], role);
        assert_eq!(before["name"], "live");
        assert_eq!(before["peers-connected"], 1);
        wait_for(port, moved, |stats| {
            stats[moved].as_u64() > before[moved].as_u64()
        });
        let page = get(port, "/");
        assert!(page.contains("<bdi>live</bdi>") && page.contains("livetorrent:?xt="));
        assert!(get(port, "/metrics").contains("\nlivetorrent_peers 1\n"));
        let openmetrics = "Accept: application/openmetrics-text\r\n";
        let (_, metrics) = ask((HERE, port).into(), "/metrics", "localhost", openmetrics);
        assert!(metrics.ends_with("\n# EOF\n"));
        let socket = asked((HERE, port).into(), "/events", "localhost", "");
        let told: Vec<_> = events(socket).take(3).collect();
        assert_ne!(told[0]["texts"]["uptime"], told[2]["texts"]["uptime"]);
        let mut socket = asked((HERE, port).into(), "/live.tstream", "localhost", "");
        let mut file = Vec::new();
        socket.read_to_end(&mut file).unwrap();
        let served = file.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
        let served = gstlivetorrent::proto::metainfo::Metainfo::parse(&file[served + 4..]);
        assert_eq!(served.unwrap().info, metainfo(&live.location).info);
    }
    let source = wait_for(source_port, "a viewer", |stats| {
        stats["viewers-announced"] == 1
    });
    assert!(source["bitrate"].as_u64() > Some(100_000), "{source}");
    assert!(source["upload-limit"].as_u64() > source["bitrate"].as_u64());
    wait_for(source_port, "a delay", |stats| {
        stats["delay"]["reported"] == 1
    });
}

#[test]
fn only_this_machine_sees_where_viewers_are_unless_the_user_says_otherwise() {
    for (public, properties) in [(false, ""), (true, "status-public=true")] {
        let folder = tempfile::tempdir().unwrap();
        let live = Live::start(folder.path(), properties);
        let (_viewer, viewer_port) = viewer(&live);
        let port = live.port();
        wait_for(port, "a viewer", |stats| stats["peers-connected"] == 1);
        let shown = |at: SocketAddr, host: &str, headers: &str| {
            let (head, body) = ask(at, "/stats.json", host, headers);
            if head.starts_with("HTTP/1.1 200 ") {
                let stats: Value = serde_json::from_str(&body).unwrap();
                Ok(stats["peers"][0].get("address").is_some())
            } else {
                Err(head[9..12].to_owned())
            }
        };
        let here = SocketAddr::from((HERE, port));
        assert_eq!(shown(here, "localhost", ""), Ok(true));
        let relayed = "X-Forwarded-For: 127.0.0.1\r\n";
        assert_eq!(shown(here, "localhost", relayed), Ok(public));
        let rebound = shown(here, "attacker.example", "");
        assert_eq!(rebound, if public { Ok(true) } else { Err("421".into()) });
        for address in local_addresses() {
            let there = SocketAddr::from((address, port));
            assert_eq!(shown(there, "localhost", ""), Ok(public), "{there}");
            // A viewer's page is on this machine only.
            let there = SocketAddr::from((address, viewer_port));
            assert!(TcpStream::connect_timeout(&there, PATIENCE).is_err());
        }
        let here = SocketAddr::from((HERE, viewer_port));
        assert_eq!(shown(here, "localhost", ""), Ok(true));
        assert_eq!(shown(here, "localhost", relayed), Err("403".into()));
        assert_eq!(shown(here, "attacker.example", ""), Err("421".into()));
    }
}

#[test]
fn what_a_peer_calls_itself_is_text() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    let port = live.port();
    let info = metainfo(&live.location).info;
    let mut peer =
        Peer::connect(port, info.infohash(), *b"-XX0000-<script>....", info.lap()).unwrap();
    let name = format!("1:v{}:{SCRIPT}", SCRIPT.len());
    let greeting = format!("\0d4:livede1:md12:tstream_livei3ee1:pi0e4:reqqi256e{name}e");
    peer.send(id::EXTENDED, greeting.as_bytes()).unwrap();
    peer.show(None).unwrap();
    let stats = wait_for(port, "the peer", |stats| stats["peers"][0].is_object());
    assert_eq!(stats["peers"][0]["client"], SCRIPT);
    let page = get(port, "/");
    assert!(
        !page.contains(SCRIPT) && !page.contains("alert(\""),
        "{page}"
    );
    assert!(page.contains("&lt;/td&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;"));
    let told = events(asked((HERE, port).into(), "/events", "localhost", "")).next();
    assert_eq!(told.unwrap()["peers"][0][0], SCRIPT);
}

#[test]
fn sixteen_listen_and_neither_they_nor_who_hangs_keeps_an_element_from_null() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    let (viewer, viewer_port) = viewer(&live);
    for port in [live.port(), viewer_port] {
        let at = SocketAddr::from((HERE, port));
        // Only one of them ever reads.
        let mut all: Vec<_> = (0..16)
            .map(|_| {
                let socket = asked(at, "/events", "localhost", "");
                // It has its place once the answer comes.
                socket.peek(&mut [0]).unwrap();
                socket
            })
            .collect();
        let (head, _) = ask(at, "/events", "localhost", "");
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        let mut told = events(all.pop().unwrap());
        assert!(told.next().is_some() && told.next().is_some());
        let taken = if port == viewer_port {
            timed(|| viewer.set_state(gst::State::Null))
        } else {
            timed(|| live.pipeline().set_state(gst::State::Null))
        };
        assert!(taken < Duration::from_secs(1), "{taken:?}");
        // It ends.
        told.for_each(drop);
        assert!(TcpStream::connect_timeout(&at, PATIENCE).is_err());
    }
    assert_eq!(viewer.element("src").property::<i32>("status-port"), 0);
}

#[test]
fn a_taken_status_port_is_one_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), "");
    let taken = TcpListener::bind((HERE, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let location = live.location.display();
    let (viewer, _) = Pipeline::viewer(&format!("location={location} status-port={port}"));
    let played = viewer.pipeline().set_state(gst::State::Playing);
    assert_eq!(played, Err(gst::StateChangeError));
    let bus = viewer.pipeline().bus().unwrap();
    let errors: Vec<_> = bus
        .iter_filtered(&[gst::MessageType::Error])
        .map(|message| match message.view() {
            gst::MessageView::Error(error) => error.error(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].matches(gst::ResourceError::Busy));
    let text = glib::Error::message(&errors[0]).to_owned();
    assert!(text.contains(&format!("port {port}")), "{text}");
}
