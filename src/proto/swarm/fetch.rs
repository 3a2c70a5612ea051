// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Which piece from whom, and what comes of it (PROTOCOL §6, asking).

use std::time::Duration;

use bytes::Bytes;

use super::{
    super::{
        lap::Sequence,
        peer::{LATE_AT_LEAST, Peer, Progress, Request},
        picker::{self, Offer},
        piece::{Header, Piece},
        time::{Instant, Now},
        timer::Timer,
        wire::{Block, Message},
    },
    ConnId, Swarm, Wanted,
    links::Farewell,
    tips::HOPS_OVER,
};

/// How often late requests are looked for while there are any.
const OVERDUE_EVERY: Duration = Duration::from_millis(50);
/// How often the time for an answer is halved: from a second to what a way across the world takes.
const MAX_HALVINGS: u32 = 2;

impl Wanted {
    /// A piece is to be fetched.
    fn add(&mut self, sequence: Sequence) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.asked.entry(sequence) {
            entry.insert(0);
            self.unasked.insert(sequence);
        }
    }

    /// A piece is not to be fetched any more.
    fn remove(&mut self, sequence: Sequence) {
        self.asked.remove(&sequence);
        self.unasked.remove(&sequence);
        self.late.remove(&sequence);
    }

    fn ask(&mut self, sequence: Sequence) {
        if let Some(asked) = self.asked.get_mut(&sequence) {
            *asked = asked.saturating_add(1);
            self.unasked.remove(&sequence);
        }
    }

    fn unask(&mut self, sequence: Sequence) {
        if let Some(asked) = self.asked.get_mut(&sequence) {
            *asked = asked.saturating_sub(1);
            if *asked == 0 {
                self.unasked.insert(sequence);
            }
        }
    }

    fn was_late(&mut self, sequence: Sequence) {
        if self.asked.contains_key(&sequence) {
            *self.late.entry(sequence).or_insert(0) += 1;
        }
    }

    /// The part of `usual` that an answer may take: half as long each time that one was late, so
    /// that all of them together take no longer than two.
    fn time_for(&self, sequence: Sequence, usual: Duration) -> Duration {
        let late = self.late.get(&sequence).copied().unwrap_or(0);
        usual / (1 << late.min(MAX_HALVINGS))
    }

    /// Forgets everything below `sequence`.
    fn remove_below(&mut self, sequence: Sequence) {
        self.asked = self.asked.split_off(&sequence);
        self.unasked = self.unasked.split_off(&sequence);
        self.late = self.late.split_off(&sequence);
    }

    /// How many pieces in [from, to) are known to exist and are not held.
    pub(super) fn count(&self, from: Sequence, to: Sequence) -> u64 {
        self.asked.range(from..to).count() as u64
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    /// The first.
    pub(super) fn first(&self) -> Option<Sequence> {
        self.asked.first_key_value().map(|(&sequence, _)| sequence)
    }
}

impl Swarm {
    /// Interest in everybody from whom something may be wanted: a viewer's in all.
    pub(super) fn show_interest(&mut self, now: Instant, conn: ConnId) {
        if self.viewer.is_none() {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&conn)
            && !std::mem::replace(&mut peer.interesting, true)
        {
            self.send(now, conn, Message::Interested);
        }
    }

