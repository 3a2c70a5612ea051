// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The uplink: what goes out next, and how fast (PROTOCOL §6, giving).
//!
//! One piece after the other, each whole, first come first served: pieces sent side by side would
//! all arrive as late as the last. Little waits in the driver, so that what became useless meanwhile
//! can still be dropped here.

use std::{collections::VecDeque, time::Duration};

use super::{
    super::{
        carrier::Carrier,
        lap::Sequence,
        limiter::Limiter,
        peer::{Answer, Peer},
        time::{Instant, Now},
        timer::Timer,
        wire::{BLOCK_LEN, Message},
    },
    Config, ConnId, Role, Swarm,
};

/// A source whose uplink was measured has so many blocks more under way than others: all begins there, so
/// it is used to the full, though each block waits a little longer.
const MORE_AT_SOURCE: usize = 1;
/// The same in time: where the uplink carries many blocks a second, one connection that waits for
/// its window must not hold up the others.
const SEND_AHEAD_TIME: Duration = Duration::from_millis(25);
/// With so many times as much on connections that wait for their windows, nobody is answered who asked
/// late: when the windows open all of it goes at once, and a promise would wait behind it.
const CROWDED: usize = 2;
/// Who took in nothing for so long waits for no window: it does not hold up those either.
const HUNG: Duration = Duration::from_millis(600);
/// A promise that waited so long for its connection is better kept by another.
const STALE: Duration = Duration::from_millis(500);
/// Who asked late and waited so long is better served by another: promises go first here.
const STARVED: Duration = Duration::from_millis(200);
/// Less than this part of a block that waits is no sign of anything.
const SMALL_PART: usize = 4;
/// No block counts as smaller.
const SMALLEST_BLOCK: usize = 1024;
/// A connection that took nothing in for as long as the uplink needs for so many blocks is held up
/// by its own far end, and does not hold up the others.
const STUCK_BLOCKS: f64 = 3.0;
/// Bounds of that time; the lower one also until the uplink was measured.
const STUCK_AT_LEAST: Duration = Duration::from_millis(20);
const STUCK_AT_MOST: Duration = Duration::from_millis(300);
/// How fast the most that the uplink carried fades with each time that it carried less.
const FADES: f64 = 0.98;
/// The shortest time that the uplink's rate is measured over.
const MEASURED_OVER: Duration = Duration::from_millis(150);
/// An uplink that was full so lately has no room for more promises.
const FULL_OF_LATE: Duration = Duration::from_secs(2);
/// A connection that keeps a piece waiting for so long is slow.
const IN_A_ROW: Duration = Duration::from_millis(150);
/// A piece is given to all to whom it is promised before so many others come, where there is time for that:
/// in the time of more those who get it last would get it late.
const ROW: f64 = 3.0;
/// The part of what a missing piece is waited for that one hop may take.
const A_HOP: u32 = 5;
/// Who has been a neighbour for so long is no newcomer.
pub(super) const SETTLED: Duration = Duration::from_secs(16);
/// Nobody is newer than this.
const NEWEST: Duration = Duration::from_millis(500);
/// What a source saved of its budget may go in one burst.
const BUDGET_BURST: Duration = Duration::from_secs(1);

/// An answer that can begin.
#[derive(Debug)]
struct Ready {
    conn: ConnId,
    sequence: Sequence,
    /// Since when it could begin.
    since: Instant,
    /// It was promised before the piece was there.
    promised: bool,
}

/// What goes out and what it may take.
#[derive(Debug)]
pub(super) struct Uplink {
    /// Answers that can begin, in the order in which they could.
    ready: VecDeque<Ready>,
    /// Answers under way, in the order in which they began.
    answering: VecDeque<ConnId>,
    /// Connections on which [`Self::small`] or more waits to be sent: few of all, and looked at each time
    /// that anything leaves.
    laden: Vec<ConnId>,
    /// `max-upload-rate`.
    limit: Limiter,
    /// A source's `upload-budget`.
    budget: Limiter,
    pub(super) carrier: Carrier,
    throughput: Throughput,
    /// What one block of this stream usually is, rounded up: where pieces are short, so is what waits.
    block: usize,
    /// Blocks that may be under way beyond the one that is sent, once the uplink was measured.
    more: usize,
}

