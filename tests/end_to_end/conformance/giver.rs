// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A source of the test's own making, and neighbours that relay for it: they sign, show, keep promises and
//! answer as PROTOCOL asks, say nothing that is not on that page, and hold the viewer to what the page asks
//! of it.

use std::{
    collections::BTreeMap,
    io,
    net::{TcpListener, TcpStream},
    path::Path,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use gstlivetorrent::proto::{
    key::PrivateKey,
    lap::{Lap, Sequence},
    metainfo::{Info, Metainfo},
    piece::{Draft, Flags, Piece, Sealer},
};

use super::link::{Lack, Link, Manners};
use crate::support::{PATIENCE, fixture::numbered_packets, peer::Peer};

/// Packets of a piece: two blocks of it.
pub(super) const PACKETS: usize = 100;
pub(super) const PIECE_LENGTH: u32 = 40_000;
/// From one piece to the next.
const APART: Duration = Duration::from_millis(40);
/// Every so many pieces a decoder can start.
const RANDOM_ACCESS_EVERY: usize = 10;
/// Every so many pieces the tip is announced, which is less than four times a second.
const ANNOUNCED_EVERY: usize = 10;
/// A pause in what comes.
const BREATH: Duration = Duration::from_millis(5);
/// By then nothing is under way.
const SETTLED: Duration = Duration::from_millis(200);
/// Sequences that a new start leaves out.
const LEFT_OUT: u64 = 65_536;
/// The lap ends so many pieces after the first.
const LAP_ENDS_AFTER: u64 = 40;

/// Where it listens, and its stream.
#[derive(Debug)]
pub(super) struct Studio {
    info: Info,
    calls: Receiver<TcpStream>,
    key: PrivateKey,
}

impl Studio {
    /// A stream whose file, written here, leads to nobody but this source.
    pub(super) fn open(tstream: &Path) -> Self {
        let key = PrivateKey::generate();
        let lap = Lap::new(256).unwrap();
        let info = Info::new("foo", PIECE_LENGTH, lap, key.public_key()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut file = Metainfo::new(info.clone());
        file.trackers = vec![vec![format!(
            "http://{}/announce",
            listener.local_addr().unwrap()
        )]];
        std::fs::write(tstream, file.to_bytes()).unwrap();
        let (taken, calls) = mpsc::channel();
        // It ends with the process: nobody calls any more when the test is over.
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                // What does not begin as a peer asks the tracker, which this source has none of.
                let mut first = [0];
                if matches!(socket.peek(&mut first), Ok(1)) && first == [0x13] {
                    let _ = taken.send(socket);
                }
            }
        });
        Self { info, calls, key }
    }

    /// Takes the viewer's call, greets it with one piece held, and begins to broadcast.
    pub(super) fn on_air(self, name: [u8; 20], manners: Manners) -> Giver {
        let mut giver = self.answer(name, manners);
        giver.seal(Flags::RANDOM_ACCESS);
        giver.links[0].greet(&giver.pieces).unwrap();
        giver
    }

    /// The same of one who holds nothing yet, and says so.
    pub(super) fn silent(self, name: [u8; 20], manners: Manners) -> Giver {
        let mut giver = self.answer(name, manners);
        giver.links[0].greet(&giver.pieces).unwrap();
        giver
    }

    fn answer(self, name: [u8; 20], manners: Manners) -> Giver {
        let socket = self.calls.recv_timeout(PATIENCE).expect("a call");
        let lap = self.info.lap();
        let peer = Peer::over(socket, self.info.infohash(), name, lap).unwrap();
        peer.socket().set_read_timeout(Some(BREATH)).unwrap();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let wall = u64::try_from(wall.as_micros()).unwrap();
        let npieces = u64::from(lap.npieces());
        let first = wall.next_multiple_of(npieces) - LAP_ENDS_AFTER;
        Giver {
            sealer: Sealer::new(self.key.clone(), self.info.infohash(), first, 0),
            key: self.key,
            links: vec![Link::new(peer, name, &self.info, manners)],
            info: self.info,
            _calls: self.calls,
            pieces: BTreeMap::new(),
            made: 0,
            made_at: BTreeMap::new(),
            began: Instant::now(),
        }
    }
}

/// The source, and the connections to its viewer: its own first, then those of neighbours.
#[derive(Debug)]
pub(super) struct Giver {
    key: PrivateKey,
    sealer: Sealer,
    pub(super) info: Info,
    pub(super) links: Vec<Link>,
    _calls: Receiver<TcpStream>,
    pieces: BTreeMap<Sequence, Piece>,
    made: usize,
    /// When each piece was made.
    pub(super) made_at: BTreeMap<Sequence, Instant>,
    began: Instant,
}

