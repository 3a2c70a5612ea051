// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The connections of a swarm, in the order of their numbers.
//!
//! There are dozens, every message looks one up and every piece asks all of them, so they lie side
//! by side: a search reads a few cache lines of numbers and nothing else. New ones have the highest
//! number, so they go to the end.

use super::{peer::Peer, swarm::ConnId};

/// Room is made for so many more at a time: doubling would leave half of it unused.
const MORE: usize = 4;

/// Peers by connection.
#[derive(Debug, Default)]
pub(super) struct Peers {
    conns: Vec<ConnId>,
    peers: Vec<Peer>,
}

impl Peers {
    pub(super) const fn len(&self) -> usize {
        self.conns.len()
    }

    pub(super) fn get(&self, conn: &ConnId) -> Option<&Peer> {
        let at = self.conns.binary_search(conn).ok()?;
        self.peers.get(at)
    }

    pub(super) fn get_mut(&mut self, conn: &ConnId) -> Option<&mut Peer> {
        let at = self.conns.binary_search(conn).ok()?;
        self.peers.get_mut(at)
    }

    /// Adds a peer; one of the same number leaves.
    pub(super) fn insert(&mut self, conn: ConnId, peer: Peer) {
        match self.conns.binary_search(&conn) {
            Ok(at) => self.peers[at] = peer,
            Err(at) => {
                if self.peers.len() == self.peers.capacity() {
                    self.conns.reserve_exact(MORE);
                    self.peers.reserve_exact(MORE);
                }
                self.conns.insert(at, conn);
                self.peers.insert(at, peer);
            }
        }
    }

    pub(super) fn remove(&mut self, conn: &ConnId) -> Option<Peer> {
        let at = self.conns.binary_search(conn).ok()?;
        self.conns.remove(at);
        Some(self.peers.remove(at))
    }

    pub(super) fn keys(&self) -> std::slice::Iter<'_, ConnId> {
        self.conns.iter()
    }

    pub(super) fn values(&self) -> std::slice::Iter<'_, Peer> {
        self.peers.iter()
    }

    pub(super) fn values_mut(&mut self) -> std::slice::IterMut<'_, Peer> {
        self.peers.iter_mut()
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        self.conns.iter().zip(&self.peers)
    }

    #[cfg(test)]
    pub(super) fn contains_key(&self, conn: &ConnId) -> bool {
        self.get(conn).is_some()
    }
}

type Iter<'a> = std::iter::Zip<std::slice::Iter<'a, ConnId>, std::slice::Iter<'a, Peer>>;
type IterMut<'a> = std::iter::Zip<std::slice::Iter<'a, ConnId>, std::slice::IterMut<'a, Peer>>;

impl<'a> IntoIterator for &'a Peers {
    type Item = (&'a ConnId, &'a Peer);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Peers {
    type Item = (&'a ConnId, &'a mut Peer);
    type IntoIter = IterMut<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.conns.iter().zip(&mut self.peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{lap::Lap, time::Instant};

    fn peer() -> Peer {
        let address = ([192, 0, 2, 1], 7764).into();
        Peer::new(Instant::default(), address, true, Lap::new(256).unwrap())
    }

    #[test]
    fn they_stand_in_the_order_of_their_numbers_whoever_came_first() {
        let mut peers = Peers::default();
        for conn in [5, 1, 9, 3, 7] {
            peers.insert(ConnId(conn), peer());
        }
        assert!(peers.remove(&ConnId(3)).is_some());
        assert!(peers.remove(&ConnId(3)).is_none());
        peers.insert(ConnId(9), peer());
        let conns: Vec<_> = peers.iter().map(|(conn, _)| conn.0).collect();
        assert_eq!(conns, [1, 5, 7, 9]);
        assert!(peers.get(&ConnId(7)).is_some() && peers.get(&ConnId(4)).is_none());
        assert_eq!(peers.len(), peers.values().count());
    }
}
