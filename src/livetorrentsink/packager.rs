// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Turns what upstream gives into signed pieces (PROTOCOL §2).
//!
//! Knows no GStreamer and no clock: the streaming thread hands in bytes, another thread calls
//! [`Packager::tick`] when [`Packager::due`] has come, both under one lock.

use std::time::Duration;

use crate::{
    mpegts::{Aligner, Cutter, PACKET_LEN, Packet},
    proto::{
        metainfo::MIN_PIECE_LENGTH,
        piece::{Draft, Flags, HEADER_LEN, Piece, Sealer},
        time::{Dates, Instant, Now},
    },
};

/// Without input for so long an empty piece says that the source is there (PROTOCOL §2).
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest flush time; below it every packet would become a piece.
const MIN_FLUSH_TIME: Duration = Duration::from_millis(1);

/// Least time between two random access points outside MPEG-TS (PROTOCOL §2).
const ACCESS_INTERVAL: Duration = Duration::from_secs(1);

/// What the input is.
#[derive(Debug)]
enum Format {
    TransportStream { aligner: Aligner, cutter: Cutter },
    Opaque(Opaque),
}

impl Format {
    fn transport_stream() -> Self {
        Self::TransportStream {
            aligner: Aligner::default(),
            cutter: Cutter::default(),
        }
    }

    fn preamble(&self) -> &[u8] {
        match self {
            Self::TransportStream { cutter, .. } => cutter.preamble(),
            Self::Opaque(opaque) => &opaque.preamble,
        }
    }

    /// Bytes that are never cut apart.
    const fn unit(&self) -> usize {
        match self {
            Self::TransportStream { .. } => PACKET_LEN,
            Self::Opaque(_) => 1,
        }
    }
}

/// A container that is not looked into.
#[derive(Debug, Default)]
struct Opaque {
    /// The caps' stream headers, none of them empty.
    headers: Vec<Vec<u8>>,
    /// All of them in a row.
    preamble: Vec<u8>,
    last_access: Option<Instant>,
}

impl Opaque {
    fn new(mut headers: Vec<Vec<u8>>) -> Self {
        headers.retain(|header| !header.is_empty());
        Self {
            preamble: headers.concat(),
            headers,
            last_access: None,
        }
    }

    /// Whether a buffer only says again what the caps said.
    fn is_header(&self, bytes: &[u8]) -> bool {
        bytes == self.preamble || self.headers.iter().any(|header| header == bytes)
    }

    /// Whether a buffer that starts a decoder is far enough from the last one.
    fn is_access(&mut self, at: Instant) -> bool {
        let access = self
            .last_access
            .is_none_or(|last| at.since(last) >= ACCESS_INTERVAL);
        if access {
            self.last_access = Some(at);
        }
        access
    }
}

/// The piece that is being filled; never without payload.
#[derive(Debug)]
struct Open {
    draft: Draft,
    since: Instant,
}

/// Makes the pieces of one start.
///
/// After [`Self::end`] it takes nothing more; what follows is another start, with a packager and
/// a [`Sealer`] of its own.
#[derive(Debug)]
pub(super) struct Packager {
    sealer: Sealer,
    /// What pieces are dated by: viewers play by their times, which must not stand still.
    dates: Dates,
    piece_length: usize,
    flush_time: Duration,
    format: Format,
    open: Option<Open>,
    /// The next payload does not continue the last.
    discontinuous: bool,
    /// When the last piece was closed.
    last_piece: Instant,
    ended: bool,
    bytes_in: u64,
    pieces_made: u64,
}

impl Packager {
    /// For MPEG-TS: cut between packets, PAT and PMT as preamble.
    ///
    /// `piece_length` is the most bytes of a piece, `flush_time` the longest that one is open;
    /// both are raised to what is possible, and `flush_time` is at most a second, so that
    /// viewers always see the source.
    pub(super) fn transport_stream(
        sealer: Sealer,
        piece_length: u32,
        flush_time: Duration,
        now: Now,
    ) -> Self {
        let format = Format::transport_stream();
        Self::new(sealer, piece_length, flush_time, format, now)
    }