impl Giver {
    /// A neighbour of the viewer's that holds all that was made so far calls it.
    pub(super) fn meet(&mut self, port: u16, name: [u8; 20], manners: Manners) {
        let lap = self.info.lap();
        let peer = Peer::connect(port, self.info.infohash(), name, lap).unwrap();
        peer.socket().set_read_timeout(Some(BREATH)).unwrap();
        let mut link = Link::new(peer, name, &self.info, manners);
        link.greet(&self.pieces).unwrap();
        self.links.push(link);
    }

    /// The sequence of the next piece.
    pub(super) const fn next(&self) -> Sequence {
        self.sealer.next_sequence()
    }

    /// All payload so far, in order.
    pub(super) fn payload(&self) -> Vec<u8> {
        let pieces = self.pieces.values();
        pieces.flat_map(|piece| piece.payload()).collect()
    }

    fn seal(&mut self, flags: Flags) -> Sequence {
        let mut draft = Draft::new(&[], flags);
        if !flags.contains(Flags::END) {
            draft.extend(&numbered_packets((self.made * PACKETS) as u64, PACKETS));
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let wall = u64::try_from(wall.as_micros()).unwrap();
        let piece = self.sealer.seal(wall, draft);
        let sequence = piece.sequence();
        self.made += 1;
        self.made_at.insert(sequence, Instant::now());
        self.pieces.insert(sequence, piece);
        sequence
    }

    /// Makes a piece and shows it. In the order of the connections: who relays has it later.
    fn publish(&mut self, flags: Flags) -> io::Result<()> {
        let sequence = self.seal(flags);
        let due = self.made.is_multiple_of(ANNOUNCED_EVERY) || flags.contains(Flags::END);
        for link in &mut self.links {
            link.publish(&self.pieces, sequence, due)?;
        }
        Ok(())
    }

    /// Broadcasts so many pieces more, in real time.
    pub(super) fn broadcast(&mut self, pieces: usize) {
        for _ in 0..pieces {
            let flags = if self.made.is_multiple_of(RANDOM_ACCESS_EVERY) {
                Flags::RANDOM_ACCESS
            } else {
                Flags::NONE
            };
            self.publish(flags).unwrap();
            let due = self.began + APART * u32::try_from(self.made).unwrap();
            self.listen_until(due).unwrap();
        }
    }

    /// Broadcasts until this is so.
    pub(super) fn broadcast_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "waiting until {what}");
            self.broadcast(1);
        }
    }

    /// What these connections lack, in this way, when the piece is made.
    pub(super) fn withhold(&mut self, link: usize, sequence: Sequence, lack: Lack) {
        self.links[link].lacks.insert(sequence, lack);
    }

    /// The source shows what it lacked.
    pub(super) fn shows_after_all(&mut self, sequence: Sequence) {
        self.links[0].lacks.remove(&sequence);
        self.links[0].show(&self.pieces, sequence).unwrap();
    }

    /// Begins a new start, as a source that was killed does.
    pub(super) fn start_again(&mut self) {
        // What is under way means numbers of the start before.
        self.listen_until(Instant::now() + SETTLED).unwrap();
        let first = self.next() + LEFT_OUT;
        let time = self.sealer.last_time();
        self.sealer = Sealer::new(self.key.clone(), self.info.infohash(), first, time);
        let leapt_over: Vec<_> = self.links.iter_mut().map(Link::give_up).collect();
        self.publish(Flags::RANDOM_ACCESS).unwrap();
        for (link, leapt_over) in self.links.iter_mut().zip(leapt_over) {
            link.reject_all(leapt_over).unwrap();
        }
    }

    /// Makes the END and says it.
    pub(super) fn say_end(&mut self) {
        self.publish(Flags::END).unwrap();
        for link in &mut self.links {
            let never = link.give_up();
            link.reject_all(never).unwrap();
        }
    }

    /// Serves until the viewer has gone.
    pub(super) fn serve_to_the_end(&mut self) {
        let gone = self.listen_until(Instant::now() + PATIENCE);
        assert!(gone.is_err(), "the viewer stays");
    }

    /// Answers what comes, until then.
    pub(super) fn listen_until(&mut self, until: Instant) -> io::Result<()> {
        loop {
            for link in &mut self.links {
                link.listen(&self.pieces)?;
            }
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }
}
