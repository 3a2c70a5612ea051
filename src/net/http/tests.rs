// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Every path, as it is answered; and what a connection may not do.

use super::*;

use std::{
    io::{Read as _, Write as _},
    net,
};

use super::super::{runtime::Runtime, status::tests::board};
use crate::proto::metainfo::Infohash;

const TSTREAM: &[u8] = b"d4:infod4:name3:fooee";
const NAME: &str = "Grüße & foo";
const FILE: &str = "/Gr%C3%BC%C3%9Fe%20%26%20foo.tstream";
const INFOHASH: Infohash = Infohash(*b"aaaaaaaaaaaaaaaaaaaa");

fn site() -> Site {
    Site {
        tstream_path: format!("/{NAME}.tstream").into_bytes(),
        tstream: Served::new(TSTREAM),
        tracker: Some(Mutex::new(TrackerServer::new(
            INFOHASH,
            [b'p'; 20],
            fastrand::Rng::new(),
        ))),
        board: board(NAME, false),
    }
}

fn viewers_site() -> Site {
    Site {
        tracker: None,
        board: board(NAME, true),
        ..site()
    }
}

fn ends(asker: &str) -> Ends {
    Ends {
        asker: asker.parse().unwrap(),
        local: "127.0.0.1:7764".parse().unwrap(),
    }
}

/// Head and body of a site's answer to a whole head.
fn ask_from(site: &Site, asker: &str, head: &[u8]) -> (String, Bytes) {
    let request = Request::parse(head).map(|request| request.expect("the head is whole"));
    let answer = request.and_then(|request| site.answer(&request, ends(asker), &Clock::new()));
    match response(answer) {
        (head, Body::Whole(body)) => (head, body),
        (head, Body::Feed(_)) => (head, Bytes::new()),
    }
}

fn ask(head: &[u8]) -> (String, Bytes) {
    ask_from(&site(), "127.0.0.1:5000", head)
}

fn get(target: &str) -> (String, Bytes) {
    ask(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
}

#[test]
fn the_file_is_given_out_under_its_percent_encoded_name() {
    for target in [
        "/Gr%C3%BC%C3%9Fe%20%26%20foo.tstream",
        "/Gr%c3%bc%c3%9fe%20&%20foo.tstream?ignored",
        "http://example.org:7764/Gr%C3%BC%C3%9Fe%20%26%20foo.tstream",
    ] {
        let (head, body) = get(target);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {head}");
        assert!(head.contains("\r\nContent-Type: application/x-bittorrent\r\n"));
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", TSTREAM.len())));
        assert!(head.contains("\r\nConnection: close\r\n"));
        assert_eq!(body, TSTREAM);
    }
}

/// Everything of the status page.
const PAGE: [&str; 7] = [
    "/",
    "/stats.json",
    "/metrics",
    "/events",
    "/status.css",
    "/status.js",
    "/status.svg",
];

#[test]
fn no_path_but_the_known_is_there() {
    for target in [
        "/foo.tstream",
        "/../foo.sauth",
        "/%2e%2e/foo.sauth",
        "//etc/passwd",
        "//",
        "/.",
        "/announce/",
        "/index.html",
        "/status.css/",
        "/Metrics",
        "http://example.org/status",
    ] {
        let (head, _) = get(target);
        assert!(head.starts_with("HTTP/1.1 404 "), "{target}: {head}");
    }
}

#[test]
fn the_status_page_is_there_with_a_strict_policy() {
    for target in PAGE {
        for host in ["localhost:7764", "127.0.0.1:7764", "[::1]:7764"] {
            let head = format!("GET {target}?x HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let (head, body) = ask(head.as_bytes());
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {head}");
            for header in [
                "\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; ",
                "\r\nX-Content-Type-Options: nosniff\r\n",
                "\r\nCache-Control: no-store\r\n",
            ] {
                assert!(head.contains(header), "{target}: {head}");
            }
            assert_eq!(body.is_empty(), target == "/events");
            assert_eq!(head.contains("Content-Length"), target != "/events");
        }
    }
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let head = |accept| {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        ask(head.as_bytes()).0
    };
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head(openmetrics).contains(openmetrics));
    assert!(head("*/*").contains("text/plain; version=0.0.4"));
}

#[test]
fn the_page_is_not_for_who_calls_this_host_by_another_name_but_tracker_and_file_are() {
    let get =
        |target| ask(format!("GET {target} HTTP/1.1\r\nHost: attacker.example\r\n\r\n").as_bytes());
    for target in PAGE {
        let (head, _) = get(target);
        assert!(head.starts_with("HTTP/1.1 421 "), "{target}: {head}");
    }
    for target in ["/announce", "/scrape", FILE] {
        let (head, _) = get(target);
        assert!(head.starts_with("HTTP/1.1 200 "), "{target}: {head}");
    }
}

#[test]
fn a_viewer_has_no_tracker_and_answers_its_own_machine_alone() {
    let site = viewers_site();
    let get = |asker, host, target| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        ask_from(&site, asker, head.as_bytes()).0
    };
    let here = |target| get("127.0.0.1:5000", "localhost", target);
    for target in PAGE.into_iter().chain([FILE]) {
        assert!(here(target).starts_with("HTTP/1.1 200 "), "{target}");
        let rebound = get("127.0.0.1:5000", "attacker.example", target);
        assert!(rebound.starts_with("HTTP/1.1 421 "), "{target}");
        let outside = get("192.0.2.1:5000", "localhost", target);
        assert!(outside.starts_with("HTTP/1.1 403 "), "{target}");
    }
    for target in ["/announce", "/scrape"] {
        assert!(here(target).starts_with("HTTP/1.1 404 "), "{target}");
    }
}

