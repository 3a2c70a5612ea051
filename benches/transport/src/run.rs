// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0
//! What pieces are sent, when, and what becomes of them at the other end.

use std::{io, thread, time::Duration};

use crate::{
    piece::{LENGTH, Moment, Piece, now},
    pipe::Pipe,
    report::Report,
};

/// How often a piece becomes urgent where the line is filled with others.
const URGENT: Duration = Duration::from_millis(200);
/// What a piece has to have left when it is begun: most that the way may take for it to be of use.
const WAY: Duration = Duration::from_millis(500);
/// How long the receiver waits after the last piece was made.
const FAREWELL: Duration = Duration::from_secs(3);

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// A piece each interval, and none that would come too late.
    Live { interval: Duration },
    /// Pieces that nobody waits for, as many as the line takes, and an urgent one now and then.
    Bulk,
}

/// What both ends know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) load: Load,
    /// How long a piece is of use after it was made.
    pub(crate) patience: Duration,
    /// How long pieces are made,
    pub(crate) length: Duration,
    /// of which so much at the beginning does not count.
    pub(crate) lead: Duration,
}

impl Run {
    /// Time between two wanted pieces.
    fn interval(&self) -> Duration {
        match self.load {
            Load::Live { interval } => interval,
            Load::Bulk => URGENT,
        }
    }

    /// How many wanted pieces are made in that time.
    fn wanted(&self, time: Duration) -> u64 {
        (time.as_secs_f64() / self.interval().as_secs_f64()) as u64
    }

    /// Sends all pieces, and waits until the receiver hangs up.
    pub(crate) fn send(&self, mut pipe: Pipe) -> io::Result<()> {
        let mut bytes = [0; LENGTH];
        let mut taken_before = Duration::ZERO;
        let mut write = |pipe: &mut Pipe, wanted, number, born| {
            let piece = Piece {
                wanted,
                number,
                born,
                taken_before,
            };
            piece.encode(&mut bytes);
            taken_before = pipe.write(&bytes)?;
            io::Result::Ok(())
        };
        let start = now();
        let end = self.wanted(self.length);
        for number in 0..end {
            let born = start + self.interval().mul_f64((number + 1) as f64);
            match self.load {
                Load::Live { .. } => thread::sleep(born.saturating_sub(now())),
                Load::Bulk => {
                    while now() < born {
                        write(&mut pipe, false, number, born)?;
                    }
                }
            }
            if now().saturating_sub(born) + WAY <= self.patience {
                write(&mut pipe, true, number, born)?;
            }
        }
        write(&mut pipe, true, end, now())?;
        // What comes is the end, or an error that means the same.
        let _ = pipe.read(&mut [0], now() + 2 * FAREWELL);
        Ok(())
    }

    /// Reads all pieces; what became of them.
    pub(crate) fn receive(&self, mut pipe: Pipe) -> io::Result<Report> {
        let mut bytes = [0; LENGTH];
        let mut filled = 0;
        // When the piece before was read, where that counts.
        let mut before = None;
        let (first, end) = (self.wanted(self.lead), self.wanted(self.length));
        let mut report = Report {
            born: end - first,
            time: self.length - self.lead,
            ..Report::default()
        };
        let start = now();
        let counted = start + self.lead..start + self.length;
        // Whoever is too late, or whose connection is broken: what came until then counts.
        while let Ok(read @ 1..) = pipe.read(&mut bytes[filled..], counted.end + FAREWELL) {
            let when = now();
            filled += read;
            report.all_bytes += read as u64;
            if counted.contains(&when) {
                report.bytes += read as u64;
            }
            if filled < LENGTH {
                continue;
            }
            filled = 0;
            let piece = Piece::decode(&bytes);
            report
                .held
                .extend(before.map(|before: Moment| before.saturating_sub(piece.taken_before)));
            before = (first..end).contains(&piece.number).then_some(when);
            if !piece.wanted || piece.number < first {
                continue;
            }
            if piece.number == end {
                break;
            }
            let delay = when.saturating_sub(piece.born);
            report.in_time += u64::from(delay <= self.patience);
            report.delays.push(delay);
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipe::Transport;

    fn exchange(transport: &str, load: Load) -> Report {
        let transport: Transport = transport.parse().unwrap();
        let run = Run {
            load,
            patience: Duration::from_secs(20),
            length: Duration::from_millis(1500),
            lead: Duration::from_millis(500),
        };
        let listener = transport.listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.address();
        let sender = thread::spawn(move || run.send(transport.connect(address).unwrap()));
        let report = run.receive(listener.accept().unwrap()).unwrap();
        sender.join().unwrap().unwrap();
        report
    }

    #[test]
    fn every_transport_carries_a_stream() {
        for transport in [
            "tcp",
            "tcp,nodelay,unsent=4096,buffer=131072,cc=reno",
            "utp,buffer=65536",
            "libutp",
        ] {
            let interval = Duration::from_millis(100);
            let report = exchange(transport, Load::Live { interval });
            assert_eq!(report.delays.len(), 10, "{transport}: {report}");
            assert_eq!(report.held.len(), 10, "{transport}: {report}");
        }
    }

    // Not libutp: it stops for seconds where the line is as fast as this one.
    #[test]
    fn what_is_urgent_comes_among_what_fills_the_line() {
        for transport in ["tcp,nodelay,unsent=4096", "utp,buffer=65536"] {
            let report = exchange(transport, Load::Bulk);
            assert_eq!(report.delays.len(), 5, "{transport}: {report}");
            assert!(
                report.held.len() > report.delays.len(),
                "{transport}: {report}"
            );
        }
    }
}
