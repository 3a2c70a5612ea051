// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One connection to the viewer under test, of a source or of a neighbour.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Instant,
};

use gstlivetorrent::proto::{
    lap::Sequence,
    metainfo::Info,
    piece::{Flags, Piece},
};

use super::{
    claims::{self, Claims},
    giver::PIECE_LENGTH,
};
use crate::support::peer::{Peer, block, id, is_breath};

/// `reqq` of [`Peer::introduce`].
const REQQ: usize = 256;
/// What absent `hops` count as.
const FAR: u64 = 255;

/// What it says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// How far past its tip it may be asked.
    pub(super) ahead: u64,
    /// How far from the source it says it is.
    pub(super) hops: Option<u64>,
}

/// How it lacks a piece that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// It says so.
    Rejects,
    /// It says nothing.
    Silent,
}

/// One connection, and what is under way on it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Peer,
    id: [u8; 20],
    info: Info,
    manners: Manners,
    /// The tip that was announced last.
    announced: Option<Sequence>,
    /// What it does not have, though it exists.
    pub(super) lacks: BTreeMap<Sequence, Lack>,
    pub(super) promised: BTreeSet<Sequence>,
    /// What it refused ahead and has not shown since.
    refused: BTreeSet<Sequence>,
    /// How many requests have their answers.
    answered: usize,
    pub(super) given: BTreeSet<Sequence>,
    /// When each piece was given.
    pub(super) given_at: BTreeMap<Sequence, Instant>,
    /// Whether the viewer showed a piece.
    pub(super) has_shown: bool,
    /// What was asked of it before it was shown.
    pub(super) asked_ahead: BTreeSet<Sequence>,
    /// What was taken back.
    pub(super) cancelled: BTreeSet<Sequence>,
    interested: bool,
    /// What it said of each piece's way on, by index.
    pub(super) reports: BTreeMap<u32, u8>,
    /// What the viewer says of itself.
    pub(super) claims: Claims,
    /// What the viewer said: message ids and what came with them, requests and HAVE left out.
    pub(super) heard: Vec<(u8, Vec<u8>)>,
}

impl Link {
    pub(super) fn new(peer: Peer, id: [u8; 20], info: &Info, manners: Manners) -> Self {
        Self {
            peer,
            id,
            info: info.clone(),
            manners,
            announced: None,
            lacks: BTreeMap::new(),
            promised: BTreeSet::new(),
            refused: BTreeSet::new(),
            answered: 0,
            given: BTreeSet::new(),
            given_at: BTreeMap::new(),
            has_shown: false,
            asked_ahead: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            interested: false,
            reports: BTreeMap::new(),
            claims: Claims::none(info),
            heard: Vec::new(),
        }
    }

    /// The entries of `tstream_live`, and what they announce.
    fn live(&mut self, pieces: &BTreeMap<Sequence, Piece>) -> Vec<u8> {
        let Some((newest, piece)) = pieces.last_key_value() else {
            return Vec::new();
        };
        self.announced = Some(*newest);
        let floor = pieces.first_key_value().expect("there is one").0;
        let hops = self.manners.hops.map(|hops| format!("4:hopsi{hops}e"));
        let source = if self.manners.hops.unwrap_or(0) == 0 {
            "3:srci1e"
        } else {
            ""
        };
        let starts = |piece: &&Piece| piece.flags().contains(Flags::RANDOM_ACCESS);
        let entry = pieces.values().rev().find(starts).map(Piece::sequence);
        let entry = entry.map(|entry| format!("2:rai{entry}e"));
        let mut live = format!(
            "5:aheadi{}e5:floori{floor}e{}{}{source}3:tip128:",
            self.manners.ahead,
            hops.unwrap_or_default(),
            entry.unwrap_or_default(),
        )
        .into_bytes();
        live.extend_from_slice(piece.proof().bytes());
        live
    }

