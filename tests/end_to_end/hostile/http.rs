// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Attackers who speak HTTP to the source's port.

use std::{
    io::{self, Read, Write},
    sync::Mutex,
};

use super::siege::{Siege, Target};
use crate::support::peer::is_breath;

/// A request, and the statuses that may answer it; none: the connection ends without a word.
struct Request {
    bytes: Vec<u8>,
    allowed: &'static [&'static str],
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// Ways out of what the source gives.
fn traversals() -> Vec<Request> {
    const PATHS: [&str; 14] = [
        "/foo.sauth",
        "/foo.restart",
        "/../foo.sauth",
        "/foo.tstream/../foo.sauth",
        "/%2e%2e/foo.sauth",
        "/..%2ffoo.sauth",
        "/%252e%252e/foo.sauth",
        "//foo.sauth",
        "/foo.tstream%00.sauth",
        "/foo.sauth?/foo.tstream",
        "/etc/passwd",
        "http://x/foo.sauth",
        "file:///etc/passwd",
        "/\\..\\foo.sauth",
    ];
    PATHS
        .iter()
        .map(|path| Request {
            bytes: get(path).into_bytes(),
            allowed: &["404", "400"],
        })
        .collect()
}

/// Requests in which another may be hidden, and such as are none.
fn smugglings() -> Vec<Request> {
    let hidden = get("/foo.tstream");
    let request = |head: &str, allowed| Request {
        bytes: format!("{head}\r\n\r\n{hidden}").into_bytes(),
        allowed,
    };
    let length = hidden.len();
    vec![
        request("GET /announce HTTP/1.1\r\nContent-Length: 0", &["200"]),
        request(
            &format!("GET /none HTTP/1.1\r\nContent-Length: {length}\r\nContent-Length: 0"),
            &["404", "400"],
        ),
        request(
            "GET /none HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
            &["404", "400"],
        ),
        request(
            "POST /announce HTTP/1.1\r\nTransfer-Encoding: chunked",
            &["405"],
        ),
        request("CONNECT x:1 HTTP/1.1\r\nHost: x", &["405", "400"]),
        request("GET /none HTTP/1.1\r\nA: b\r\n folded: c", &["400"]),
        request("GET /none HTTP/1.1\r\nA : b", &["400"]),
        request(
            "GET /none HTTP/1.1\r\nA: b\rGET /foo.tstream HTTP/1.1",
            &["400"],
        ),
        request("GET /none HTTP/1.1\r\nA: \0", &["400"]),
        request("GET /none\r\nHost: x", &["400"]),
        request("GET  /none  HTTP/1.1", &["400"]),
        request("PRI * HTTP/2.0", &["400", "405"]),
    ]
}

/// Heads that are too large.
fn giants() -> Vec<Request> {
    let too_large: &[&str] = &["431", "400"];
    let header = "X-Header: value\r\n";
    let texts = [
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)),
        format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(1_000_000)),
        format!("GET / HTTP/1.1\r\n{}\r\n", header.repeat(10_000)),
        format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(65)),
        "A".repeat(50_000),
    ];
    texts
        .into_iter()
        .map(|text| Request {
            bytes: text.into_bytes(),
            allowed: too_large,
        })
        .collect()
}

/// Announces that would have the tracker lie or swell.
fn announces(target: &Target) -> Vec<Request> {
    let infohash: String = target
        .info
        .infohash()
        .0
        .iter()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    let peer: String = (0..20).map(|_| fastrand::alphanumeric()).collect();
    let port = fastrand::u16(1..);
    let own = format!("/announce?info_hash={infohash}&peer_id={peer}&left=1&compact=1");
    let many = "&a=b".repeat(1000);
    [
        format!("{own}&port={port}&ip=192.0.2.1&numwant=4294967295"),
        format!("{own}&port=0&numwant=-1"),
        format!("{own}&port=99999999999999999999"),
        format!("{own}&port={port}&event=stopped"),
        format!("{own}&port={port}{many}"),
        format!("/announce?info_hash=%zz&peer_id={peer}&port={port}"),
        format!("/announce?info_hash={infohash}&info_hash={infohash}&port={port}"),
        "/scrape".to_owned() + &"?info_hash=%00".repeat(300),
    ]
    .into_iter()
    .map(|target| Request {
        bytes: get(&target).into_bytes(),
        allowed: &["200", "400", "431"],
    })
    .collect()
}

/// Sends a request; all that comes back until the source closes. A giant may be cut short.
fn ask(target: &Target, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = target.call()?;
    let _ = socket.write_all(request);
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Err(error) if is_breath(&error) => Err(error),
        _ => Ok(answer),
    }
}

/// What is wrong with an answer.
fn fault(request: &Request, answer: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(answer);
    if text.contains("PRIVATE KEY") || text.contains("root:") {
        return Some("a file came out");
    }
    if text.matches("HTTP/1.1 ").count() > 1 {
        return Some("more than one answer came");
    }
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    // Who sends on while the answer is on its way may lose it; who comes too often gets none.
    match status {
        None => (!answer.is_empty()).then_some("no answer of HTTP"),
        Some(status) => (!request.allowed.contains(&status)).then_some("another status"),
    }
}

/// A siege of the source by these requests; each must be answered as it is allowed to be.
fn asked(requests: impl Fn(&Target) -> Vec<Request> + Sync + Send) {
    let answered = Mutex::new(Vec::new());
    let faults = Mutex::new(Vec::new());
    Siege::lay().withstands(|field| {
        field.charge_at(&[&field.source], 4, |target, _| {
            for (number, request) in requests(target).into_iter().enumerate() {
                if !field.goes_on() {
                    break;
                }
                let answer = ask(target, &request.bytes)?;
                field.hit();
                let mut answered = answered.lock().unwrap();
                let known = answered.len().max(number + 1);
                answered.resize(known, false);
                answered[number] |= !answer.is_empty();
                if let Some(fault) = fault(&request, &answer) {
                    let request = String::from_utf8_lossy(&request.bytes);
                    let request: String = request.chars().take(200).collect();
                    let answer: String =
                        String::from_utf8_lossy(&answer).chars().take(200).collect();
                    faults.lock().unwrap().push((fault, request, answer));
                }
            }
            Ok(())
        });
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{:#?}", &faults[..faults.len().min(10)]);
    let answered = answered.into_inner().unwrap();
    assert!(answered.iter().all(|answered| *answered), "{answered:?}");
}

#[test]
fn no_path_leads_out_of_what_the_source_gives() {
    asked(|_| traversals());
}

#[test]
fn one_connection_gets_one_answer_whatever_is_hidden_in_the_request() {
    asked(|_| smugglings());
}

#[test]
fn giant_heads_are_refused() {
    asked(|_| giants());
}

#[test]
fn announces_of_every_kind_harm_nobody() {
    asked(announces);
}
