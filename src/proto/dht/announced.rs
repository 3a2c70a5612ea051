// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Peers that others announced here (BEP 5), and the tokens that show that they are where they say.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use fastrand::Rng;
use sha1::{Digest as _, Sha1};

use super::id::NodeId;
use crate::proto::{
    address::{Scope, network},
    time::Instant,
};

/// Most announces that are kept, of all streams.
const MAX_ANNOUNCED: usize = 2000;
/// Most of them from one address; on this host each program has the same.
const MAX_OF_ADDRESS: usize = 32;
const MAX_OF_LOOPBACK: usize = 512;
/// Who does not announce again is forgotten (BEP 5: every quarter of an hour).
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// A token is good for one to two of these (BEP 5).
const TOKEN_TIME: Duration = Duration::from_secs(5 * 60);
/// Bytes of a token.
const TOKEN_LEN: usize = 8;

pub(super) type Token = [u8; TOKEN_LEN];

#[derive(Debug, Clone, Copy)]
struct Entry {
    target: NodeId,
    peer: SocketAddr,
    at: Instant,
}

/// Who announced what.
#[derive(Debug)]
pub(super) struct Announced {
    entries: Vec<Entry>,
    secrets: [[u8; 16]; 2],
    /// When the first secret was drawn.
    since: Instant,
}

impl Announced {
    pub(super) fn new(now: Instant, rng: &mut Rng) -> Self {
        Self {
            entries: Vec::new(),
            secrets: [secret(rng), secret(rng)],
            since: now,
        }
    }

    /// What whoever asks from `ip` has to show to announce.
    pub(super) fn token(&mut self, now: Instant, ip: IpAddr, rng: &mut Rng) -> Token {
        self.renew(now, rng);
        token(&self.secrets[0], ip)
    }

    /// Whether it was given to `ip` lately.
    pub(super) fn is_token(
        &mut self,
        now: Instant,
        ip: IpAddr,
        shown: &[u8],
        rng: &mut Rng,
    ) -> bool {
        self.renew(now, rng);
        self.secrets.iter().any(|secret| token(secret, ip) == shown)
    }

    fn renew(&mut self, now: Instant, rng: &mut Rng) {
        let age = now.since(self.since);
        if age < TOKEN_TIME {
            return;
        }
        let before = match age < 2 * TOKEN_TIME {
            true => self.secrets[0],
            false => secret(rng),
        };
        self.secrets = [secret(rng), before];
        self.since = now;
    }

    /// A peer of `target`; `false`: there is no room.
    pub(super) fn add(&mut self, now: Instant, target: NodeId, peer: SocketAddr) -> bool {
        let same = |entry: &&mut Entry| entry.target == target && entry.peer == peer;
        if let Some(entry) = self.entries.iter_mut().find(same) {
            entry.at = now;
            return true;
        }
        self.entries.retain(|entry| now.since(entry.at) < LIFETIME);
        let most = match Scope::of(peer.ip()) {
            Scope::Loopback => MAX_OF_LOOPBACK,
            Scope::Private | Scope::Public => MAX_OF_ADDRESS,
        };
        let of_address = self
            .entries
            .iter()
            .filter(|entry| network(entry.peer.ip()) == network(peer.ip()));
        if self.entries.len() >= MAX_ANNOUNCED || of_address.count() >= most {
            return false;
        }
        self.entries.push(Entry {
            target,
            peer,
            at: now,
        });
        true
    }

    /// At most `most` peers of `target`, any, that whoever asks from `asker` may be told of.
    pub(super) fn peers(
        &self,
        now: Instant,
        target: NodeId,
        asker: IpAddr,
        most: usize,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        let scope = Scope::of(asker);
        let mut peers: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.target == target && now.since(entry.at) < LIFETIME)
            .map(|entry| entry.peer)
            .filter(|peer| Scope::of(peer.ip()).is_shown_to(scope))
            .collect();
        rng.shuffle(&mut peers);
        peers.truncate(most);
        peers
    }
}

fn secret(rng: &mut Rng) -> [u8; 16] {
    rng.u128(..).to_ne_bytes()
}

fn token(secret: &[u8; 16], ip: IpAddr) -> Token {
    let mut hash = Sha1::new_with_prefix(secret);
    match ip.to_canonical() {
        IpAddr::V4(ip) => hash.update(ip.octets()),
        IpAddr::V6(ip) => hash.update(ip.octets()),
    }
    let mut token = [0; TOKEN_LEN];
    token.copy_from_slice(&hash.finalize()[..TOKEN_LEN]);
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(1 << 40);
    const STREAM: NodeId = NodeId([1; 20]);

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_is_good_for_its_address_and_for_five_to_ten_minutes() {
        let rng = &mut Rng::with_seed(1);
        let mut announced = Announced::new(NOW, rng);
        let [ip, other] = ["1.2.3.4", "1.2.3.5"].map(|ip| ip.parse().unwrap());
        let token = announced.token(NOW, ip, rng);
        assert!(announced.is_token(NOW, ip, &token, rng));
        assert!(!announced.is_token(NOW, other, &token, rng));
        assert!(!announced.is_token(NOW, ip, &token[..4], rng));
        let later = NOW + TOKEN_TIME;
        assert!(announced.is_token(later, ip, &token, rng));
        assert_ne!(announced.token(later, ip, rng), token);
        assert!(!announced.is_token(later + TOKEN_TIME, ip, &token, rng));
        let token = announced.token(later + TOKEN_TIME, ip, rng);
        assert!(!announced.is_token(later + 4 * TOKEN_TIME, ip, &token, rng));
    }

    #[test]
    fn who_announced_is_told_of_for_half_an_hour_where_the_asker_can_reach_it() {
        let rng = &mut Rng::with_seed(1);
        let mut announced = Announced::new(NOW, rng);
        for address in ["9.8.7.6:5", "192.168.1.2:5", "127.0.0.1:5", "9.8.7.6:5"] {
            assert!(announced.add(NOW, STREAM, peer(address)));
        }
        let mut told = |at, asker: &str, target| {
            let peers = announced.peers(at, target, asker.parse().unwrap(), 50, rng);
            peers.len()
        };
        assert_eq!(told(NOW, "1.1.1.1", STREAM), 1);
        assert_eq!(told(NOW, "10.0.0.1", STREAM), 2);
        assert_eq!(told(NOW, "127.0.0.1", STREAM), 2);
        assert_eq!(told(NOW, "127.0.0.1", NodeId([2; 20])), 0);
        assert_eq!(told(NOW + LIFETIME, "1.1.1.1", STREAM), 0);
    }

    #[test]
    fn announces_are_two_thousand_and_thirty_two_of_an_address() {
        let mut announced = Announced::new(NOW, &mut Rng::with_seed(1));
        let of_one = |port| SocketAddr::from(([9, 8, 7, 6], port));
        let kept = (1..100).filter(|&port| announced.add(NOW, STREAM, of_one(port)));
        assert_eq!(kept.count(), MAX_OF_ADDRESS);
        for n in 0..3000u16 {
            let [a, b] = n.to_be_bytes();
            announced.add(NOW, STREAM, SocketAddr::from(([20, a, b, 1], 1)));
        }
        assert_eq!(announced.entries.len(), MAX_ANNOUNCED);
        assert!(announced.add(NOW + LIFETIME, STREAM, peer("1.2.3.4:5")));
        assert_eq!(announced.entries.len(), 1);
        let told = announced.peers(
            NOW + LIFETIME,
            STREAM,
            "1.1.1.1".parse().unwrap(),
            0,
            &mut Rng::with_seed(1),
        );
        assert!(told.is_empty());
    }
}