/// What the uplink carries when it is full.
#[derive(Debug, Default)]
struct Throughput {
    /// There is more to send than it takes.
    full: bool,
    /// When the first bytes left while it was full: how much went out before that is not known.
    full_since: Option<Instant>,
    /// Bytes that left since.
    bytes: usize,
    /// Bytes per second.
    rate: Option<f64>,
    measured_at: Option<Instant>,
}

impl Throughput {
    /// There is more to send than it takes now.
    const fn full(&mut self) {
        self.full = true;
    }

    fn sent(&mut self, now: Instant, bytes: usize) {
        if !self.full {
            return;
        }
        let Some(since) = self.full_since else {
            self.full_since = Some(now);
            return;
        };
        self.bytes += bytes;
        let span = now.since(since);
        if span >= MEASURED_OVER {
            let rate = self.bytes as f64 / span.as_secs_f64();
            // A slow connection can make it look less, nothing makes it look more.
            self.rate = Some(self.rate.map_or(rate, |most| rate.max(most * FADES)));
            self.measured_at = Some(now);
            self.full_since = Some(now);
            self.bytes = 0;
        }
    }

    /// Whether it was full for a while of late.
    fn was_full(&self, now: Instant) -> bool {
        self.measured_at
            .is_some_and(|at| now.since(at) < FULL_OF_LATE)
    }

    /// Nothing waits any more.
    const fn idle(&mut self) {
        self.full = false;
        self.full_since = None;
        self.bytes = 0;
    }
}

impl Uplink {
    /// How much is remembered.
    pub(super) fn entries(&self) -> usize {
        self.ready.len() + self.answering.len() + self.carrier.entries()
    }

    pub(super) fn new(config: &Config) -> Self {
        Self {
            ready: VecDeque::new(),
            answering: VecDeque::new(),
            laden: Vec::new(),
            limit: Limiter::new(config.max_upload_rate as f64 / 8.0, Duration::ZERO),
            budget: Limiter::new(0.0, BUDGET_BURST),
            carrier: Carrier::default(),
            throughput: Throughput::default(),
            block: BLOCK_LEN,
            more: match config.role {
                Role::Source => MORE_AT_SOURCE,
                Role::Viewer { .. } => 0,
            },
        }
    }

    /// The budget in bytes per second; 0: none.
    pub(super) fn set_budget(&mut self, now: Instant, rate: f64) {
        self.budget.set(now, rate, BUDGET_BURST);
    }

    /// Whether a source has spent what it is allowed.
    pub(super) fn is_budget_spent(&self, now: Instant) -> bool {
        self.budget.opens(now) > now
    }

    /// How many of these wait for this piece.
    pub(super) fn waiting(&self, sequence: Sequence, of: impl Fn(ConnId) -> bool) -> usize {
        let waits = |ready: &&Ready| ready.sequence == sequence && of(ready.conn);
        self.ready.iter().filter(waits).count()
    }

    /// An answer to `conn` can begin.
    pub(super) fn push(&mut self, now: Instant, conn: ConnId, sequence: Sequence, promised: bool) {
        self.ready.push_back(Ready {
            conn,
            sequence,
            promised,
            since: now,
        });
    }

    /// What it carries when it is full (bytes per second), once it was.
    pub(super) fn capacity(&self) -> Option<u64> {
        self.throughput.rate.map(|rate| rate as u64)
    }

    /// As if it had been full and carried so many bytes a second.
    #[cfg(test)]
    pub(super) const fn measured_for_a_test(&mut self, rate: f64) {
        self.throughput.rate = Some(rate);
    }

