// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One connection as the swarm sees it.

use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;

use super::{
    hops::{CLASSES, ClassHops, FAR},
    lap::{Lap, Sequence},
    rate::{Quota, Rate},
    request::Request,
    sequence_map::SequenceMap,
    sequence_set::SequenceSet,
    time::{Instant, UnixMicros},
    wire::{ExtensionIds, Live},
};

/// Requests that a connection may have pending with us (BEP 10 `reqq`).
pub(super) const REQQ: usize = 256;
/// Rejects to one peer in [`REJECT_SPAN`] before the connection ends.
const MAX_REJECTS: u32 = 4 * REQQ as u32;
const REJECT_SPAN: Duration = Duration::from_secs(10);
/// Proofs of one peer that are verified in a second.
const PROOFS_PER_SECOND: u32 = 8;
/// Addresses from one peer that are tried in a minute.
const PEX_PER_MINUTE: u32 = 10;
/// Requests at a time to a peer that has answered none yet.
const FIRST_PIPELINE: usize = 2;
/// Requests at a time to a peer that always answers.
const MAX_PIPELINE: usize = 64;

/// A request is late after four times the peer's usual answer time, and not before this.
pub(super) const LATE_AT_LEAST: Duration = Duration::from_millis(250);
/// A promise is overdue after four times the peer's usual answer time, within these bounds.
pub(super) const OVERDUE_AT_LEAST: Duration = Duration::from_millis(100);
const OVERDUE_AT_MOST: Duration = Duration::from_millis(400);
/// The same for a peer that has not answered yet, or that is doubtful.
const LATE_UNKNOWN: Duration = Duration::from_secs(1);

/// Who was given nothing for so long does not use the slot it has.
const SLOT_USE: Duration = Duration::from_millis(1500);
/// Who did not use its slot gets another only after those who might.
pub(super) const IDLE: Duration = Duration::from_secs(10);

/// A piece that comes so much later than usual went astray.
const STRAY: Duration = Duration::from_millis(200);
/// What a hop takes, before anything was measured.
const A_HOP: Duration = Duration::from_millis(70);
/// How much worse a peer looks that never has a piece before we do.
const BEHIND: Duration = Duration::from_millis(150);
/// A peer that would not promise is left alone for so long in this class, and longer each time.
const FIRST_REST: Duration = Duration::from_millis(500);
const MAX_REST_DOUBLINGS: u32 = 2;
/// What each word broken in a row adds to the time that a peer is expected to take.
const A_BROKEN_WORD: Duration = Duration::from_millis(60);
/// The same for a peer that has not given a good piece yet.
const A_STRANGER: Duration = Duration::from_millis(100);
/// The same for one whose uplink has no room for one more promise, unless it promised us before.
pub(super) const FULL: Duration = Duration::from_millis(200);
/// The time for an answer before any came.
const USUAL_ANSWER: Duration = Duration::from_millis(60);

/// How long a busy peer is left alone.
const BUSY: Duration = Duration::from_millis(60);
/// How many broken words are remembered; each answer makes good for one.
const MAX_BROKEN: u8 = 16;

/// Who gave us a piece so lately is believed that it gives.
const BELIEVED: Duration = Duration::from_secs(60);
/// Who broke its word so often without having given anything of late gives nothing.
const DISBELIEVED: u8 = 2;

/// An answer that took so much longer than three times the quickest was held up in a queue.
const QUEUEING: Duration = Duration::from_millis(50);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The 68 bytes are still to come.
    Handshake,
    /// The extended handshake and the bitfield are.
    Greeting,
    /// Both ends know each other.
    Ready,
}

/// How a peer does in one class of sequences.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClassRecord {
    /// From when a piece was known to exist to when this peer showed it, usually.
    lag: Option<Duration>,
    /// How far from that it is, usually.
    jitter: Duration,
    /// Part of the pieces that it showed before we held them.
    earlier: f32,
    /// The newest piece of the class that it showed.
    pub(super) newest: Sequence,
    /// It is not asked ahead in this class before then.
    pub(super) rests_until: Instant,
    refusals: u32,
}

