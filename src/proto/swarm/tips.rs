// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The signed tip and the rest of `tstream_live` (PROTOCOL §3 reference, §5).

use std::time::Duration;

use bytes::Bytes;

use super::{
    super::{
        hops::{ClassHops, class_of},
        lap::Sequence,
        peer::{News, Peer},
        piece::{Flags, Header, Proof},
        time::{Instant, Now},
        wire::{Extension, Live, Message},
    },
    ConnId, Event, Role, Step, Swarm, Tip,
    links::Farewell,
};

/// How often what changed is told at least. The clause allows four times a second; the pieces
/// themselves tell the same sooner, so seldom is enough and an eighth of the overhead. Who has no pieces
/// takes the source to be away after three seconds without a newer tip.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// The clause's own limit, for what cannot wait: the first tip, a START, an END, and the first way to
/// the source in a class.
pub(super) const TELL_AT_MOST: Duration = Duration::from_millis(250);
/// What neighbours go by when they look for a parent is told sooner. More often it would cost them
/// more than it helps: in a flash crowd everything changes all the time. A source tells as often whatever
/// changed: nobody else tells of its newest pieces.
const TELL_NEWS: Duration = Duration::from_secs(1);
/// What is told takes no more than this part of the stream, or a slow one would be talk for the most part;
const TALK: f64 = 0.02;
/// but nobody is so slow that so many bytes a second are too much.
const TALK_AT_LEAST: f64 = 1000.0;
/// Bytes that it takes to tell one neighbour, with the headers of its segment.
const TOLD: f64 = 300.0;
/// How far past our tip we keep requests.
const AHEAD: Duration = Duration::from_millis(1500);
/// The same in pieces, where pieces are few.
const AHEAD_AT_LEAST: u64 = 32;

impl Swarm {
    /// What we say of ourselves.
    pub(super) fn live(&self, now: Now) -> Live {
        let serving = self.config.upload_enabled;
        let promises = serving && !self.is_too_slow_to_give();
        let newest = self.store.newest();
        Live {
            tip: self.tip.as_ref().map(|tip| *tip.proof.bytes()),
            floor: self.floor.filter(|_| serving),
            ra: self.store.newest_random_access().filter(|_| serving),
            ahead: if promises { self.ahead() } else { 0 },
            hops: self.hops(),
            class_hops: self.class_hops(now.at),
            lag: self.viewer.as_ref().and(newest).map(|_| self.lag_millis()),
            seen: self.tip.as_ref().map(|tip| millis(now.at.since(tip.moved))),
            up: serving.then(|| self.free_upload()),
            cap: self.uplink.capacity().filter(|_| serving),
            src: self.config.role == Role::Source,
            called: self.was_called,
        }
    }

    /// The same as it goes over the wire: mostly several neighbours are told it at once.
    fn encoded_live(&mut self, now: Now) -> Bytes {
        let live = self.live(now);
        match &self.told {
            Some((told, payload)) if *told == live => payload.clone(),
            _ => {
                let payload = live.encode();
                self.told = Some((live, payload.clone()));
                payload
            }
        }
    }

    /// How far past our tip peers may ask; not at all before we mean to get anything ourselves.
    pub(super) fn ahead(&self) -> u64 {
        let viewer = self.viewer.as_ref();
        if viewer.is_some_and(|viewer| viewer.next().is_none()) {
            return 0;
        }
        // A power of two: what is announced should not change with every breath of the stream.
        let pieces = self.pace.pieces_in(AHEAD).max(AHEAD_AT_LEAST);
        pieces.next_power_of_two().min(self.lap.announce_span())
    }

    /// 0 at the source; else 1 + the lower median over the senders of our last pieces.
    pub(super) fn hops(&self) -> Option<u8> {
        match self.config.role {
            Role::Source => Some(0),
            Role::Viewer { .. } => self.hops.hops(),
        }
    }

    /// The same in each class; the source is near in all of them.
    fn class_hops(&self, now: Instant) -> Option<ClassHops> {
        match self.config.role {
            Role::Source => ClassHops::from_bytes(&[0]),
            Role::Viewer { .. } => self.hops.class_hops(now, self.fed_within()),
        }
    }

    /// What neighbours go by when they look for somebody to ask ahead.
    fn news(&self, now: Instant) -> News {
        News {
            hops: self.class_hops(now),
            measured: self.uplink.is_measured(),
            room: self.free_upload() > 0,
        }
    }