    pub(super) fn choked(&mut self, conn: ConnId) {
        // BEP 6: pending requests get their REJECT each, so nothing is taken back here.
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.chokes_us = true;
        }
    }

    pub(super) fn unchoked(&mut self, conn: ConnId) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.chokes_us = false;
        }
        self.ask = true;
    }

    pub(super) fn have(&mut self, conn: ConnId, index: u32) {
        let reference = self.peers.get(&conn).and_then(|peer| peer.tip);
        if let Some(sequence) = reference.and_then(|r| self.lap.unwrap(index, r)) {
            self.shows(conn, sequence);
        }
        self.check_drained();
    }

    /// Takes in a bitfield once the peer's tip tells what its bits mean.
    pub(super) fn take_bits(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if !peer.is_ready() {
            return;
        }
        let Some(bits) = peer.bits.take() else {
            return;
        };
        // Without an announced tip a peer has no bits, and a later tip does not bring them back.
        let Some(reference) = peer.tip else {
            return;
        };
        for index in 0..self.lap.npieces() {
            if bits[index as usize / 8] & 0x80 >> (index % 8) != 0
                && let Some(sequence) = self.lap.unwrap(index, reference)
            {
                self.shows(conn, sequence);
            }
        }
    }

    /// A peer shows a piece. Past our tip that is a hint, and bounded.
    fn shows(&mut self, conn: ConnId, sequence: Sequence) {
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if sequence < self.lap.window_start(tip)
            || sequence > tip.saturating_add(self.lap.announce_span())
            || peer.live.floor.is_some_and(|floor| sequence < floor)
        {
            return;
        }
        if peer.have.insert(sequence) {
            self.want(sequence);
        }
    }

    /// Puts a piece that somebody shows on the list, if it is one that we mean to get.
    fn want(&mut self, sequence: Sequence) {
        let Some(next) = self.viewer.as_ref().and_then(super::Viewer::next) else {
            return;
        };
        if sequence >= next
            && self.start.is_none_or(|start| sequence >= start)
            && !self.store.contains(sequence)
            && !self.store.is_squeezed_out(sequence)
        {
            self.wanted.add(sequence);
            self.ask = true;
        }
    }

    /// Puts everything from `sequence` on that somebody shows on the list.
    pub(super) fn want_from(&mut self, now: Instant, sequence: Sequence) {
        self.stop_wanting_below(now, sequence);
        let shown: std::collections::BTreeSet<_> = self
            .peers
            .values()
            .flat_map(|peer| peer.have.iter_from(sequence))
            .collect();
        for sequence in shown {
            self.want(sequence);
        }
    }

    /// Fetches one piece that is not for playing: its time is what we are after.
    pub(super) fn want_probe(&mut self, sequence: Sequence) {
        if !self.store.contains(sequence) {
            self.wanted.add(sequence);
            self.ask = true;
        }
    }

    /// What lies below `sequence` is not to be fetched any more.
    pub(super) fn stop_wanting_below(&mut self, now: Instant, sequence: Sequence) {
        self.wanted.remove_below(sequence);
        let mut cancels = Vec::new();
        for (&conn, peer) in &mut self.peers {
            for request in &mut peer.requests {
                if request.sequence < sequence && !std::mem::replace(&mut request.cancelled, true) {
                    cancels.push((conn, request.sequence));
                }
            }
        }
        for (conn, sequence) in cancels {
            self.send_cancel(now, conn, sequence);
        }
    }

    pub(super) fn unask(&mut self, sequence: Sequence) {
        self.wanted.unask(sequence);
    }

    fn whole(&self, sequence: Sequence) -> Block {
        Block {
            index: self.lap.index(sequence),
            begin: 0,
            length: self.config.metainfo.info.piece_length(),
        }
    }

    fn send_cancel(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        let block = self.whole(sequence);
        self.send(now, conn, Message::Cancel(block));
    }

    /// Asks for wanted pieces, earliest first, while peers can take requests.
    pub(super) fn ask_for_wanted(&mut self, now: Now) {
        let patience = self.patience();
        let mut from = 0;
        while let Some(sequence) = self.next_offered(from) {
            from = sequence.saturating_add(1);
            let offers: Vec<_> = self
                .peers
                .iter()
                .filter(|(_, peer)| peer.free_requests() > 0 && peer.offers(sequence, self.lap))
                .map(|(&conn, peer)| Offer {
                    conn,
                    doubtful: peer.is_doubtful(patience),
                    pending: peer.requests.len(),
                    pipeline: peer.pipeline,
                    answer_time: peer.answer_time,
                })
                .collect();
            if let Some(conn) = picker::pick(&offers, &mut self.rng) {
                self.request(now.at, conn, sequence);
            }
        }
    }

    /// How long an answer may take so that there is time to ask another.
    fn patience(&self) -> Duration {
        let waits = self.viewer.as_ref().map(super::Viewer::waits);
        (waits.unwrap_or_default() / 2).max(LATE_AT_LEAST)
    }

    /// The first unasked piece from `from` on that a peer could be asked for now. However many
    /// before it nobody can give, they do not hide it.
    fn next_offered(&self, from: Sequence) -> Option<Sequence> {
        let peers = self.peers.values();
        let able: Vec<&Peer> = peers.filter(|peer| peer.free_requests() > 0).collect();
        if able.is_empty() {
            return None;
        }
        let mut unasked = self.wanted.unasked.range(from..).copied();
        unasked.find(|&sequence| able.iter().any(|peer| peer.offers(sequence, self.lap)))
    }

    fn request(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        let block = self.whole(sequence);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.requests.push(Request {
            sequence,
            at: now,
            moved_at: now,
            cancelled: false,
            assembly: None,
        });
        self.wanted.ask(sequence);
        self.send(now, conn, Message::Request(block));
        self.timers.at_latest(Timer::Overdue, now + OVERDUE_EVERY);
    }

    /// Takes late requests elsewhere, where there is an elsewhere.
    pub(super) fn take_back_overdue(&mut self, now: Now) {
        let patience = self.patience();
        let mut late = Vec::new();
        let mut waiting = false;
        for (&conn, peer) in &self.peers {
            let usual = peer.late_after(patience);
            for request in peer.requests.iter().filter(|request| !request.cancelled) {
                waiting = true;
                let usual = self.wanted.time_for(request.sequence, usual);
                // An answer under way is finished sooner than a new one begins; one that trickles
                // must not use up the time to ask another.
                let moving =
                    request.assembly.is_some() && now.at.since(request.moved_at) < usual / 2;
                let since = now.at.since(request.at);
                if since >= usual * 3 / 2 || since >= usual && !moving {
                    late.push((conn, request.sequence));
                }
            }
        }
        for (conn, sequence) in late {
            self.take_elsewhere(now, conn, sequence);
        }
        if waiting {
            self.timers
                .at_latest(Timer::Overdue, now.at + OVERDUE_EVERY);
        }
    }

    fn take_elsewhere(&mut self, now: Now, conn: ConnId, sequence: Sequence) {
        let elsewhere = self.peers.iter().any(|(&other, peer)| {
            other != conn && peer.free_requests() > 0 && peer.offers(sequence, self.lap)
        });
        if !elsewhere {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.was_late();
            for request in &mut peer.requests {
                request.cancelled |= request.sequence == sequence;
            }
        }
        self.send_cancel(now.at, conn, sequence);
        self.wanted.was_late(sequence);
        self.unask(sequence);
        self.ask = true;
    }

    pub(super) fn rejected(&mut self, conn: ConnId, block: Block) {
        let lap = self.lap;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let answered = |request: &Request| lap.index(request.sequence) == block.index;
        let Some(at) = peer.requests.iter().position(answered) else {
            return;
        };
        let request = peer.requests.remove(at);
        if !request.cancelled {
            // What a choke rejected it still has. Otherwise it is asked for this piece again when
            // it says anew that it has it.
            if !peer.chokes_us {
                peer.have.remove(request.sequence);
                peer.broke_its_word();
            }
            self.unask(request.sequence);
        }
        self.ask = true;
    }

    /// A part of a piece came.
    pub(super) fn block(
        &mut self,
        now: Now,
        conn: ConnId,
        index: u32,
        begin: u32,
        block: Bytes,
    ) -> Result<(), Farewell> {
        let lap = self.lap;
        let length = block.len();
        self.counters.downloaded += length as u64;
        self.counters.download_rate.add(now.at, length);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        peer.downloaded += length as u64;
        peer.download_rate.add(now.at, length);
        let wanted = |request: &Request| lap.index(request.sequence) == index;
        let Some(at) = peer.requests.iter().position(wanted) else {
            self.counters.duplicate += length as u64;
            return Ok(());
        };
        let piece_length = self.config.metainfo.info.piece_length();
        match peer.requests[at].block(begin, block, piece_length) {
            Progress::Partial => {
                peer.requests[at].moved_at = now.at;
                Ok(())
            }
            Progress::Wrong(reason) => {
                self.counters.rejected += 1;
                Err(Farewell::proof(reason))
            }
            Progress::Whole(bytes) => {
                let request = peer.requests.remove(at);
                peer.answered(now.at, request.at);
                if !request.cancelled {
                    self.unask(request.sequence);
                }
                self.ask = true;
                self.judge(now, conn, request.sequence, bytes)
            }
        }
    }

    /// Whether an answer is the piece that was asked for.
    fn judge(
        &mut self,
        now: Now,
        conn: ConnId,
        sequence: Sequence,
        bytes: Bytes,
    ) -> Result<(), Farewell> {
        if self.store.contains(sequence) {
            self.counters.duplicate += bytes.len() as u64;
            return Ok(());
        }
        let piece = match self.verifier.piece(bytes) {
            Ok(piece) => piece,
            Err(error) => {
                self.counters.rejected += 1;
                return Err(Farewell::proof(format!("piece {sequence}: {error}")));
            }
        };
        if piece.sequence() == sequence {
            self.accept(now, conn, piece);
            return Ok(());
        }
        self.counters.rejected += 1;
        self.other_piece(conn, sequence, piece.header())
    }

    /// A piece of the source's, but not the one that was asked for.
    ///
    /// An honest peer may take an index for the same place in a *later* lap, when it announced a
    /// tip that had not reached us as we asked. It can never mean an earlier lap: what it answers
    /// lies in its window, so above `r − h`, and we ask for nothing above `r + npieces/4`; nor
    /// another index. Both are replays.
    fn other_piece(
        &mut self,
        conn: ConnId,
        asked: Sequence,
        header: &Header,
    ) -> Result<(), Farewell> {
        let same_place = self.lap.index(header.sequence) == self.lap.index(asked);
        if !same_place || header.sequence < asked {
            return Err(Farewell::proof(format!(
                "piece {} in the place of piece {}",
                header.sequence, asked
            )));
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.have.remove(asked);
        }
        Ok(())
    }

    fn accept(&mut self, now: Now, conn: ConnId, piece: Piece) {
        let sequence = piece.sequence();
        self.wanted.remove(sequence);
        self.cancel_others(now.at, sequence);
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.have.insert(sequence);
            if self.sender_hops.len() >= HOPS_OVER {
                self.sender_hops.pop_front();
            }
            self.sender_hops.push_back(peer.live.hops_or_far());
        }
        if self.saw_piece(now, &piece) {
            self.reports.received(sequence, conn, piece.bytes().len());
            self.hold(now, piece);
        } else {
            self.counters.verified += 1;
        }
    }

    /// The piece is here: whoever else was asked need not send it.
    fn cancel_others(&mut self, now: Instant, sequence: Sequence) {
        let mut cancels = Vec::new();
        for (&conn, peer) in &mut self.peers {
            for request in &mut peer.requests {
                if request.sequence == sequence && !std::mem::replace(&mut request.cancelled, true)
                {
                    cancels.push(conn);
                }
            }
        }
        for conn in cancels {
            self.send_cancel(now, conn, sequence);
        }
    }

    /// Forgets what left the window.
    pub(super) fn retire(&mut self) {
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        let start = self.lap.window_start(tip);
        for peer in self.peers.values_mut() {
            peer.have.remove_below(start);
            peer.given = peer.given.split_off(&start);
        }
        self.wanted.remove_below(start);
        self.reports.remove_below(start);
    }
}
