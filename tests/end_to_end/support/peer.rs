// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A peer that the test plays itself, honest or not: PROTOCOL §4 to §6 over a plain socket, without
//! the crate's own wire.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use gstlivetorrent::proto::{
    lap::{Lap, Sequence},
    metainfo::Infohash,
    piece::{HEADER_LEN, PROOF_LEN},
};

use super::PATIENCE;

/// Message ids of BEP 3, 6 and 10.
pub(crate) mod id {
    pub(crate) const CHOKE: u8 = 0;
    pub(crate) const UNCHOKE: u8 = 1;
    pub(crate) const INTERESTED: u8 = 2;
    pub(crate) const NOT_INTERESTED: u8 = 3;
    pub(crate) const HAVE: u8 = 4;
    pub(crate) const BITFIELD: u8 = 5;
    pub(crate) const REQUEST: u8 = 6;
    pub(crate) const PIECE: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const HAVE_ALL: u8 = 14;
    pub(crate) const HAVE_NONE: u8 = 15;
    pub(crate) const REJECT: u8 = 16;
    pub(crate) const EXTENDED: u8 = 20;
}

/// Largest part of a piece in one message.
const BLOCK: usize = 16 * 1024;

/// What a peer shows of its pieces.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) tip: [u8; PROOF_LEN],
    pub(crate) floor: Sequence,
    pub(crate) random_access: Sequence,
    /// Sequences that it says it holds.
    pub(crate) held: Vec<Sequence>,
}

impl Shown {
    /// The entries of `tstream_live` that say so.
    pub(crate) fn live(&self) -> Vec<u8> {
        let (floor, random_access) = (self.floor, self.random_access);
        let mut live =
            format!("5:floori{floor}e4:hopsi1e2:rai{random_access}e3:tip128:").into_bytes();
        live.extend_from_slice(&self.tip);
        live
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    socket: TcpStream,
    /// What came of messages that are not yet whole.
    unread: Vec<u8>,
    lap: Lap,
    their_reserved: [u8; 8],
    their_id: [u8; 20],
    /// What the far end showed last in `tstream_live`: the tip's proof and the floor.
    pub(crate) tip: Option<[u8; PROOF_LEN]>,
    pub(crate) floor: Option<Sequence>,
    pub(crate) random_access: Option<Sequence>,
    choked: bool,
}

impl Peer {
    /// Connects to a port of this machine and shakes hands as `peer_id`.
    pub(crate) fn connect(
        port: u16,
        infohash: Infohash,
        peer_id: [u8; 20],
        lap: Lap,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        Self::over(socket, infohash, peer_id, lap)
    }

    /// The same over a socket that is there.
    pub(crate) fn over(
        mut socket: TcpStream,
        infohash: Infohash,
        peer_id: [u8; 20],
        lap: Lap,
    ) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let ours = handshake(RESERVED, infohash, peer_id);
        socket.write_all(&ours)?;
        let mut theirs = [0; 68];
        socket.read_exact(&mut theirs)?;
        if theirs[..20] != ours[..20] || theirs[28..48] != infohash.0 {
            return Err(io::Error::other("another protocol or stream"));
        }
        Ok(Self {
            socket,
            unread: Vec::new(),
            lap,
            their_reserved: theirs[20..28].try_into().unwrap(),
            their_id: *theirs.last_chunk().unwrap(),
            tip: None,
            floor: None,
            random_access: None,
            choked: true,
        })
    }

    /// Sends the extended handshake and the bitfield: nothing held, or what is shown.
    pub(crate) fn greet(&mut self, shown: Option<&Shown>) -> io::Result<()> {
        self.introduce(&shown.map_or_else(Vec::new, Shown::live))?;
        self.show(shown)
    }

    /// Sends the extended handshake with these entries of `live`.
    pub(crate) fn introduce(&mut self, live: &[u8]) -> io::Result<()> {
        let mut payload = vec![0];
        payload.extend_from_slice(b"d4:lived");
        payload.extend_from_slice(live);
        payload.extend_from_slice(
            b"e1:md9:Tr_G2G_v2i2e12:tstream_livei3e6:ut_pexi1ee1:pi0e4:reqqi256e1:v4:teste",
        );
        self.send(id::EXTENDED, &payload)
    }

    /// Sends the bitfield: nothing held, or what is shown.
    pub(crate) fn show(&mut self, shown: Option<&Shown>) -> io::Result<()> {
        match shown {
            None => self.send(id::HAVE_NONE, &[]),
            Some(shown) => {
                let mut bits = vec![0; self.lap.npieces().div_ceil(8) as usize];
                for sequence in &shown.held {
                    let index = self.lap.index(*sequence) as usize;
                    bits[index / 8] |= 0x80 >> (index % 8);
                }
                self.send(id::BITFIELD, &bits)
            }
        }
    }

    /// Sends one message.
    pub(crate) fn send(&mut self, id: u8, payload: &[u8]) -> io::Result<()> {
        self.socket.write_all(&frame(id, payload))
    }

    /// The far end's peer id.
    pub(crate) const fn their_id(&self) -> [u8; 20] {
        self.their_id
    }

    /// The reserved bytes of the far end's handshake.
    pub(crate) const fn their_reserved(&self) -> [u8; 8] {
        self.their_reserved
    }

    /// Whether the far end gives nothing now.
    pub(crate) const fn is_choked(&self) -> bool {
        self.choked
    }