impl ClassRecord {
    /// The peer showed a piece so long after that was known to exist.
    pub(super) fn showed(&mut self, lag: Duration) {
        let Some(usual) = self.lag else {
            self.lag = Some(lag);
            self.jitter = lag / 4;
            return;
        };
        // One piece that went astray says little of the next.
        let lag = lag.min(usual * 2 + self.jitter + STRAY);
        self.jitter = (self.jitter * 7 + lag.abs_diff(usual)) / 8;
        self.lag = Some((usual * 7 + lag) / 8);
    }

    /// We hold a piece, and the peer showed it before or did not.
    pub(super) fn compared(&mut self, earlier: bool) {
        let now = if earlier { 1.0 } else { 0.0 };
        self.earlier += (now - self.earlier) / 4.0;
    }

    /// It would not promise, or did not keep its promise.
    pub(super) fn refused(&mut self, now: Instant) {
        let rest = FIRST_REST * (1 << self.refusals.min(MAX_REST_DOUBLINGS));
        self.rests_until = now + rest;
        self.refusals += 1;
    }

    /// It kept a promise.
    pub(super) const fn kept(&mut self) {
        self.refusals = 0;
    }

    /// How late it is to have a piece of this class, from so many hops.
    pub(super) fn expected_lag(&self, hops: u8) -> Duration {
        let guess = A_HOP * u32::from(hops.min(8));
        let behind = BEHIND.mul_f32((1.0 - self.earlier).clamp(0.0, 1.0));
        self.lag.map_or(guess, |lag| lag + self.jitter) + behind
    }
}

/// What neighbours go by when they look for somebody to ask ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct News {
    /// Our hops.
    pub(super) hops: Option<ClassHops>,
    /// Our uplink was measured.
    pub(super) measured: bool,
    /// It has room for one more promise.
    pub(super) room: bool,
}

/// A piece that this peer asked us for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) sequence: Sequence,
    pub(super) index: u32,
    /// When it came, or when our tip reached it, whichever was later.
    pub(super) since: Instant,
}

/// What a peer was given of one piece.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given {
    /// How often.
    pub(super) times: u8,
    /// Bytes of the piece.
    pub(super) size: u32,
    /// Per cent that it says it forwarded.
    pub(super) forwarded: u8,
}

/// An answer of ours under way; once begun it is finished and not mixed with another.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) sequence: Sequence,
    pub(super) index: u32,
    pub(super) bytes: Bytes,
    pub(super) sent: usize,
}

/// Everything known of one connection.
///
/// Laid out as it is written: what every message reads or writes comes first and lies together, for
/// a swarm goes through all its peers all the time.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Peer {
    pub(super) phase: Phase,
    pub(super) chokes_us: bool,
    pub(super) choked_by_us: bool,
    pub(super) interested_in_us: bool,
    pub(super) interesting: bool,
    pub(super) inbound: bool,
    /// We are full: it is told of others and sent away.
    pub(super) turned_away: bool,
    /// Its tip was the best known when it announced, so its claims count for where to start.
    pub(super) current: bool,
    pub(super) heard_at: Instant,
    pub(super) sent_at: Instant,
    /// `r` for what it holds: the newest tip it announced that we believe.
    pub(super) tip: Option<Sequence>,
    pub(super) requests: Vec<Request>,
    pub(super) have: SequenceSet,
    /// Bytes handed to the driver that have not left yet.
    pub(super) unsent: usize,
    /// Since when none of them left.
    pub(super) unsent_since: Instant,
    pub(super) pending: VecDeque<Pending>,
    /// `r` for what it asks us: the newest tip we announced to it.
    pub(super) told_tip: Option<Sequence>,
    /// When it last showed a piece, and the newest that it showed.
    pub(super) showed_at: Instant,
    pub(super) newest_shown: Option<Sequence>,
    pub(super) pipeline: usize,
    pub(super) reqq: usize,
    /// It rejected what it shows, and is not asked for that before then.
    pub(super) busy_until: Instant,
    /// Promises that it would not make; it is asked again when it shows the piece.
    pub(super) refused: BTreeSet<Sequence>,
    /// How early it has the pieces of each class, for requests ahead.
    pub(super) classes: [ClassRecord; CLASSES],
    /// Its usual time from request to whole answer.
    pub(super) answer_time: Option<Duration>,
    best_answer: Option<Duration>,
    /// Its usual time from when it has a promised piece to when that is here.
    promise_time: Option<Duration>,
    /// When its last answer came whole.
    answered_at: Option<Instant>,
    /// Requests that it rejected or was late with, less those that it answered since.
    broken: u8,
    /// What was handed over later left earlier.
    pub(super) overtaken: bool,
    /// Since when the connection could take another piece.
    pub(super) free_since: Instant,
    pub(super) answer: Option<Answer>,
    /// What it was given, for the pieces in the window.
    pub(super) given: SequenceMap<Given>,
    pub(super) live: Live,
    /// Random access points that it claimed to hold when it greeted us, with their times.
    pub(super) entries: Vec<(Sequence, UnixMicros)>,

    pub(super) told_version: u64,
    pub(super) told_at: Instant,
    /// What it was told that others go by.
    pub(super) told_news: News,
    pub(super) pex_at: Instant,
    pub(super) since: Instant,
    pub(super) unchoked_at: Instant,
    /// It lost a slot that it did not use, so others come first until then.
    pub(super) idle_until: Instant,
    pub(super) uploaded: u64,
    pub(super) downloaded: u64,
    /// Bytes that it says it forwarded of what we gave it.
    pub(super) forwarded: u64,
    pub(super) download_rate: Rate,
    pub(super) upload_rate: Rate,
    /// How much it gives: what the choker ranks by.
    pub(super) credit: f64,
    /// What `credit` counted, and when.
    pub(super) credited: (u64, Instant),

    pub(super) address: SocketAddr,
    /// Where it accepts connections, when it says so.
    pub(super) listening: Option<SocketAddr>,
    pub(super) id: Option<[u8; 20]>,
    pub(super) extensions: Option<ExtensionIds>,
    pub(super) client: String,
    /// Its bitfield came; kept until its tip tells what the bits mean.
    pub(super) bits: Option<Bytes>,
    pub(super) bits_came: bool,
    /// When our bitfield went.
    pub(super) greeted_at: Instant,
    pub(super) proofs: Quota,
    pub(super) rejects: Quota,
    pub(super) pex_quota: Quota,
    pub(super) pex_told: BTreeSet<SocketAddr>,
}

