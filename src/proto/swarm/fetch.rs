// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Which piece from whom, and what comes of it (PROTOCOL §6, asking).

use std::{collections::btree_map::Entry, time::Duration};

use bytes::Bytes;

use super::{
    super::{
        hops::class_of,
        lap::Sequence,
        peer::{LATE_AT_LEAST, OVERDUE_AT_LEAST, Peer, Progress, Request},
        picker::{self, Offer, Zone},
        piece::{Header, Piece},
        time::{Instant, Now},
        timer::Timer,
        wire::{Block, Message},
    },
    ConnId, Swarm, Wanted,
    links::Farewell,
};

/// How often late requests are looked for while there are any.
const OVERDUE_EVERY: Duration = Duration::from_millis(50);
/// How often the time for an answer is halved: from a second to what a way across the world takes.
const MAX_HALVINGS: u32 = 2;
/// So long before its time a piece that was asked of one peer is asked of a second.
const LAST_CHANCE: Duration = Duration::from_millis(150);
/// A piece that others show for so long is not waited for, whoever promised it.
const PATIENCE: Duration = Duration::from_millis(200);
/// A late answer is first taken back, and asked of another when it is known not to be under way, or
/// after this: else it would often come twice.
const RECALLED: Duration = Duration::from_millis(150);
/// Promises that one peer refused and that are remembered.
const MAX_REFUSED: usize = 256;

impl Wanted {
    /// A piece is to be fetched.
    fn add(&mut self, sequence: Sequence) {
        match self.asked.entry(sequence) {
            Entry::Vacant(entry) => {
                entry.insert(0);
                self.unasked.insert(sequence);
            }
            Entry::Occupied(entry) => {
                if self.ahead.remove(&sequence) && *entry.get() == 0 {
                    self.unasked.insert(sequence);
                }
            }
        }
    }

    /// A piece that does not exist yet is to be asked ahead.
    pub(super) fn add_ahead(&mut self, sequence: Sequence) {
        self.ahead.insert(sequence);
        self.asked.entry(sequence).or_insert(0);
    }

    /// Whether it is to be fetched, or was asked ahead.
    pub(super) fn is_known(&self, sequence: Sequence) -> bool {
        self.asked.contains_key(&sequence)
    }