    /// The connection itself.
    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The next message: its id and payload. Keep-alives are left out, tips taken notice of.
    pub(crate) fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            let length = self.wait_for_bytes(4)?;
            let length = u32::from_be_bytes(*length.first_chunk().unwrap()) as usize;
            let message = self.wait_for_bytes(4 + length)?[4..].to_vec();
            self.unread.drain(..4 + length);
            let Some((&id, payload)) = message.split_first() else {
                continue;
            };
            match id {
                id::CHOKE => self.choked = true,
                id::UNCHOKE => self.choked = false,
                id::EXTENDED => self.notice(payload),
                _ => {}
            }
            return Ok((id, payload.to_vec()));
        }
    }

    /// Reads until there are so many bytes. What came stays when that fails.
    fn wait_for_bytes(&mut self, length: usize) -> io::Result<&[u8]> {
        let mut buffer = [0; 16 * 1024];
        while self.unread.len() < length {
            match self.socket.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.unread.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(&self.unread[..length])
    }

    fn notice(&mut self, payload: &[u8]) {
        let after = |key: &[u8]| {
            let at = payload
                .windows(key.len())
                .position(|window| window == key)?;
            Some(&payload[at + key.len()..])
        };
        if let Some(rest) = after(b"3:tip128:") {
            self.tip = rest.first_chunk().copied();
        }
        let number = |key: &[u8]| {
            let rest = after(key)?;
            let digits = rest.iter().position(|byte| *byte == b'e')?;
            std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
        };
        self.floor = number(b"5:floori").or(self.floor);
        self.random_access = number(b"2:rai").or(self.random_access);
    }

    /// Receives until the far end has shown its tip; the tip's sequence.
    pub(crate) fn wait_for_tip(&mut self) -> io::Result<Sequence> {
        loop {
            if let Some(tip) = &self.tip {
                return Ok(u64::from_be_bytes(*tip.first_chunk().unwrap()));
            }
            self.receive()?;
        }
    }

    /// Receives until the far end gives.
    pub(crate) fn wait_for_unchoke(&mut self) -> io::Result<()> {
        while self.choked {
            self.receive()?;
        }
        Ok(())
    }

    /// Asks for a whole piece and waits for it.
    pub(crate) fn fetch(&mut self, sequence: Sequence, piece_length: u32) -> io::Result<Vec<u8>> {
        self.wait_for_unchoke()?;
        let index = self.lap.index(sequence);
        self.send(id::REQUEST, &block(index, 0, piece_length))?;
        let mut piece = Vec::new();
        loop {
            let (id, payload) = self.receive()?;
            if payload.get(..4) != Some(&index.to_be_bytes()[..]) {
                continue;
            }
            match id {
                id::PIECE => piece.extend_from_slice(&payload[8..]),
                id::REJECT => return Err(io::Error::other(format!("{sequence} rejected"))),
                _ => continue,
            }
            let content = piece[24..28].try_into().unwrap();
            if piece.len() == HEADER_LEN + u32::from_be_bytes(content) as usize {
                return Ok(piece);
            }
        }
    }

    /// Waits for a request; its index.
    pub(crate) fn wait_for_request(&mut self) -> io::Result<u32> {
        loop {
            let (id, payload) = self.receive()?;
            if id == id::REQUEST {
                return Ok(u32::from_be_bytes(*payload.first_chunk().unwrap()));
            }
        }
    }

    /// Answers a request for `index` with these bytes.
    pub(crate) fn answer(&mut self, index: u32, piece: &[u8]) -> io::Result<()> {
        for (number, part) in piece.chunks(BLOCK).enumerate() {
            let mut payload = index.to_be_bytes().to_vec();
            payload.extend_from_slice(&u32::try_from(number * BLOCK).unwrap().to_be_bytes());
            payload.extend_from_slice(part);
            self.send(id::PIECE, &payload)?;
        }
        Ok(())
    }

    /// Reads until the far end hangs up, at most so long; whether it did.
    pub(crate) fn is_hung_up_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.receive() {
                Ok(_) => {}
                Err(error) => {
                    return !matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
        }
    }
}

/// Whether only a pause in what comes was the error.
pub(crate) fn is_breath(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// The reserved bytes that PROTOCOL §4 asks for.
pub(crate) const RESERVED: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0x04];

/// A BEP 3 handshake.
pub(crate) fn handshake(reserved: [u8; 8], infohash: Infohash, peer_id: [u8; 20]) -> Vec<u8> {
    let mut bytes = b"\x13BitTorrent protocol".to_vec();
    bytes.extend_from_slice(&reserved);
    bytes.extend_from_slice(&infohash.0);
    bytes.extend_from_slice(&peer_id);
    bytes
}

/// One message with its length.
pub(crate) fn frame(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).unwrap();
    let mut message = length.to_be_bytes().to_vec();
    message.push(id);
    message.extend_from_slice(payload);
    message
}

/// The three fields of REQUEST, CANCEL and REJECT.
pub(crate) fn block(index: u32, begin: u32, length: u32) -> [u8; 12] {
    let mut fields = [0; 12];
    fields[..4].copy_from_slice(&index.to_be_bytes());
    fields[4..8].copy_from_slice(&begin.to_be_bytes());
    fields[8..].copy_from_slice(&length.to_be_bytes());
    fields
}
