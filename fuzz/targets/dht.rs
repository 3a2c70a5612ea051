// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A node of the DHT (BEP 5) among whoever sends it what: nothing that goes out is larger than a
//! datagram, no more goes out than comes in allows, and it wakes at moments that come.
//!
//! Input: steps. A byte of what: a datagram from one of sixteen addresses (a byte of length follows,
//! and the bytes; `TT` in it stands for the transaction number of our last question to that address),
//! time, or a search.

#![no_main]

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use gstlivetorrent::proto::{
    address::Family,
    dht::{Config, MAX_DATAGRAM, Node, Output},
    metainfo::Infohash,
    time::Instant,
};
use libfuzzer_sys::fuzz_target;

/// Questions of searches and announces that one datagram or step can lead to.
const MAX_OUT: usize = 80;

fn address(n: u8) -> SocketAddr {
    match n % 16 {
        n @ 0..4 => SocketAddr::from(([127, 0, 0, 1], 1000 + u16::from(n))),
        n => SocketAddr::from(([20, n, 0, 1], 6881)),
    }
}

fuzz_target!(|input: &[u8]| {
    let mut now = Instant::from_micros(1 << 40);
    let config = Config {
        family: Family::V4,
        infohash: Infohash(*b"mnopqrstuvwxyz123456"),
        port: 7764,
        rng: fastrand::Rng::with_seed(1),
    };
    let mut node = Node::new(config, now);
    let mut asked: HashMap<SocketAddr, [u8; 2]> = HashMap::new();
    let mut rest = input;
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        match step {
            0..=127 => {
                let Some((&length, after)) = rest.split_first() else {
                    return;
                };
                let (datagram, after) = after.split_at(usize::from(length).min(after.len()));
                rest = after;
                let from = address(step);
                let mut datagram = datagram.to_vec();
                if let Some(transaction) = asked.get(&from)
                    && let Some(place) = datagram.windows(2).position(|pair| pair == b"TT")
                {
                    datagram[place..place + 2].copy_from_slice(transaction);
                }
                node.receive(now, from, &datagram);
            }
            128..=191 => {
                now = now + Duration::from_millis(1 << (step % 16));
                if now >= node.wake_at() {
                    node.wake(now);
                    assert!(node.wake_at() > now, "woken in vain");
                }
            }
            192..=223 => {
                node.begin_at(now, address(step));
            }
            224.. => node.look_up(now),
        }
        let mut out = 0;
        while let Some(output) = node.poll() {
            out += 1;
            match output {
                Output::Send { to, datagram } => {
                    assert!(datagram.len() <= MAX_DATAGRAM);
                    assert!(to.port() != 0 && !to.ip().is_unspecified());
                    // Our own questions have transaction numbers of two bytes.
                    if let Some(place) = datagram.windows(5).position(|bytes| bytes == b"1:t2:") {
                        asked.insert(to, [datagram[place + 5], datagram[place + 6]]);
                    }
                }
                Output::Peers(peers) => assert!(!peers.is_empty() && peers.len() <= 100),
                Output::Found(found) => assert!(found.peers <= 500 && found.nodes <= 64),
            }
        }
        assert!(out <= MAX_OUT, "{out} outputs of one step");
    }
});