    /// Sends the extended handshake, the bitfield, and that it gives.
    pub(super) fn greet(&mut self, pieces: &BTreeMap<Sequence, Piece>) -> io::Result<()> {
        let live = self.live(pieces);
        self.peer.introduce(&live)?;
        if pieces.is_empty() {
            self.peer.send(id::HAVE_NONE, &[])?;
        } else {
            let lap = self.info.lap();
            let mut bits = vec![0; lap.npieces() as usize / 8];
            for sequence in pieces.keys() {
                let index = lap.index(*sequence) as usize;
                bits[index / 8] |= 0x80 >> (index % 8);
            }
            self.peer.send(id::BITFIELD, &bits)?;
        }
        self.peer.send(id::UNCHOKE, &[])
    }

    fn announce(&mut self, pieces: &BTreeMap<Sequence, Piece>) -> io::Result<()> {
        let live = self.live(pieces);
        let dict = [b"d", &live[..], b"e"].concat();
        // The viewer's own number of `tstream_live`.
        self.peer.send(id::EXTENDED, &[&[3], &dict[..]].concat())
    }

    /// Shows a piece that was made just now, and answers who waits for it.
    pub(super) fn publish(
        &mut self,
        pieces: &BTreeMap<Sequence, Piece>,
        sequence: Sequence,
        due: bool,
    ) -> io::Result<()> {
        let span = u64::from(self.info.lap().npieces() / 8);
        if due || self.announced.is_none_or(|told| sequence > told + span) {
            self.announce(pieces)?;
        }
        match self.lacks.get(&sequence) {
            Some(Lack::Rejects) if self.promised.remove(&sequence) => self.refuse(sequence),
            Some(_) => Ok(()),
            None => self.show(pieces, sequence),
        }
    }

    /// Says that it holds a piece, and keeps its promise.
    pub(super) fn show(
        &mut self,
        pieces: &BTreeMap<Sequence, Piece>,
        sequence: Sequence,
    ) -> io::Result<()> {
        self.refused.remove(&sequence);
        let index = self.info.lap().index(sequence);
        self.peer.send(id::HAVE, &index.to_be_bytes())?;
        if self.promised.remove(&sequence) {
            self.give(pieces, sequence)?;
        }
        Ok(())
    }

    fn give(&mut self, pieces: &BTreeMap<Sequence, Piece>, sequence: Sequence) -> io::Result<()> {
        self.answered += 1;
        self.given.insert(sequence);
        self.given_at.insert(sequence, Instant::now());
        let bytes = pieces[&sequence].bytes();
        self.peer.answer(self.info.lap().index(sequence), bytes)
    }

    fn refuse(&mut self, sequence: Sequence) -> io::Result<()> {
        self.refused.insert(sequence);
        self.reject(sequence)
    }

    fn reject(&mut self, sequence: Sequence) -> io::Result<()> {
        self.answered += 1;
        let fields = self.whole(sequence);
        self.peer.send(id::REJECT, &fields)
    }

    fn whole(&self, sequence: Sequence) -> [u8; 12] {
        let index = self.info.lap().index(sequence);
        block(index, 0, self.info.piece_length())
    }

    /// What it promised, and does not any more.
    pub(super) fn give_up(&mut self) -> BTreeSet<Sequence> {
        std::mem::take(&mut self.promised)
    }

    /// Rejects all of these.
    pub(super) fn reject_all(&mut self, sequences: BTreeSet<Sequence>) -> io::Result<()> {
        sequences
            .into_iter()
            .try_for_each(|sequence| self.refuse(sequence))
    }

    /// Asks the viewer for a piece.
    pub(super) fn ask(&mut self, sequence: Sequence) {
        let fields = self.whole(sequence);
        self.peer.send(id::REQUEST, &fields).unwrap();
    }

    /// Whether the viewer rejected this piece.
    pub(super) fn was_rejected(&self, sequence: Sequence) -> bool {
        let reject = (id::REJECT, self.whole(sequence).to_vec());
        self.heard.contains(&reject)
    }

    /// Whether such a message came.
    pub(super) fn heard(&self, wanted: u8) -> bool {
        self.heard.iter().any(|(id, _)| *id == wanted)
    }