impl Peer {
    pub(super) fn new(now: Instant, address: SocketAddr, inbound: bool, lap: Lap) -> Self {
        Self {
            address,
            inbound,
            since: now,
            phase: Phase::Handshake,
            turned_away: false,
            id: None,
            client: String::new(),
            listening: (!inbound).then_some(address),
            extensions: None,
            reqq: REQQ,
            bits: None,
            bits_came: false,
            tip: None,
            live: Live::default(),
            entries: Vec::new(),
            current: false,
            have: SequenceSet::new(u64::from(lap.npieces())),
            proofs: Quota::new(PROOFS_PER_SECOND, Duration::from_secs(1)),
            chokes_us: true,
            interested_in_us: false,
            choked_by_us: true,
            unchoked_at: now,
            idle_until: Instant::default(),
            interesting: false,
            told_tip: None,
            greeted_at: now,
            told_version: 0,
            told_news: News::default(),
            told_at: now,
            requests: Vec::new(),
            pipeline: FIRST_PIPELINE,
            answer_time: None,
            best_answer: None,
            promise_time: None,
            answered_at: None,
            broken: 0,
            busy_until: Instant::default(),
            classes: [ClassRecord::default(); CLASSES],
            refused: BTreeSet::new(),
            showed_at: Instant::default(),
            newest_shown: None,
            pending: VecDeque::new(),
            answer: None,
            given: SequenceMap::new(),
            rejects: Quota::new(MAX_REJECTS, REJECT_SPAN),
            unsent: 0,
            unsent_since: now,
            overtaken: false,
            free_since: now,
            heard_at: now,
            sent_at: now,
            pex_quota: Quota::new(PEX_PER_MINUTE, Duration::from_secs(60)),
            pex_told: BTreeSet::new(),
            pex_at: now,
            uploaded: 0,
            downloaded: 0,
            forwarded: 0,
            download_rate: Rate::default(),
            upload_rate: Rate::default(),
            credit: 0.0,
            credited: (0, now),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Requests for what it shows that it could take now. Promises that wait for their piece cost
    /// it nothing yet.
    pub(super) fn free_requests(&self) -> usize {
        if !self.is_ready() || self.chokes_us {
            return 0;
        }
        let waiting = self.requests.iter().filter(|request| request.waits());
        let busy = self.requests.len() - waiting.count();
        self.pipeline.saturating_sub(busy).min(self.room())
    }

    /// Whether it could take one more request for what it shows: what [`Self::free_requests`] says
    /// of it, mostly without counting those that wait.
    pub(super) fn takes_request(&self) -> bool {
        if !self.is_ready() || self.chokes_us || self.room() == 0 {
            return false;
        }
        self.requests.len() < self.pipeline || self.free_requests() > 0
    }

    /// Promises that it could make now: two at a time before it has kept its word once.
    pub(super) fn free_promises(&self) -> usize {
        if !self.is_ready() || self.chokes_us {
            return 0;
        }
        let room = self.room();
        if self.answer_time.is_some() {
            room
        } else {
            room.min(FIRST_PIPELINE.saturating_sub(self.requests.len()))
        }
    }

    fn room(&self) -> usize {
        self.reqq.saturating_sub(self.requests.len())
    }

    /// Whether it shows `sequence` and may be asked for it. A request of the lap before that still
    /// waits for its answer keeps the index: the answer could not be told from another's.
    pub(super) fn offers(&self, sequence: Sequence, lap: Lap) -> bool {
        self.have.contains(sequence)
            && self.tip.is_some_and(|tip| lap.askable(sequence, tip))
            && !self.has_request_at(sequence, lap)
    }

    /// Whether a request for a piece of the same index waits for its answer.
    pub(super) fn has_request_at(&self, sequence: Sequence, lap: Lap) -> bool {
        let mut requests = self.requests.iter();
        requests.any(|request| lap.same_index(request.sequence, sequence))
    }

    /// The least that an answer took.
    pub(super) fn quickest_answer(&self) -> Duration {
        self.best_answer.unwrap_or_default()
    }

    /// Bytes left: while a block or more waits, the connection was not free.
    pub(super) const fn was_free(&mut self, now: Instant, block: usize) {
        if self.unsent >= block {
            self.free_since = now;
        }
    }

    /// Whether it has its slot long enough to be judged by what it takes.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        now.since(self.unchoked_at) >= SLOT_USE
    }

    /// Whether it had a slot of late and made no use of it: took no more than `few` bytes a second.
    pub(super) fn is_idle(&self, now: Instant, few: f64) -> bool {
        if self.choked_by_us {
            return now < self.idle_until;
        }
        self.is_settled(now) && self.upload_rate.per_second(now) < few
    }

    /// An answer came whole.
    pub(super) fn answered(&mut self, now: Instant, asked: Instant) {
        self.broken = self.broken.saturating_sub(1);
        self.answered_at = Some(now);
        let took = now.since(asked);
        let usual = self.answer_time.unwrap_or(took);
        self.answer_time = Some((usual * 7 + took) / 8);
        let best = self.best_answer.map_or(took, |best| best.min(took));
        self.best_answer = Some(best);
        // More at a time while that costs no time: a queue at the other end serves nobody.
        self.pipeline = if took <= best * 3 + QUEUEING {
            (self.pipeline + 1).min(MAX_PIPELINE)
        } else {
            (self.pipeline - 1).max(FIRST_PIPELINE)
        };
    }

    /// A promise was kept so long after it could be.
    pub(super) fn kept_its_word(&mut self, took: Duration) {
        let usual = self.promise_time.unwrap_or(took);
        self.promise_time = Some((usual * 7 + took) / 8);
    }

    /// It rejected what it shows: others keep it busy, or it lied. It is left alone for a while, and
    /// longer each time until it answers.
    pub(super) fn is_busy(&mut self, now: Instant) {
        self.broke_its_word();
        self.busy_until = now + BUSY * u32::from(self.broken.min(8));
    }

    /// It broke its word: that lowers its rank, nothing else (PROTOCOL §7).
    pub(super) fn broke_its_word(&mut self) {
        self.broken = (self.broken + 1).min(MAX_BROKEN);
    }

    /// Whether others are to be asked first by a viewer that can wait so long for an answer.
    pub(super) fn is_doubtful(&self, patience: Duration) -> bool {
        self.broken > 0 || self.answer_time.is_some_and(|usual| usual > patience)
    }

    /// After how long a request to it is late.
    pub(super) fn late_after(&self, patience: Duration) -> Duration {
        match self.answer_time {
            Some(usual) if !self.is_doubtful(patience) => (usual * 4).max(LATE_AT_LEAST),
            _ => patience.min(LATE_UNKNOWN),
        }
    }

    /// Its hops, as it counts for our request ahead for `sequence`: nothing where promises must not
    /// run from it to us. `ours`: our own hops, as a whole and in this class.
    pub(super) fn hops_towards(
        &self,
        sequence: Sequence,
        ours: (u8, u8),
        our_id: [u8; 20],
    ) -> Option<u8> {
        let (theirs, ours) = match self.live.class_hops {
            Some(hops) => (ClassHops::at(&hops, sequence), ours.1),
            None => (self.live.hops?, ours.0),
        };
        let lower_id = self.id.is_some_and(|id| id < our_id);
        let nearer = theirs < ours || theirs == ours && lower_id;
        (nearer && theirs != FAR).then_some(theirs)
    }

    /// How long after a piece is known to exist it would be here, were it asked of this peer ahead.
    pub(super) fn expected(&self, class: usize, hops: u8) -> Duration {
        self.classes[class].expected_lag(hops)
            + self.promise_time.unwrap_or(USUAL_ANSWER)
            + A_BROKEN_WORD * self.classes[class].refusals.min(MAX_BROKEN.into())
            + A_STRANGER * u32::from(self.answered_at.is_none())
    }

    /// Whether it can be called, as far as we know: we did, or it says that somebody did.
    pub(super) const fn can_be_called(&self) -> bool {
        !self.inbound || self.live.called || self.live.src
    }

    /// Whether it says that its uplink has no room for one more promise.
    pub(super) fn is_full(&self) -> bool {
        self.live.up == Some(0)
    }

    /// After how long a promise is overdue (PROTOCOL §6).
    pub(super) fn overdue_after(&self) -> Duration {
        let usual = self.answer_time.unwrap_or(USUAL_ANSWER);
        (usual * 4).clamp(OVERDUE_AT_LEAST, OVERDUE_AT_MOST)
    }

    /// The newest sequence that it may be asked for.
    pub(super) fn promises_up_to(&self) -> Option<Sequence> {
        let newest = self.tip.max(self.newest_shown)?;
        (self.live.ahead > 0).then(|| newest.saturating_add(self.live.ahead))
    }

    /// A request was taken elsewhere because it was late by so much.
    pub(super) fn was_late(&mut self, waited: Duration) {
        // Counting only the answers that came would make a busy peer look quick.
        let usual = self.answer_time.unwrap_or(waited);
        self.answer_time = Some((usual * 3 + waited.max(usual)) / 4);
        self.broke_its_word();
        self.pipeline = (self.pipeline / 2).max(FIRST_PIPELINE);
    }

    /// Whether it says that it gives at all.
    pub(super) const fn shares(&self) -> bool {
        self.live.up.is_some() || self.live.cap.is_some() || self.live.floor.is_some()
    }

    /// How much it can give (bytes per second), as far as that is to be believed: nothing when it does
    /// not share, or was asked several times and never gave us anything. Those who gave of late are
    /// believed, those who were never asked until they are.
    pub(super) fn gives(&self, now: Instant) -> Option<f64> {
        let shares = self.shares();
        let gave = self.gave_of_late(now);
        let failed = !gave && self.broken >= DISBELIEVED;
        let claimed = self.live.cap.map_or(f64::MIN_POSITIVE, |cap| cap as f64);
        (shares && !failed || gave).then_some(claimed)
    }

    /// Whether neither end got much from the other of late, nor waits for anything.
    pub(super) fn is_unused(&self, now: Instant, few: f64) -> bool {
        let waits = !self.requests.is_empty() || !self.pending.is_empty() || self.answer.is_some();
        let moved = self.upload_rate.per_second(now) + self.download_rate.per_second(now);
        !waits && moved < few / 8.0
    }

    /// Whether it gave us a piece of late.
    pub(super) fn gave_of_late(&self, now: Instant) -> bool {
        let last = self.answered_at;
        last.is_some_and(|at| now.since(at) < BELIEVED)
    }

    /// Whether its word that it gives is still to be tried.
    pub(super) fn is_untried(&self, now: Instant) -> bool {
        !self.gave_of_late(now) && self.broken < DISBELIEVED
    }

    /// The printable form of its peer id.
    pub(super) fn name(&self) -> String {
        let id = self.id.unwrap_or_default();
        id.iter()
            .map(|&byte| match byte {
                b'!'..=b'~' => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            })
            .collect()
    }
}