    /// Whether it was full once, so that it is known what it carries.
    pub(super) const fn is_measured(&self) -> bool {
        self.throughput.rate.is_some()
    }

    /// After how long without progress a connection is stuck.
    fn stuck_after(&self) -> Duration {
        let blocks = |rate: f64| STUCK_BLOCKS * self.block as f64 / rate.max(1.0);
        let seconds = self.throughput.rate.map_or(0.0, blocks).min(1.0);
        // In the clock's own unit: a timer for it must not come a fraction early.
        Duration::from_micros((seconds * 1e6) as u64).clamp(STUCK_AT_LEAST, STUCK_AT_MOST)
    }

    /// Less than this that waits is no sign of anything.
    pub(super) const fn small(&self) -> usize {
        self.block / SMALL_PART
    }

    /// Bytes that may wait in the driver for all connections together before the next block goes: one block
    /// on the way and one to follow, though few are quite full.
    fn send_ahead(&self) -> usize {
        let least = self.block - self.small();
        self.throughput.rate.map_or(least, |rate| {
            let in_time = (rate * SEND_AHEAD_TIME.as_secs_f64()) as usize;
            in_time.max(least + self.more * self.block)
        })
    }

    /// How long so many bytes take, once it was full.
    pub(super) fn time_for(&self, bytes: f64) -> Option<Duration> {
        let rate = self.throughput.rate?;
        Some(Duration::from_secs_f64((bytes / rate.max(1.0)).min(60.0)))
    }

    /// Requests of `conn` are not answered any more; an answer that began is.
    pub(super) fn forget_requests(&mut self, conn: ConnId) {
        self.ready.retain(|ready| ready.conn != conn);
        self.carrier.forget(conn);
    }

    /// The connection is gone.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.forget_requests(conn);
        self.answering.retain(|&c| c != conn);
        self.laden.retain(|&c| c != conn);
    }

    /// What waits on a connection changed.
    pub(super) fn unsent(&mut self, conn: ConnId, before: usize, after: usize) {
        let small = self.small();
        match (before >= small, after >= small) {
            (false, true) => self.laden.push(conn),
            (true, false) => self.laden.retain(|&c| c != conn),
            _ => {}
        }
    }
}