#[test]
fn who_finds_no_place_to_listen_is_told_to_come_again() {
    let site = site();
    let listen = || {
        let request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let request = Request::parse(request).unwrap().unwrap();
        response(site.answer(&request, ends("127.0.0.1:5000"), &Clock::new()))
    };
    let all: Vec<_> = (0..17).map(|_| listen()).collect();
    let (head, _) = all.last().unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("\r\nRetry-After: 10\r\n"), "{head}");
    assert!(all[15].0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn other_methods_are_405_and_what_is_no_request_400() {
    let (head, _) = ask(b"POST /announce HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET, HEAD\r\n"));
    for bad in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"GET /announce\r\n\r\n",
        b"GET announce HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let (head, _) = ask(bad);
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    }
}

fn server(head_time: Duration) -> Server {
    Server {
        site: site(),
        shown: Arc::new(Shown::new(1)),
        ways: Arc::default(),
        clock: Clock::new(),
        connections: Admission::new(CONNECTIONS),
        head_time,
    }
}

/// What a server answers to bytes that come in these parts, until it closes.
fn talk(head_time: Duration, parts: &[&[u8]]) -> Vec<u8> {
    const LIMIT: Duration = Duration::from_secs(20);
    let listener = net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.set_nodelay(true).unwrap();
    let (near, asker) = listener.accept().unwrap();
    let runtime = Runtime::start("test", move |_| async move {
        let server = server(head_time);
        server.serve(near.into(), asker, Vec::new()).await;
    })
    .unwrap();
    for part in parts {
        client.write_all(part).unwrap();
    }
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    client.shutdown(Shutdown::Both).unwrap();
    assert!(runtime.join(LIMIT));
    answer
}

#[test]
fn a_request_in_parts_is_answered_and_the_connection_closed() {
    let head = format!("GET {FILE} HTTP/1.1\r\nHost: x\r\n\r\n");
    let (first, rest) = head.as_bytes().split_at(9);
    let answer = talk(HEAD_TIME, &[first, rest, b"more than was asked for"]);
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(TSTREAM));
}

#[test]
fn a_head_request_gets_the_length_but_no_body() {
    for target in [FILE, "/", "/events"] {
        let head = format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = talk(HEAD_TIME, &[head.as_bytes()]);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("\r\nContent-Length: "), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn events_go_on_after_the_answer() {
    let listener = net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let (near, asker) = listener.accept().unwrap();
    let runtime = Runtime::start("test", move |_| async move {
        let server = Arc::new(server(HEAD_TIME));
        let record = async { Arc::clone(&server).keep_record().await };
        future::or(server.serve(near.into(), asker, Vec::new()), record).await;
    })
    .unwrap();
    let request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(request).unwrap();
    let mut told = Vec::new();
    let mut buffer = [0; 4096];
    while told.windows(6).filter(|bytes| bytes == b"data: ").count() < 3 {
        let bytes = client.read(&mut buffer).unwrap();
        assert!(bytes > 0);
        told.extend_from_slice(&buffer[..bytes]);
    }
    drop(client);
    assert!(runtime.join(Duration::from_secs(20)));
}

#[test]
fn a_head_that_does_not_end_closes_without_an_answer() {
    assert!(talk(Duration::from_millis(50), &[b"GET / HTTP/1.1\r\n"]).is_empty());
}