    /// A piece is not to be fetched any more.
    fn remove(&mut self, sequence: Sequence) {
        self.asked.remove(&sequence);
        self.ahead.remove(&sequence);
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
            if *asked > 0 {
                return;
            }
            if self.ahead.remove(&sequence) {
                // Nobody shows it yet, so there is nothing to fetch.
                self.asked.remove(&sequence);
            } else {
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
        // Nearly always there is nothing to forget.
        if self.first_of_all().is_none_or(|first| first >= sequence) {
            return;
        }
        self.asked = self.asked.split_off(&sequence);
        self.ahead = self.ahead.split_off(&sequence);
        self.unasked = self.unasked.split_off(&sequence);
        self.late = self.late.split_off(&sequence);
    }

    /// How many pieces in [from, to) are known to exist and are not held.
    pub(super) fn count(&self, from: Sequence, to: Sequence) -> u64 {
        let known = self.asked.range(from..to).count() - self.ahead.range(from..to).count();
        known as u64
    }

    /// How many that exist nobody was asked for.
    pub(super) fn unasked_count(&self) -> usize {
        self.unasked.len()
    }

    fn first_of_all(&self) -> Option<Sequence> {
        self.asked.first_key_value().map(|(&sequence, _)| sequence)
    }

    fn times_asked(&self, sequence: Sequence) -> u8 {
        self.asked.get(&sequence).copied().unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    /// The first that is known to exist.
    pub(super) fn first(&self) -> Option<Sequence> {
        let mut known = self.asked.keys().copied();
        known.find(|sequence| !self.ahead.contains(sequence))
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

    pub(super) fn have(&mut self, now: Now, conn: ConnId, index: u32) {
        let reference = self.peers.get(&conn).and_then(|peer| peer.tip);
        if let Some(sequence) = reference.and_then(|r| self.lap.unwrap(index, r)) {
            self.shows(conn, sequence);
            self.showed(now.at, conn, sequence);
        }
        if self.end.is_some() {
            self.check_drained();
        }
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

    /// A peer says that it holds a piece now, or has just said so.
    fn showed(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        self.needs_no_answer(now, conn, sequence);
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        // Hints past the bound are nothing to go by.
        if sequence <= tip.saturating_add(self.lap.announce_span()) {
            self.first_seen.exists(now, sequence);
        }
        let first = self.first_seen.at(sequence);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.showed_at = now;
        peer.newest_shown = peer.newest_shown.max(Some(sequence));
        peer.refused.remove(&sequence);
        if let Some(first) = first {
            peer.classes[class_of(sequence)].showed(now.since(first));
        }
        let mut requests = peer.requests.iter_mut();
        if let Some(request) = requests.find(|request| request.sequence == sequence) {
            request.shown.get_or_insert(now);
        }
        if self.viewer.is_none() {
            self.spread.showed(now, conn, sequence);
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

    /// Asks for wanted pieces while peers can take requests: first those whose time is near,
    /// earliest first, of who is quickest; then the newest and rarest.
    pub(super) fn ask_for_wanted(&mut self, now: Now) {
        if self.wanted.unasked.is_empty() {
            return;
        }
        let urgent_until = now.at + self.patience();
        for (sequence, deadline) in self.in_order(now.at, urgent_until) {
            let urgent = deadline.is_none_or(|deadline| deadline <= urgent_until);
            self.ask_for(now, sequence, deadline, urgent);
        }
    }

    /// The unasked pieces that somebody can be asked for, in the order in which they are asked.
    fn in_order(
        &mut self,
        now: Instant,
        urgent_until: Instant,
    ) -> Vec<(Sequence, Option<Instant>)> {
        let able: Vec<&Peer> = self
            .peers
            .values()
            .filter(|p| p.free_requests() > 0)
            .collect();
        let most: usize = able.iter().map(|peer| peer.free_requests()).sum();
        // After a start everything may be late at once, and is still to be played in order.
        let settles = self
            .viewer
            .as_ref()
            .is_some_and(|viewer| viewer.settles(now));
        let mut urgent = Vec::new();
        let mut rest = Vec::new();
        let mut late = Vec::new();
        // However many before it nobody can give, they do not hide one that somebody can.
        for &sequence in &self.wanted.unasked {
            if urgent.len() + rest.len() >= most {
                break;
            }
            let offers = able
                .iter()
                .filter(|peer| peer.offers(sequence, self.lap))
                .count();
            if offers == 0 {
                continue;
            }
            let deadline = self.deadline(sequence);
            match deadline {
                Some(deadline) if deadline < now && !settles => late.push((sequence, None)),
                Some(deadline) if deadline > urgent_until => {
                    let chance = self.rng.u32(..);
                    rest.push((offers, std::cmp::Reverse(sequence), chance, Some(deadline)));
                }
                _ => urgent.push((sequence, deadline)),
            }
        }
        rest.sort_unstable();
        let rest = rest
            .into_iter()
            .map(|(_, sequence, _, deadline)| (sequence.0, deadline));
        // Who went after what is late first would be late with everything.
        urgent.into_iter().chain(rest).chain(late).collect()
    }

    /// Asks one of those who show the piece and can give it in time.
    fn ask_for(&mut self, now: Now, sequence: Sequence, deadline: Option<Instant>, urgent: bool) {
        let patience = self.patience();
        let some = self.few() * 4.0;
        let able = |peer: &Peer| {
            let quickest = peer.quickest_answer();
            let in_time =
                deadline.is_none_or(|deadline| deadline < now.at || now.at + quickest <= deadline);
            peer.free_requests() > 0
                && now.at >= peer.busy_until
                && in_time
                && peer.offers(sequence, self.lap)
        };
        let offers: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| able(peer))
            .map(|(&conn, peer)| Offer {
                conn,
                doubtful: peer.is_doubtful(patience),
                source: peer.live.src,
                full: peer.live.up.is_none_or(|up| (up as f64) < some),
                pending: peer.requests.len(),
                pipeline: peer.pipeline,
                answer_time: peer.answer_time,
            })
            .collect();
        let zone = if urgent { Zone::Urgent } else { Zone::Early };
        if let Some(conn) = picker::pick(&offers, zone, &mut self.rng) {
            self.request(now.at, conn, sequence);
        }
    }

    /// When a piece that is not held is to be released; nothing where everything is at once.
    fn deadline(&self, sequence: Sequence) -> Option<Instant> {
        let time = self.pace.time_of(sequence)?;
        self.viewer.as_ref()?.releases(time)
    }

    /// How long an answer may take so that there is time to ask another.
    fn patience(&self) -> Duration {
        let waits = self.viewer.as_ref().map(super::Viewer::waits);
        (waits.unwrap_or_default() / 2).max(LATE_AT_LEAST)
    }

    pub(super) fn request(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        let block = self.whole(sequence);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let ahead = !peer.have.contains(sequence);
        peer.requests.push(Request {
            sequence,
            at: now,
            moved_at: now,
            ahead,
            shown: None,
            recalled: None,
            cancelled: false,
            assembly: None,
        });
        self.wanted.ask(sequence);
        self.send(now, conn, Message::Request(block));
        self.timers.at_latest(Timer::Overdue, now + OVERDUE_EVERY);
    }

    /// Takes late requests elsewhere, where there is an elsewhere, and asks a second peer for what
    /// would miss its time.
    pub(super) fn take_back_overdue(&mut self, now: Now) {
        let patience = self.patience();
        let mut late = Vec::new();
        let mut endangered = Vec::new();
        // Who was busy may not be any more.
        let mut waiting = !self.wanted.unasked.is_empty();
        self.ask |= waiting;
        for (&conn, peer) in &self.peers {
            for request in peer.requests.iter().filter(|request| !request.cancelled) {
                waiting = true;
                if self.is_overdue(now.at, peer, request, patience) {
                    late.push((conn, request.sequence));
                } else if self.wanted.times_asked(request.sequence) == 1
                    && self.is_endangered(now.at, request, peer)
                {
                    endangered.push((conn, request.sequence));
                }
            }
        }
        for (conn, sequence) in late {
            self.take_elsewhere(now, conn, sequence);
        }
        for (conn, sequence) in endangered {
            self.ask_a_second(now, conn, sequence);
        }
        if waiting {
            self.timers
                .at_latest(Timer::Overdue, now.at + OVERDUE_EVERY);
        }
    }

    fn is_overdue(&self, now: Instant, peer: &Peer, request: &Request, patience: Duration) -> bool {
        // An answer under way is finished sooner than a new one begins; one that trickles must not
        // use up the time to ask another.
        let moving =
            |usual: Duration| request.assembly.is_some() && now.since(request.moved_at) < usual / 2;
        if request.ahead {
            return self.is_broken_promise(now, peer, request) && !moving(patience);
        }
        let usual = self
            .wanted
            .time_for(request.sequence, peer.late_after(patience));
        let since = now.since(request.at);
        since >= usual * 3 / 2 || since >= usual && !moving(usual)
    }

    /// A promise is overdue when the piece exists, and the peer had the time that it usually takes
    /// to have it and to give it, and as much again as PROTOCOL §6 says.
    fn is_broken_promise(&self, now: Instant, peer: &Peer, request: &Request) -> bool {
        let Some(first) = self.first_seen.at(request.sequence) else {
            return false;
        };
        let class = class_of(request.sequence);
        let Some(shown) = request.shown else {
            let hops = peer.live.hops_at(request.sequence);
            let lag = peer.classes[class].expected_lag(hops).min(PATIENCE);
            return now >= first.max(request.at) + lag + OVERDUE_AT_LEAST;
        };
        now >= shown + peer.overdue_after()
    }

    /// A piece that exists and whose time comes before a second peer could give it later.
    fn is_endangered(&self, now: Instant, request: &Request, peer: &Peer) -> bool {
        let sequence = request.sequence;
        if request.assembly.is_some() && now.since(request.moved_at) < LATE_AT_LEAST {
            return false;
        }
        let usual = peer.answer_time.unwrap_or(LATE_AT_LEAST);
        let expected = (request.since() + usual).max(now);
        let exists = self.first_seen.at(sequence).is_some();
        let deadline = self.deadline(sequence);
        exists
            && deadline.is_some_and(|deadline| {
                deadline.since(now) <= self.last_chance() && expected > deadline
            })
    }

    /// How long before its time a piece is asked of a second peer.
    fn last_chance(&self) -> Duration {
        LAST_CHANCE.min(self.patience())
    }

    fn ask_a_second(&mut self, now: Now, first: ConnId, sequence: Sequence) {
        let second = self
            .peers
            .iter()
            .filter(|&(&conn, peer)| {
                conn != first && peer.free_requests() > 0 && peer.offers(sequence, self.lap)
            })
            .min_by_key(|(_, peer)| peer.answer_time.unwrap_or(Duration::MAX))
            .map(|(&conn, _)| conn);
        if let Some(conn) = second {
            self.request(now.at, conn, sequence);
        }
    }

    fn take_elsewhere(&mut self, now: Now, conn: ConnId, sequence: Sequence) {
        let elsewhere = self.wanted.times_asked(sequence) > 1
            || self.peers.iter().any(|(&other, peer)| {
                other != conn && peer.free_requests() > 0 && peer.offers(sequence, self.lap)
            });
        if !elsewhere {
            return;
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let late = |request: &&mut Request| request.sequence == sequence;
        let Some(request) = peer.requests.iter_mut().find(late) else {
            return;
        };
        match request.recalled {
            None => {
                request.recalled = Some(now.at);
                let waited = now.at.since(request.since());
                peer.was_late(waited);
                self.send_cancel(now.at, conn, sequence);
            }
            Some(recalled) if now.at.since(recalled) >= RECALLED => {
                request.cancelled = true;
                self.wanted.was_late(sequence);
                self.unask(sequence);
                self.ask = true;
            }
            Some(_) => {}
        }
    }

    pub(super) fn rejected(&mut self, now: Now, conn: ConnId, block: Block) {
        let lap = self.lap;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let answered = |request: &Request| lap.index(request.sequence) == block.index;
        let Some(at) = peer.requests.iter().position(answered) else {
            return;
        };
        let request = peer.requests.remove(at);
        if request.recalled.is_some() && !request.cancelled {
            self.unask(request.sequence);
        } else if !request.cancelled {
            // What a choke rejected it still has. Otherwise it is asked for this piece again when
            // it says anew that it has it.
            let choked = peer.chokes_us;
            let shown = peer.have.contains(request.sequence);
            if !choked && shown {
                peer.is_busy(now.at);
                self.timers
                    .at_latest(Timer::Overdue, now.at + OVERDUE_EVERY);
            } else if !choked && request.ahead && peer.refused.len() < MAX_REFUSED {
                peer.refused.insert(request.sequence);
            }
            self.unask(request.sequence);
            if !choked && !shown {
                self.refused(now.at, conn, request.sequence);
            }
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
                peer.answered(now.at, request.since());
                if request.ahead {
                    peer.classes[class_of(request.sequence)].kept();
                }
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
            let hops = (peer.live.hops_or_far(), peer.live.hops_at(sequence));
            self.hops.received(sequence, hops.0, hops.1);
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
            peer.refused = peer.refused.split_off(&start);
            peer.given = peer.given.split_off(&start);
        }
        self.wanted.remove_below(start);
        self.reports.remove_below(start);
        self.copies = self.copies.split_off(&start);
    }
}
