// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Honest swarms behind a dishonest hand: what an attacker changes in what its swarm says.

use std::collections::VecDeque;

use bytes::Bytes;
use gstlivetorrent::proto::wire::{
    ExtendedHandshake, Extension, ExtensionIds, Live, Message, Transfers,
};

use super::options::{Options, SECOND};
use super::queue::Micros;

/// How often a liar reports.
pub(crate) const REPORT_EVERY: Micros = 4 * SECOND;
/// How often a polluter comes back under another name.
pub(crate) const RETURN_EVERY: Micros = 60 * SECOND;
/// How much more free upload a liar claims than the stream has.
const BOAST: f64 = 100.0;
/// Spoiled blocks that are kept for the next polluter.
const KEPT: usize = 128;

/// What the attackers have in common.
#[derive(Debug)]
pub(crate) struct Attackers {
    /// The free upload that liars claim, bytes per second.
    up: u64,
    /// Blocks and what became of them; the first keeps its memory from being used again.
    spoiled: VecDeque<(Bytes, Bytes)>,
}

impl Attackers {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            up: (options.bitrate / 8.0 * BOAST) as u64,
            spoiled: VecDeque::new(),
        }
    }

    /// What a liar lets out of what its swarm wants sent; nothing: it is swallowed.
    pub(crate) fn lie(&self, message: Message) -> Option<Message> {
        let ours = ExtensionIds::OURS;
        match message {
            Message::Piece { .. } => None,
            Message::Extended { id, .. } if ours.id(Extension::Transfers) == Some(id) => None,
            Message::Extended { id: 0, payload } => {
                let payload = match ExtendedHandshake::decode(&payload) {
                    Ok(mut handshake) => {
                        if let Some(live) = &mut handshake.live {
                            self.boast(live);
                        }
                        handshake.encode()
                    }
                    Err(_) => payload,
                };
                Some(Message::Extended { id: 0, payload })
            }
            Message::Extended { id, payload } if ours.id(Extension::Live) == Some(id) => {
                let payload = match Live::decode(&payload) {
                    Ok(mut live) => {
                        self.boast(&mut live);
                        live.encode()
                    }
                    Err(_) => payload,
                };
                Some(Message::Extended { id, payload })
            }
            other => Some(other),
        }
    }

    const fn boast(&self, live: &mut Live) {
        live.up = Some(self.up);
        live.lag = Some(0);
    }

    /// Well-formed, and not what the source signed.
    pub(crate) fn pollute(&mut self, message: Message) -> Message {
        let Message::Piece {
            index,
            begin,
            block,
        } = message
        else {
            return message;
        };
        let same = |(from, _): &&(Bytes, Bytes)| {
            from.as_ptr() == block.as_ptr() && from.len() == block.len()
        };
        if let Some((_, spoiled)) = self.spoiled.iter().rev().find(same) {
            let block = spoiled.clone();
            return Message::Piece {
                index,
                begin,
                block,
            };
        }
        let mut bytes = block.to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 0x55;
        }
        let spoiled = Bytes::from(bytes);
        if self.spoiled.len() == KEPT {
            self.spoiled.pop_front();
        }
        self.spoiled.push_back((block, spoiled.clone()));
        Message::Piece {
            index,
            begin,
            block: spoiled,
        }
    }
}

/// The reports of a liar: by connection, everything that it was given went on to others.
pub(crate) fn reports(mut taken: Vec<(u32, u32)>) -> Vec<(u32, Message)> {
    taken.sort_unstable();
    let of_one = |pair: &[(u32, u32)]| {
        let entries: Transfers = pair.iter().map(|&(_, index)| (index, 100)).collect();
        let message = Message::Extended {
            id: ExtensionIds::OURS
                .id(Extension::Transfers)
                .unwrap_or_default(),
            payload: entries.encode(),
        };
        (pair[0].0, message)
    };
    taken
        .chunk_by(|one, other| one.0 == other.0)
        .map(of_one)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece() -> Message {
        Message::Piece {
            index: 7,
            begin: 0,
            block: Bytes::from_static(b"signed"),
        }
    }

    #[test]
    fn a_liar_gives_nothing_and_boasts() {
        let attackers = Attackers::new(&Options::default());
        assert_eq!(attackers.lie(piece()), None);
        assert_eq!(attackers.lie(Message::Have(3)), Some(Message::Have(3)));
        let told = Live {
            lag: Some(900),
            floor: Some(5),
            ..Live::default()
        };
        let id = ExtensionIds::OURS.tstream_live.unwrap();
        let payload = told.encode();
        let said = attackers.lie(Message::Extended { id, payload });
        let Some(Message::Extended { payload, .. }) = said else {
            panic!("{said:?}");
        };
        let live = Live::decode(&payload).unwrap();
        assert_eq!((live.lag, live.up), (Some(0), Some(31_250_000)));
        assert_eq!(live.floor, Some(5), "the rest is as it was");
    }

    #[test]
    fn a_liar_reports_all_that_it_was_given_to_whoever_gave_it() {
        let told = reports(vec![(2, 9), (1, 5), (2, 8)]);
        let conns: Vec<_> = told.iter().map(|(conn, _)| *conn).collect();
        assert_eq!(conns, [1, 2]);
        let payload: Transfers = [(8, 100), (9, 100)].into_iter().collect();
        let id = ExtensionIds::OURS.tr_g2g_v2.unwrap();
        let payload = payload.encode();
        assert_eq!(told[1].1, Message::Extended { id, payload });
    }

    #[test]
    fn a_polluter_changes_pieces_and_nothing_else() {
        let mut attackers = Attackers::new(&Options::default());
        let first = attackers.pollute(piece());
        assert_ne!(first, piece());
        assert_eq!(first.wire_len(), piece().wire_len());
        assert_eq!(attackers.pollute(piece()), first);
        assert_eq!(attackers.pollute(Message::Choke), Message::Choke);
    }
}