    /// What the uplink has left (bytes per second). Who is too slow to promise anything has nothing.
    fn free_upload(&self) -> u64 {
        if self.is_too_slow_to_give() {
            return 0;
        }
        (self.uplink.carrier.free_copies() * self.pace.bytes_per_second()) as u64
    }

    fn lag_millis(&self) -> u64 {
        self.viewer
            .as_ref()
            .map_or(0, |viewer| millis(viewer.lag()))
    }

    /// A peer told of itself, in its extended handshake or later.
    pub(super) fn take_live(
        &mut self,
        now: Now,
        conn: ConnId,
        mut live: Live,
    ) -> Result<(), Farewell> {
        if let Some(bytes) = live.tip.take() {
            self.take_tip(now, conn, &bytes)?;
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        live.floor = live.floor.max(peer.live.floor);
        if let Some(floor) = live.floor {
            peer.have.remove_below(floor);
        }
        peer.live = live;
        self.plan = true;
        self.take_bits(conn);
        self.ask = true;
        Ok(())
    }

    fn take_tip(
        &mut self,
        now: Now,
        conn: ConnId,
        bytes: &[u8; super::super::piece::PROOF_LEN],
    ) -> Result<(), Farewell> {
        let ours = self.tip_sequence();
        let claimed = Proof::claimed_sequence(bytes);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        let newer = ours.is_none_or(|ours| claimed > ours);
        if newer {
            if !peer.proofs.take(now.at) {
                return Ok(());
            }
            let proof = self.verifier.proof(bytes).map_err(|error| {
                self.counters.rejected += 1;
                Farewell::proof(format!("a tip that is not the source's: {error}"))
            })?;
            // A source knows its newest piece.
            if self.config.role != Role::Source {
                self.tip_moves(now, proof, Some(conn));
            }
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        peer.tip = peer.tip.max(Some(claimed));
        peer.current = ours.is_none_or(|ours| claimed >= ours);
        let (address, listening) = (peer.address, peer.listening.unwrap_or(peer.address));
        let header = bytes.first_chunk().map(Header::parse);
        let joining = self.viewer.as_mut().filter(|viewer| !viewer.has_joined());
        if let (Some(viewer), Some(header)) = (joining, header) {
            let source = self.book.is_source(address) || self.book.is_source(listening);
            viewer
                .tune
                .tip(now, address.ip(), source, header.time, newer);
        }
        Ok(())
    }

    /// A piece is known to exist; if it is the newest, it is the tip.
    pub(super) fn tip_moves(&mut self, now: Now, proof: Proof, from: Option<ConnId>) {
        let header = *proof.header();
        if header.flags.contains(Flags::START) {
            self.start_seen(now.at, header.sequence);
        }
        if self
            .tip_sequence()
            .is_some_and(|tip| tip >= header.sequence)
        {
            return;
        }
        let first = self.tip.is_none();
        self.first_seen.exists(now.at, header.sequence);
        if header.flags.contains(Flags::START) {
            self.pace.reset();
        }
        self.pace
            .observe(header.sequence, header.time, header.piece_len());
        self.learn_block();
        self.plan = true;
        self.tip = Some(Tip {
            proof,
            moved: now.at,
        });
        self.live_version += 1;
        let ends = header.flags.contains(Flags::END);
        self.end = ends.then_some(header.sequence);
        let back = self.saw_tip(now, &header);
        if self.viewer.is_some() && (first || back) {
            let step = Step::Tip {
                address: from.and_then(|from| Some(self.peers.get(&from)?.address)),
                sequence: header.sequence,
                age: Duration::from_micros(now.wall.saturating_sub(header.time)),
            };
            self.tell(Event::Step(step));
        }
        if first || back || ends || header.flags.contains(Flags::START) {
            self.tell_all_live(now, TELL_AT_MOST);
        }
    }

    /// A start begins at `sequence`: what is missing before it is lost.
    fn start_seen(&mut self, now: Instant, sequence: Sequence) {
        if self.start.is_some_and(|start| start >= sequence) {
            return;
        }
        self.start = Some(sequence);
        self.stop_wanting_below(now, sequence);
        // A later piece of it may have been the first to be seen.
        let tip = self.tip.as_ref();
        let newest = tip.map(|tip| (tip.moved, *tip.proof.header()));
        let newest = newest.filter(|(_, header)| header.sequence >= sequence);
        if let Some(viewer) = &mut self.viewer {
            let newest = newest.map(|(moved, header)| (moved, header.sequence, header.time));
            viewer.new_start(sequence, newest);
        }
    }

    /// Tells a peer that became ready what it could not know when we greeted it.
    pub(super) fn catch_up_live(&mut self, now: Now, conn: ConnId) {
        let knows_nothing = |told: Option<Sequence>| told.is_none() && self.tip.is_some();
        if self
            .peers
            .get(&conn)
            .is_some_and(|p| knows_nothing(p.told_tip))
        {
            self.tell_live_now(now, conn);
        }
        let Some(greeted) = self.peers.get(&conn).map(|peer| peer.greeted_at) else {
            return;
        };
        // Pieces that came after our bitfield had gone.
        let missed: Vec<_> = self
            .recent
            .iter()
            .filter(|(at, sequence)| *at >= greeted && self.store.contains(*sequence))
            .map(|&(_, sequence)| sequence)
            .collect();
        for sequence in missed {
            self.tell_have_to(now, conn, sequence);
        }
    }

    /// Tells a peer what changed, when it is time.
    pub(super) fn tell_live(&mut self, now: Now, conn: ConnId) {
        // What there is to tell need not be known before anything may be.
        let told = |peer: &Peer| now.at.since(peer.told_at) < TELL_NEWS;
        if self.peers.get(&conn).is_none_or(told) {
            return;
        }
        let news = self.news(now.at);
        let moved = self.peers.get(&conn).is_some_and(|p| p.told_news != news);
        let interval = if moved || self.viewer.is_none() {
            self.tell_news()
        } else {
            TELL_EVERY
        };
        self.tell_live_after(now, conn, interval);
    }

    /// How often news is told.
    fn tell_news(&self) -> Duration {
        let all = self.peers.len() as f64 * TOLD;
        let rate = (self.pace.bytes_per_second() * TALK).max(TALK_AT_LEAST);
        Duration::from_secs_f64(all / rate).clamp(TELL_NEWS, TELL_EVERY)
    }

    fn tell_live_after(&mut self, now: Now, conn: ConnId, interval: Duration) {
        let due = self.peers.get(&conn).is_some_and(|peer| {
            peer.told_version != self.live_version && now.at.since(peer.told_at) >= interval
        });
        if due {
            self.tell_live_now(now, conn);
        }
    }

    pub(super) fn tell_all_live(&mut self, now: Now, interval: Duration) {
        for conn in self.ready_ids() {
            self.tell_live_after(now, conn, interval);
        }
    }

    fn tell_live_now(&mut self, now: Now, conn: ConnId) {
        let payload = self.encoded_live(now);
        let tip = self.tip_sequence();
        let version = self.live_version;
        let news = self.news(now.at);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Some(id) = peer
            .extensions
            .as_ref()
            .and_then(|ids| ids.id(Extension::Live))
        else {
            return;
        };
        peer.told_tip = tip;
        peer.told_version = version;
        peer.told_news = news;
        peer.told_at = now.at;
        self.extend(now.at, conn, id, payload);
    }

    /// HAVE for a piece that is new here, to everybody who lacks it.
    pub(super) fn tell_have(&mut self, now: Now, sequence: Sequence) {
        if !self.config.upload_enabled || !self.serves(sequence) {
            return;
        }
        for conn in self.ready_ids() {
            self.show(now, conn, sequence);
        }
    }

    /// Who had a piece before us, now that we hold it.
    pub(super) fn compare(&mut self, sequence: Sequence) {
        for peer in self.peers.values_mut().filter(|peer| peer.is_ready()) {
            let earlier = peer.have.contains(sequence);
            peer.classes[class_of(sequence)].compared(earlier);
        }
    }

    fn tell_have_to(&mut self, now: Now, conn: ConnId, sequence: Sequence) {
        if self.config.upload_enabled && self.serves(sequence) {
            self.show(now, conn, sequence);
        }
    }

    /// The same of a piece that is served.
    fn show(&mut self, now: Now, conn: ConnId, sequence: Sequence) {
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        // The source has every piece, but not the knowledge who else does.
        if peer.have.contains(sequence) && !peer.live.src {
            return;
        }
        self.announce_before(now, conn, sequence);
        let index = self.lap.index(sequence);
        self.send(now.at, conn, Message::Have(index));
    }

    /// Announces the tip, where that is due before a message about `sequence` (PROTOCOL §3).
    pub(super) fn announce_before(&mut self, now: Now, conn: ConnId, sequence: Sequence) {
        let Some(told) = self.peers.get(&conn).map(|peer| peer.told_tip) else {
            return;
        };
        let span = self.lap.announce_span();
        let far = told.is_none_or(|told| sequence > told.saturating_add(span));
        if far && self.tip_sequence() > told {
            self.tell_live_now(now, conn);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
