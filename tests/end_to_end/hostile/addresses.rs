// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Attackers who would have others attacked: addresses of victims, in PEX and from trackers.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::siege::{Field, Siege, Target};
use crate::support::{
    peer::{frame, id},
    redirect,
};

/// Calls that a victim may get of one viewer while it is attacked.
const A_FEW: usize = 3;
/// Viewers that may call: the one that is there and the newcomer.
const VIEWERS: usize = 2;
/// Between two looks of a listener that must see the siege end.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Somebody who has nothing to do with the stream, and counts who calls.
#[derive(Debug)]
struct Victim {
    listener: TcpListener,
    calls: AtomicUsize,
}

impl Victim {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            listener,
            calls: AtomicUsize::new(0),
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Takes calls and hangs up.
    fn is_called(&self, field: &Field) {
        while field.goes_on() {
            match self.listener.accept() {
                Ok(_) => {
                    self.calls.fetch_add(1, Relaxed);
                }
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
    }
}

/// These addresses as trackers and PEX write them (BEP 23).
fn compact(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for address in addresses {
        let SocketAddr::V4(address) = address else {
            panic!("IPv4 alone");
        };
        bytes.extend_from_slice(&address.ip().octets());
        bytes.extend_from_slice(&address.port().to_be_bytes());
    }
    bytes
}

/// Addresses of this machine at which nobody is, most likely.
fn nobody(count: usize) -> impl Iterator<Item = SocketAddr> {
    (0..count).map(|number| {
        let host = [127, 1, (number >> 8) as u8, number as u8];
        SocketAddr::from((host, 1 + (number % 60_000) as u16))
    })
}

fn few_calls(victims: &[Victim]) {
    let calls: Vec<_> = victims
        .iter()
        .map(|victim| victim.calls.load(Relaxed))
        .collect();
    println!("calls of the victims: {calls:?}");
    let most = calls.into_iter().max().unwrap_or_default();
    assert!(most <= A_FEW * VIEWERS, "a victim was called {most} times");
}

/// Tells of the victims over and over, and comes back under another name.
fn tells_of(victims: &[Victim], target: &Target, field: &Field) -> io::Result<()> {
    const OURS: u8 = 1;
    let peer = target.insider()?;
    for _ in 0..20 {
        let mut told: Vec<_> = victims.iter().map(Victim::address).collect();
        let others = nobody(50_000).skip(fastrand::usize(..49_000));
        told.extend(others.take(50 - told.len()));
        let mut payload = vec![OURS];
        let added = compact(told);
        payload.extend_from_slice(format!("d5:added{}:", added.len()).as_bytes());
        payload.extend_from_slice(&added);
        payload.extend_from_slice(b"e");
        peer.socket().write_all(&frame(id::EXTENDED, &payload))?;
        field.hit();
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

#[test]
fn pex_full_of_victims_leads_to_a_few_calls_of_each() {
    let victims = [(); 4].map(|()| Victim::new());
    Siege::lay().withstands(|field| {
        thread::scope(|scope| {
            for victim in &victims {
                scope.spawn(|| victim.is_called(field));
            }
            field.charge(4, |target, _| tells_of(&victims, target, field));
        });
    });
    few_calls(&victims);
}

/// What a tracker answers.
#[derive(Debug, Clone)]
enum Answer {
    /// So many bytes of peers, truly.
    Peers(Vec<u8>),
    /// More and more, for ever.
    Endless,
}

/// Answers announces until the siege is over.
fn track(field: &Field, listener: &TcpListener, answer: &Answer) {
    listener.set_nonblocking(true).unwrap();
    thread::scope(|scope| {
        while field.goes_on() {
            let Ok((socket, _)) = listener.accept() else {
                thread::sleep(LOOK_EVERY);
                continue;
            };
            scope.spawn(move || {
                let _ = reply(field, &socket, answer);
            });
        }
    });
}

fn reply(field: &Field, mut socket: &TcpStream, answer: &Answer) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    field.hit();
    match answer {
        Answer::Peers(peers) => {
            let start = format!("d8:intervali1e12:min intervali1e5:peers{}:", peers.len());
            let length = start.len() + peers.len() + 1;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{start}");
            socket.write_all(head.as_bytes())?;
            socket.write_all(peers)?;
            socket.write_all(b"e")
        }
        Answer::Endless => {
            socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            socket.write_all(b"7\r\nd5:peer\r\n")?;
            while field.goes_on() {
                socket.write_all(b"1\r\ns\r\n")?;
                thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        }
    }
}

/// Writes to `to` the stream of `from` with these trackers, one a tier.
fn with_trackers(from: &Path, to: &Path, trackers: &[&TcpListener]) {
    let urls: Vec<_> = trackers
        .iter()
        .map(|tracker| format!("http://{}/announce", tracker.local_addr().unwrap()))
        .collect();
    redirect(from, to, &urls[0]);
    let file = fs::read(to).unwrap();
    let (first, rest) =
        file.split_at(b"d8:announce".len() + urls[0].len().to_string().len() + 1 + urls[0].len());
    let mut changed = first.to_vec();
    changed.extend_from_slice(b"13:announce-listl");
    for url in &urls {
        changed.extend_from_slice(format!("l{}:{url}e", url.len()).as_bytes());
    }
    changed.extend_from_slice(b"e");
    changed.extend_from_slice(rest);
    fs::write(to, changed).unwrap();
}

#[test]
fn trackers_with_a_million_peers_and_answers_without_end() {
    let trackers = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let victims = [(); 4].map(|()| Victim::new());
    let [million, thousands, endless] = &trackers;
    let folder = tempfile::tempdir().unwrap();
    let siege = Siege::of(folder, |folder, port| {
        let evil = folder.join("evil.tstream");
        with_trackers(&folder.join("foo.tstream"), &evil, &[million, thousands]);
        format!("location={} peers=127.0.0.1:{port}", evil.display())
    });
    let worse = siege.folder().join("worse.tstream");
    with_trackers(&siege.folder().join("foo.tstream"), &worse, &[endless]);
    let newcomer = format!(
        "location={} peers=127.0.0.1:{}",
        worse.display(),
        siege.field().viewer.port
    );
    let answers = [
        Answer::Peers(compact(nobody(1_000_000))),
        Answer::Peers(compact(
            victims.iter().map(Victim::address).chain(nobody(40_000)),
        )),
        Answer::Endless,
    ];
    let outcome = siege.withstands_with(&newcomer, |field| {
        thread::scope(|scope| {
            for victim in &victims {
                scope.spawn(|| victim.is_called(field));
            }
            for (tracker, answer) in trackers.iter().zip(&answers) {
                scope.spawn(|| track(field, tracker, answer));
            }
        });
    });
    assert!(outcome.hits >= 3, "each of the trackers was asked");
    few_calls(&victims);
}
