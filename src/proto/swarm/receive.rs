// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What comes of an answer: a piece, or proof of a liar (PROTOCOL §6, §7).

use bytes::Bytes;

use super::{
    super::{
        hops::class_of,
        lap::Sequence,
        piece::{Header, Piece},
        request::{Progress, Request},
        time::{Instant, Now},
    },
    ConnId, Swarm,
    links::Farewell,
};

impl Swarm {
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
                peer.answered(now.at, request.since());
                if request.ahead {
                    peer.kept_its_word(now.at.since(request.since()));
                    peer.classes[class_of(request.sequence)].kept();
                }
                if !request.cancelled {
                    self.unask(request.sequence);
                }
                self.ask = true;
                self.judge(now, conn, &request, bytes)
            }
        }
    }

    /// Whether an answer is the piece that was asked for.
    fn judge(
        &mut self,
        now: Now,
        conn: ConnId,
        request: &Request,
        bytes: Bytes,
    ) -> Result<(), Farewell> {
        let sequence = request.sequence;
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
            self.accept(now, conn, piece, request.ahead);
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

    fn accept(&mut self, now: Now, conn: ConnId, piece: Piece, ahead: bool) {
        let sequence = piece.sequence();
        self.wanted.remove(sequence);
        self.cancel_others(now.at, sequence);
        if let Some(peer) = self.peers.get_mut(&conn) {
            if let Some(listening) = peer.listening {
                self.book.gave(now.at, listening);
            }
            peer.have.insert(sequence);
            self.hops.received(peer.live.hops_or_far());
            self.hops.got(sequence);
            let hops = peer.live.hops_at(sequence);
            if ahead {
                let class = class_of(sequence);
                self.news |= !self.hops.is_fed(now.at, class, self.fed_within());
                self.hops.kept(now.at, class, hops);
            }
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
        for &conn in &self.asked {
            let peer = self.peers.get_mut(&conn);
            for request in peer.into_iter().flat_map(|peer| &mut peer.requests) {
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
}