impl Swarm {
    /// Bytes left for the network, so there is room for more.
    pub(super) fn sent(&mut self, now: Now, conn: ConnId, bytes: usize) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            let since = peer.unsent_since;
            let unsent = peer.unsent;
            peer.unsent = unsent.saturating_sub(bytes);
            self.uplink.unsent(conn, unsent, peer.unsent);
            peer.unsent_since = now.at;
            peer.overtaken = false;
            peer.was_free(now.at, self.uplink.block);
            if bytes >= self.uplink.small() {
                self.overtake(conn, since);
            }
            self.uplink.throughput.sent(now.at, bytes);
            if let Some(copies) = self.copies_carried() {
                self.uplink.carrier.carries(now.at, copies);
            }
            self.pump(now);
            if self.end.is_some() {
                self.check_drained();
            }
        }
    }

    /// What was handed over since then left: whatever waits for longer is not held up by our uplink
    /// but by its own connection.
    fn overtake(&mut self, conn: ConnId, since: Instant) {
        for other in self.uplink.laden.iter().filter(|&&other| other != conn) {
            if let Some(peer) = self.peers.get_mut(other) {
                peer.overtaken |= peer.unsent_since < since;
            }
        }
    }

    /// How long pieces are says how much counts as much that waits.
    pub(super) fn learn_block(&mut self) {
        let usual = (self.pace.piece_bytes() as usize).clamp(SMALLEST_BLOCK, BLOCK_LEN);
        let block = usual.next_power_of_two();
        if block != self.uplink.block {
            self.uplink.block = block;
            let small = self.uplink.small();
            let laden = self.peers.iter().filter(|(_, peer)| peer.unsent >= small);
            self.uplink.laden = laden.map(|(&conn, _)| conn).collect();
        }
    }

    /// Those on whose connections more than a little waits.
    fn laden(&self) -> impl Iterator<Item = &Peer> {
        let laden = self.uplink.laden.iter();
        laden.filter_map(|conn| self.peers.get(conn))
    }

    /// Sends the next parts of answers while the uplink takes them.
    pub(super) fn pump(&mut self, now: Now) {
        while !self.uplink.answering.is_empty() || !self.uplink.ready.is_empty() {
            if let Some(opens) = self.closed_until(now.at) {
                self.uplink.throughput.full();
                self.timers.at_latest(Timer::Uplink, opens);
                return;
            }
            if !self.go_on(now) && !self.begin(now) {
                break;
            }
        }
        if self.uplink.ready.is_empty() && self.uplink.answering.is_empty() {
            self.uplink.throughput.idle();
        } else {
            self.uplink.throughput.full();
        }
    }

    /// Until when nothing more goes out: the limit is reached, or enough is under way.
    fn closed_until(&self, now: Instant) -> Option<Instant> {
        let opens = self.uplink.limit.opens(now);
        if opens > now {
            return Some(opens);
        }
        let stuck_after = self.uplink.stuck_after();
        let moving = |peer: &&Peer| !is_stuck(peer, now, self.uplink.small(), stuck_after);
        let mut waiting = 0;
        let mut until: Option<Instant> = None;
        for peer in self.laden().filter(moving) {
            waiting += peer.unsent;
            let stuck = peer.unsent_since + stuck_after;
            until = Some(until.map_or(stuck, |until| until.min(stuck)));
        }
        until.filter(|_| waiting >= self.uplink.send_ahead())
    }

    /// Until when who asked late is not answered.
    fn crowded_until(&self, now: Instant) -> Option<Instant> {
        let mut under_way = 0;
        let mut until: Option<Instant> = None;
        for peer in self.laden() {
            let hung = peer.unsent_since + HUNG;
            if hung > now {
                under_way += peer.unsent;
                until = Some(until.map_or(hung, |until| until.min(hung)));
            }
        }
        until.filter(|_| under_way >= CROWDED * self.uplink.send_ahead())
    }

    /// Sends the next block of the first answer under way that its connection has room for.
    fn go_on(&mut self, now: Now) -> bool {
        let small = self.uplink.small();
        let takes = |conn: &&ConnId| {
            let peer = self.peers.get(conn);
            peer.is_some_and(|peer| peer.unsent < small)
        };
        let Some(conn) = self.uplink.answering.iter().find(takes).copied() else {
            return false;
        };
        let block = self
            .peers
            .get_mut(&conn)
            .and_then(|peer| peer.answer.as_mut())
            .and_then(next_block);
        let Some((sequence, message, last)) = block else {
            self.uplink.answering.retain(|&c| c != conn);
            return true;
        };
        if last {
            self.uplink.answering.retain(|&c| c != conn);
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.answer = None;
                peer.free_since = now.at;
            }
        }
        if let Message::Piece { block, .. } = &message {
            self.reports.uploaded(sequence, conn, block.len());
        }
        let bytes = message.wire_len();
        self.uplink.limit.sent(now.at, bytes);
        self.uplink.budget.sent(now.at, bytes);
        self.send(now.at, conn, message);
        true
    }

    /// Begins the next answer: what was promised, first come first served; then, of those that are settled
    /// first, the piece that was given least often, so that each is somewhere before it is everywhere. At a source that counts
    /// among promises too: what it gives to nobody nobody has.
    fn begin(&mut self, now: Now) -> bool {
        // Who does not take in what it is sent holds up nobody else.
        let moves = |conn: &&ConnId| self.moves(now.at, **conn);
        if self.uplink.answering.iter().filter(moves).count() >= self.config.max_uploads {
            return false;
        }
        self.drop_stale(now.at);
        let peers = &self.peers;
        self.uplink.ready.retain(|ready| {
            let peer = peers.get(&ready.conn);
            peer.is_some_and(|peer| peer.pending.iter().any(|p| p.sequence == ready.sequence))
        });
        let crowded = self.crowded_until(now.at);
        if let Some(until) = crowded {
            self.timers.at_latest(Timer::Uplink, until);
        }
        let small = self.uplink.small();
        let takes = |ready: &Ready| {
            let peer = self.peers.get(&ready.conn);
            (ready.promised || crowded.is_none())
                && peer.is_some_and(|peer| peer.answer.is_none() && peer.unsent < small)
        };
        let rank = |ready: &Ready| {
            let copies = || self.copies.get(ready.sequence).copied().unwrap_or(0);
            match ready.promised {
                true if self.viewer.is_some() => (false, 0, 0),
                true => (false, 0, copies()),
                false => (true, self.newness(now.at, ready.conn), copies()),
            }
        };
        let able = self.uplink.ready.iter().enumerate();
        let able = able.filter(|(_, ready)| takes(ready));
        // Of equals the first.
        let next = able.min_by_key(|(_, ready)| rank(ready)).map(|(at, _)| at);
        let Some(ready) = next.and_then(|at| self.uplink.ready.remove(at)) else {
            return false;
        };
        if ready.promised {
            self.learn_from(now.at, &ready);
        }
        self.answer(now.at, ready.conn, ready.sequence);
        true
    }

    /// What it says of the uplink and of a connection how long a promise waited whose piece is here.
    fn learn_from(&mut self, now: Instant, ready: &Ready) {
        // A connection that is slow itself says nothing of the uplink, but carries too much.
        let free = self.peers.get(&ready.conn).map(|peer| peer.free_since);
        let could = free.map_or(ready.since, |free| free.max(ready.since));
        if could.since(ready.since) >= IN_A_ROW {
            self.uplink.carrier.too_much_for(now, ready.conn);
        }
        let carries = self.copies_carried();
        if let Some(copies) = carries {
            let pieces = copies * self.pace.per_second() * self.in_a_row().as_secs_f64();
            self.uplink.carrier.spread((pieces as usize).max(1));
        }
        let waited = now.since(could);
        self.uplink.carrier.waited(now, waited, carries);
    }

    /// A piece is promised to as many as it can be given to one after the other in this time.
    fn in_a_row(&self) -> Duration {
        let class = Duration::from_secs_f64(ROW / self.pace.per_second());
        let waits = self.viewer.as_ref().map(super::Viewer::waits);
        class.min(waits.unwrap_or_default() / A_HOP).max(IN_A_ROW)
    }

    /// Whether this connection takes in what it is sent.
    fn moves(&self, now: Instant, conn: ConnId) -> bool {
        let (small, after) = (self.uplink.small(), self.uplink.stuck_after());
        let peer = self.peers.get(&conn);
        peer.is_some_and(|peer| !is_stuck(peer, now, small, after))
    }

    /// How long pieces for others than `conn` keep the uplink busy, as far as it was measured. Who takes
    /// nothing in keeps nobody waiting.
    pub(super) fn wait(&self, now: Instant, conn: ConnId) -> Duration {
        let uplink = &self.uplink;
        let Some(rate) = uplink
            .throughput
            .rate
            .filter(|_| uplink.throughput.was_full(now))
        else {
            return Duration::ZERO;
        };
        // Whoever is newer than it waits for it, unless it gives nothing.
        let gives = |peer: &Peer| peer.gives(now).is_some();
        let newness = match self.peers.get(&conn).is_some_and(gives) {
            true => self.newness(now, conn),
            false => u32::MAX,
        };
        let before = |ready: &&Ready| ready.promised || self.newness(now, ready.conn) <= newness;
        let ready = uplink.ready.iter().filter(before).map(|ready| ready.conn);
        let all = ready.chain(uplink.answering.iter().copied());
        let waits = |other: &ConnId| *other != conn && self.moves(now, *other);
        let bytes = all.filter(waits).count() as f64 * self.pace.piece_bytes();
        Duration::from_secs_f64((bytes / rate.max(1.0)).min(60.0))
    }

    /// How new a neighbour is: 0 for who has been one for longer than [`SETTLED`], and one more for each
    /// time that it was half as long. When many come at once those who are watching are not to pay for it.
    /// Nobody is newer than who says itself that it gives nothing, however long it stays.
    pub(super) fn newness(&self, now: Instant, conn: ConnId) -> u32 {
        let shares = |peer: &&Peer| peer.shares();
        let Some(peer) = self.peers.get(&conn).filter(shares) else {
            return u32::MAX;
        };
        let stayed = now.since(peer.since).max(NEWEST).as_millis() as u64;
        (SETTLED.as_millis() as u64 / stayed)
            .checked_ilog2()
            .map_or(0, |log| log + 1)
    }

    /// How many copies of the stream a viewer's uplink carries, once it was full.
    pub(super) fn copies_carried(&self) -> Option<f64> {
        let rate = self
            .uplink
            .throughput
            .rate
            .filter(|_| self.viewer.is_some())?;
        Some(rate / self.pace.bytes_per_second())
    }

    /// Turns away who waits too long: a promise for its connection, others for their turn.
    fn drop_stale(&mut self, now: Instant) {
        let ready = &self.uplink.ready;
        let first = ready.front().map(|first| first.conn);
        let alone = ready.iter().all(|ready| Some(ready.conn) == first);
        let starves = self.viewer.is_some() && !alone;
        let is_stale = |ready: &&Ready| {
            let waited = now.since(ready.since);
            if ready.promised {
                waited >= STALE
            } else {
                starves && waited >= STARVED
            }
        };
        let stale: Vec<_> = ready
            .iter()
            .filter(is_stale)
            .map(|ready| (ready.conn, ready.sequence, ready.promised))
            .collect();
        for (conn, sequence, promised) in stale {
            if promised {
                self.uplink.carrier.too_much_for(now, conn);
            }
            self.needs_no_answer(now, conn, sequence);
        }
    }

    /// Turns a pending request into an answer under way, or rejects it where the piece left meanwhile.
    fn answer(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        let Some(piece) = self.store.get(sequence) else {
            return self.needs_no_answer(now, conn, sequence);
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let pending = peer.pending.iter().position(|p| p.sequence == sequence);
        let Some(pending) = pending.and_then(|at| peer.pending.remove(at)) else {
            return;
        };
        let given = peer.given.or_default(sequence);
        given.times += 1;
        given.size = u32::try_from(piece.bytes().len()).unwrap_or(u32::MAX);
        peer.answer = Some(Answer {
            sequence,
            index: pending.index,
            bytes: piece.bytes().clone(),
            sent: 0,
        });
        self.uplink.answering.push_back(conn);
        *self.copies.or_default(sequence) += 1;
        let relays = self.relays(now, conn);
        self.spread.gave(now, conn, sequence, relays);
    }
}

fn is_stuck(peer: &Peer, now: Instant, small: usize, after: Duration) -> bool {
    peer.unsent >= small && (peer.overtaken || now.since(peer.unsent_since) >= after)
}

/// The next block of an answer, and whether it is the last.
fn next_block(answer: &mut Answer) -> Option<(Sequence, Message, bool)> {
    let end = (answer.sent + BLOCK_LEN).min(answer.bytes.len());
    let message = Message::Piece {
        index: answer.index,
        begin: u32::try_from(answer.sent).ok()?,
        block: answer.bytes.slice(answer.sent..end),
    };
    answer.sent = end;
    Some((answer.sequence, message, end == answer.bytes.len()))
}
