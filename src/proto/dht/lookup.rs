// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The way towards a number, from node to node (BEP 5): ask the nearest known, hear of nearer ones.

use std::net::SocketAddr;

use super::{
    K,
    id::{Contact, Distance, NodeId},
};
use crate::proto::address::{Scope, network};

/// Questions under way at a time; those that are late do not count.
const PARALLEL: usize = 4;
/// Nodes that are remembered; the farthest are left out.
const MAX_CANDIDATES: usize = 64;
/// Questions of one search: whoever always knows somebody nearer does not keep us asking.
const MAX_QUESTIONS: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Asked,
    /// Asked, and late: another is asked meanwhile.
    Late,
    Answered,
    Failed,
}

#[derive(Debug, Clone)]
struct Candidate {
    /// None: a node that we begin with, farther than any whose number is known.
    id: Option<NodeId>,
    address: SocketAddr,
    state: State,
    token: Vec<u8>,
}

impl Candidate {
    fn distance(&self, target: NodeId) -> (bool, Option<Distance>) {
        (self.id.is_none(), self.id.map(|id| id.distance(target)))
    }
}

/// One search.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) target: NodeId,
    /// The nearest first.
    candidates: Vec<Candidate>,
    questions: usize,
}

impl Lookup {
    pub(super) const fn new(target: NodeId) -> Self {
        Self {
            target,
            candidates: Vec::new(),
            questions: 0,
        }
    }

    /// A node to begin with, of which only the address is known.
    pub(super) fn begin_at(&mut self, address: SocketAddr) {
        self.add(None, address);
    }

    /// A node that somebody told of.
    pub(super) fn hear_of(&mut self, contact: Contact) {
        self.add(Some(contact.id), contact.address);
    }

    fn add(&mut self, id: Option<NodeId>, address: SocketAddr) {
        let public = Scope::of(address.ip()) == Scope::Public;
        let is_known = self.candidates.iter().any(|known| {
            // One node a network: who has many addresses does not get between us and the target.
            known.address == address
                || id.is_some() && known.id == id
                || public && network(known.address.ip()) == network(address.ip())
        });
        if is_known {
            return;
        }
        let candidate = Candidate {
            id,
            address,
            state: State::New,
            token: Vec::new(),
        };
        let distance = candidate.distance(self.target);
        let place = self
            .candidates
            .partition_point(|known| known.distance(self.target) <= distance);
        self.candidates.insert(place, candidate);
        self.candidates.truncate(MAX_CANDIDATES);
    }