    /// For other containers: cut anywhere, the caps' stream headers as preamble.
    #[cfg(test)]
    fn opaque(
        sealer: Sealer,
        piece_length: u32,
        flush_time: Duration,
        stream_headers: Vec<Vec<u8>>,
        now: Now,
    ) -> Self {
        let format = Format::Opaque(Opaque::new(stream_headers));
        Self::new(sealer, piece_length, flush_time, format, now)
    }

    fn new(
        sealer: Sealer,
        piece_length: u32,
        flush_time: Duration,
        format: Format,
        now: Now,
    ) -> Self {
        Self {
            dates: Dates::new(now, sealer.last_time()),
            sealer,
            piece_length: piece_length.max(MIN_PIECE_LENGTH) as usize,
            flush_time: flush_time.clamp(MIN_FLUSH_TIME, IDLE_INTERVAL),
            format,
            open: None,
            discontinuous: false,
            last_piece: now.at,
            ended: false,
            bytes_in: 0,
            pieces_made: 0,
        }
    }

    /// From here on the input is MPEG-TS.
    pub(super) fn set_transport_stream(&mut self, now: Now, out: &mut Vec<Piece>) {
        if matches!(self.format, Format::Opaque(_)) {
            self.close(now, out);
            self.discontinuous |= self.bytes_in > 0;
            self.format = Format::transport_stream();
        }
    }

    /// From here on the input is opaque, with these stream headers.
    ///
    /// Where they change amid the stream they are payload once: who watches already gets no preamble.
    pub(super) fn set_opaque(
        &mut self,
        now: Now,
        stream_headers: Vec<Vec<u8>>,
        out: &mut Vec<Piece>,
    ) {
        let new = Opaque::new(stream_headers);
        if let Format::Opaque(old) = &self.format
            && old.headers == new.headers
        {
            return;
        }
        self.close(now, out);
        let begun = self.bytes_in > 0 && !self.ended;
        self.discontinuous |= begun;
        let preamble = new.preamble.clone();
        self.format = Format::Opaque(new);
        if begun && self.preamble_fits() {
            self.append(now, &preamble, out);
            self.close(now, out);
        }
    }

    /// Takes in a buffer of any size; appends the pieces that it fills to `out`.
    ///
    /// `delta_unit`: a decoder cannot start at it; counts outside MPEG-TS. `discont`: it does not
    /// continue the one before.
    pub(super) fn buffer(
        &mut self,
        now: Now,
        bytes: &[u8],
        delta_unit: bool,
        discont: bool,
        out: &mut Vec<Piece>,
    ) {
        if self.ended {
            return;
        }
        if discont {
            self.discontinuity();
        }
        let preamble_fits = self.preamble_fits();
        match &mut self.format {
            Format::TransportStream { aligner, .. } => {
                let mut aligner = std::mem::take(aligner);
                aligner.push(bytes, |packet| self.packet(now, packet, out));
                if let Format::TransportStream { aligner: place, .. } = &mut self.format {
                    *place = aligner;
                }
            }
            Format::Opaque(opaque) => {
                // Headers that do not fit into a preamble reach viewers as payload or not at all.
                if bytes.is_empty() || preamble_fits && opaque.is_header(bytes) {
                    return;
                }
                let access = !delta_unit && opaque.is_access(now.at);
                self.place(now, access, out);
                self.append(now, bytes, out);
            }
        }
    }

    /// Takes in one packet; appends the pieces that it closes to `out`.
    pub(super) fn packet(&mut self, now: Now, packet: &Packet, out: &mut Vec<Piece>) {
        if self.ended {
            return;
        }
        let mut access = false;
        if let Format::TransportStream { cutter, .. } = &mut self.format {
            let place = cutter.packet(packet);
            access = place.random_access;
            self.discontinuous |= place.discontinuity;
        }
        self.place(now, access, out);
        self.append(now, packet, out);
    }