    /// Takes in what came.
    pub(super) fn listen(&mut self, pieces: &BTreeMap<Sequence, Piece>) -> io::Result<()> {
        match self.peer.receive() {
            Ok((id, payload)) => self.hear(pieces, id, &payload),
            Err(error) if is_breath(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn hear(
        &mut self,
        pieces: &BTreeMap<Sequence, Piece>,
        id: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let lap = self.info.lap();
        let index = payload
            .first_chunk()
            .map(|index| u32::from_be_bytes(*index));
        let meant = |tip: Option<Sequence>| {
            let tip = tip.expect("an index means nothing without a tip");
            lap.unwrap(index.expect("an index"), tip)
                .expect("within the lap")
        };
        match id {
            id::REQUEST => {
                let sequence = meant(self.announced);
                assert_eq!(
                    payload[4..],
                    block(0, 0, PIECE_LENGTH)[4..],
                    "a whole piece"
                );
                return self.asked(pieces, sequence);
            }
            id::CANCEL => {
                let sequence = meant(self.announced);
                assert_eq!(
                    payload[4..],
                    block(0, 0, PIECE_LENGTH)[4..],
                    "a whole piece"
                );
                self.cancelled.insert(sequence);
                if self.promised.remove(&sequence) {
                    return self.reject(sequence);
                }
            }
            id::HAVE => {
                self.has_shown = true;
                let tip = self.claims.tip;
                let sequence = meant(tip);
                assert!(tip.is_some_and(|tip| sequence <= tip + u64::from(lap.npieces() / 8)));
                assert!(pieces.contains_key(&sequence), "it has only what exists");
            }
            id::INTERESTED => self.interested = true,
            id::EXTENDED => {
                self.claims.take(payload);
                // The number that `Peer::introduce` gives.
                if let Some((2, report)) = payload.split_first() {
                    let report = claims::report(report, lap.npieces());
                    let given = |index| self.given.iter().any(|given| lap.index(*given) == index);
                    assert!(report.keys().all(|index| given(*index)), "{report:?}");
                    self.reports.extend(report);
                }
                self.heard.push((id, payload.to_vec()));
            }
            _ => self.heard.push((id, payload.to_vec())),
        }
        Ok(())
    }

    /// The viewer asks for a piece: whether it may.
    fn asked(&mut self, pieces: &BTreeMap<Sequence, Piece>, sequence: Sequence) -> io::Result<()> {
        let newest = *pieces.last_key_value().expect("it showed something").0;
        assert!(self.interested, "it asks before it is interested");
        let told = self.announced.expect("it asks only after a tip");
        assert!(self.info.lap().askable(sequence, told), "too far");
        assert!(
            !self.promised.contains(&sequence),
            "asked for twice at once"
        );
        assert!(!self.given.contains(&sequence), "given already");
        let lacks = self.lacks.contains_key(&sequence);
        if sequence > newest || lacks {
            assert!(
                !self.refused.contains(&sequence),
                "refused, and not shown since"
            );
            self.asked_ahead.insert(sequence);
            assert!(self.is_nearer(), "asked ahead though it is no nearer");
            assert!(sequence <= newest + self.manners.ahead, "too far ahead");
            if self.lacks.get(&sequence) == Some(&Lack::Rejects) && sequence <= newest {
                return self.refuse(sequence);
            }
            self.promised.insert(sequence);
            let most = if self.answered == 0 { 2 } else { REQQ };
            assert!(self.promised.len() <= most, "too many at once");
            return Ok(());
        }
        // A new start leaves out numbers that nobody may ask for.
        assert!(pieces.contains_key(&sequence), "{sequence} never was");
        self.give(pieces, sequence)
    }

    /// Whether promises may run from here to the viewer: only to who is farther from the source, or as
    /// far with the higher peer id.
    fn is_nearer(&self) -> bool {
        let theirs = self.claims.hops.unwrap_or(FAR);
        let higher = self.peer.their_id() > self.id;
        self.manners
            .hops
            .is_some_and(|ours| ours < theirs || ours == theirs && higher)
    }
}