    /// Whom to ask next; it counts as asked.
    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        let asked = |candidate: &&Candidate| candidate.state == State::Asked;
        let asked = self.candidates.iter().filter(asked).count();
        if asked >= PARALLEL || self.questions >= MAX_QUESTIONS {
            return None;
        }
        let alive = self
            .candidates
            .iter_mut()
            .filter(|candidate| candidate.state != State::Failed);
        let next = alive
            .take(K)
            .find(|candidate| candidate.state == State::New)?;
        next.state = State::Asked;
        self.questions += 1;
        Some(next.address)
    }

    /// Whether nobody is left to ask or to wait for among the nearest.
    pub(super) fn is_over(&self) -> bool {
        let gave_up = self.questions >= MAX_QUESTIONS;
        self.alive().take(K).all(|candidate| match candidate.state {
            State::New => gave_up,
            State::Asked | State::Late => false,
            State::Answered | State::Failed => true,
        })
    }

    fn alive(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates
            .iter()
            .filter(|candidate| candidate.state != State::Failed)
    }

    /// A node answered, under this number.
    pub(super) fn answered(&mut self, contact: Contact, token: Option<&[u8]>) {
        let Some(place) = self.place(contact.address) else {
            return;
        };
        let mut candidate = self.candidates.remove(place);
        candidate.id = Some(contact.id);
        candidate.state = State::Answered;
        candidate.token = token.unwrap_or_default().to_vec();
        let distance = candidate.distance(self.target);
        let place = self
            .candidates
            .partition_point(|known| known.distance(self.target) <= distance);
        self.candidates.insert(place, candidate);
    }

    /// A node takes long.
    pub(super) fn late(&mut self, address: SocketAddr) {
        self.set(address, State::Late);
    }

    /// A node does not answer.
    pub(super) fn failed(&mut self, address: SocketAddr) {
        self.set(address, State::Failed);
    }

    fn set(&mut self, address: SocketAddr, state: State) {
        if let Some(place) = self.place(address) {
            self.candidates[place].state = state;
        }
    }

    fn place(&self, address: SocketAddr) -> Option<usize> {
        self.candidates
            .iter()
            .position(|candidate| candidate.address == address)
    }

    /// Nodes that answered.
    pub(super) fn answers(&self) -> usize {
        let answered = |candidate: &&Candidate| candidate.state == State::Answered;
        self.candidates.iter().filter(answered).count()
    }

    /// The nearest that answered, with the tokens that they gave.
    pub(super) fn nearest(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.candidates
            .iter()
            .filter(|candidate| candidate.state == State::Answered && !candidate.token.is_empty())
            .take(K)
            .map(|candidate| (candidate.address, &candidate.token[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(n: u8) -> Contact {
        Contact {
            id: NodeId([n; 20]),
            address: SocketAddr::from(([127, 0, 0, 1], u16::from(n) + 1)),
        }
    }

    fn lookup() -> Lookup {
        Lookup::new(NodeId([0; 20]))
    }

    #[test]
    fn the_nearest_are_asked_first_and_four_at_a_time() {
        let mut lookup = lookup();
        (1..=20).rev().for_each(|n| lookup.hear_of(contact(n)));
        let asked: Vec<_> = std::iter::from_fn(|| lookup.next()).collect();
        assert_eq!(asked, [1, 2, 3, 4].map(|n| contact(n).address));
        lookup.late(contact(1).address);
        assert_eq!(lookup.next(), Some(contact(5).address));
        assert_eq!(lookup.next(), None);
    }

    #[test]
    fn it_is_over_when_the_eight_nearest_that_live_have_answered() {
        let mut lookup = lookup();
        (1..=20).for_each(|n| lookup.hear_of(contact(n)));
        let mut asked = 0;
        while let Some(address) = lookup.next() {
            asked += 1;
            match asked {
                1 => lookup.failed(address),
                _ => {
                    let n = (address.port() - 1) as u8;
                    lookup.answered(contact(n), Some(&[n]));
                }
            }
        }
        assert!(lookup.is_over());
        assert_eq!((asked, lookup.answers()), (9, 8));
        let nearest: Vec<_> = lookup.nearest().map(|(_, token)| token[0]).collect();
        assert_eq!(nearest, [2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn who_we_begin_with_is_asked_where_nobody_nearer_is_known() {
        let mut lookup = lookup();
        lookup.begin_at(contact(9).address);
        assert_eq!(lookup.next(), Some(contact(9).address));
        assert!(!lookup.is_over());
        lookup.answered(contact(9), None);
        assert!(lookup.is_over());
        assert_eq!(lookup.nearest().count(), 0);
        lookup.hear_of(contact(1));
        assert!(!lookup.is_over());
        assert_eq!(lookup.next(), Some(contact(1).address));
    }

    #[test]
    fn whoever_always_knows_somebody_nearer_is_asked_no_more_than_a_while() {
        let mut lookup = lookup();
        let contact = |n: u16| Contact {
            id: NodeId(std::array::from_fn(|place| match place {
                0 => ((1000 - n) >> 8) as u8,
                1 => (1000 - n) as u8,
                _ => 0,
            })),
            address: SocketAddr::from(([127, 0, 0, 1], n + 1)),
        };
        lookup.hear_of(contact(0));
        let mut questions = 0;
        while let Some(address) = lookup.next() {
            questions += 1;
            lookup.answered(contact(address.port() - 1), None);
            lookup.hear_of(contact(address.port()));
        }
        assert_eq!(questions, MAX_QUESTIONS);
        assert!(lookup.is_over());
    }

    #[test]
    fn candidates_are_sixty_four_and_one_of_a_public_network() {
        let mut lookup = lookup();
        (0..=u8::MAX).for_each(|n| lookup.hear_of(contact(n)));
        assert_eq!(lookup.candidates.len(), MAX_CANDIDATES);
        let mut lookup = self::lookup();
        for n in 0..9 {
            lookup.hear_of(Contact {
                id: NodeId([n; 20]),
                address: SocketAddr::from(([9, 8, 7, 6], u16::from(n) + 1)),
            });
        }
        assert_eq!(lookup.candidates.len(), 1);
        // Nor two under one number.
        lookup.hear_of(contact(0));
        assert_eq!(lookup.candidates.len(), 1);
    }
}