    /// Tells that what comes next does not continue what came: the next payload is DISCONTINUITY.
    /// A packet that is not whole is dropped.
    pub(super) fn discontinuity(&mut self) {
        self.discontinuous = true;
        match &mut self.format {
            Format::TransportStream { aligner, cutter } => {
                aligner.reset();
                cutter.discontinuity();
            }
            Format::Opaque(opaque) => opaque.last_access = None,
        }
    }

    /// Drops what is not in a piece yet.
    pub(super) fn flush(&mut self) {
        self.open = None;
        self.discontinuity();
    }

    /// When [`Self::tick`] has something to do; never after the end. Taking in bytes may bring it nearer.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = match &self.open {
            Some(open) => open.since + self.flush_time,
            None => self.last_piece + IDLE_INTERVAL,
        };
        (!self.ended).then_some(due)
    }

    /// Closes the piece that has been open for the flush time, or an empty one after a second without input.
    pub(super) fn tick(&mut self, now: Now, out: &mut Vec<Piece>) {
        if self.due().is_none_or(|due| now.at < due) {
            return;
        }
        if self.open.is_some() {
            self.close(now, out);
        } else {
            self.seal(now, Draft::new(&[], Flags::NONE), out);
        }
    }

    /// Closes the open piece, or an empty one, with END.
    pub(super) fn end(&mut self, now: Now, out: &mut Vec<Piece>) {
        if self.ended {
            return;
        }
        let open = self.open.take().map(|open| open.draft);
        let mut draft = open.unwrap_or_else(|| Draft::new(&[], Flags::NONE));
        draft.mark(Flags::END);
        self.seal(now, draft, out);
        self.ended = true;
    }

    /// What signs the pieces: the next sequence and the last time, for the restart file.
    pub(super) const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Payload bytes taken in.
    pub(super) const fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Pieces closed, empty ones too.
    pub(super) const fn pieces_made(&self) -> u64 {
        self.pieces_made
    }

    /// Sees to a piece that the next payload can go into; a new one where it must not join the open one.
    fn place(&mut self, now: Now, access: bool, out: &mut Vec<Piece>) {
        let due = (self.open.as_ref()).is_some_and(|open| now.at >= open.since + self.flush_time);
        if access || self.discontinuous || due {
            self.close(now, out);
        }
        if self.open.is_none() {
            self.begin(now, access);
        }
    }

    fn begin(&mut self, now: Now, access: bool) {
        let (preamble, mut flags) = if access && self.preamble_fits() {
            (self.format.preamble(), Flags::RANDOM_ACCESS)
        } else {
            (&[][..], Flags::NONE)
        };
        if std::mem::take(&mut self.discontinuous) {
            flags |= Flags::DISCONTINUITY;
        }
        self.open = Some(Open {
            draft: Draft::with_capacity(preamble, flags, self.piece_length),
            since: now.at,
        });
    }

    /// Whether a piece has room for the preamble and something to go with it.
    fn preamble_fits(&self) -> bool {
        let len = self.format.preamble().len();
        len <= usize::from(u16::MAX) && HEADER_LEN + len + self.format.unit() <= self.piece_length
    }

    /// Adds payload, over as many pieces as it takes; full ones are closed at once.
    fn append(&mut self, now: Now, payload: &[u8], out: &mut Vec<Piece>) {
        let mut rest = payload;
        while !rest.is_empty() {
            let Some(open) = &mut self.open else {
                self.begin(now, false);
                continue;
            };
            let room = self.piece_length - open.draft.len();
            let (head, tail) = rest.split_at(room.min(rest.len()));
            open.draft.extend(head);
            self.bytes_in += head.len() as u64;
            if open.draft.len() + self.format.unit() > self.piece_length {
                self.close(now, out);
            }
            rest = tail;
        }
    }

    fn close(&mut self, now: Now, out: &mut Vec<Piece>) {
        if let Some(open) = self.open.take() {
            self.seal(now, open.draft, out);
        }
    }

    fn seal(&mut self, now: Now, draft: Draft, out: &mut Vec<Piece>) {
        out.push(self.sealer.seal(self.dates.date(now), draft));
        self.pieces_made += 1;
        self.last_piece = now.at;
    }
}

#[cfg(test)]
mod tests;
