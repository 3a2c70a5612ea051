// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Lies about which piece is the newest.

use std::io;

use super::siege::{Field, Siege, Target};
use crate::support::peer::{Peer, id};

/// Shows `change` of the true tip and all pieces up to it.
fn show_changed(target: &Target, field: &Field, change: impl Fn(&mut [u8; 128])) -> io::Result<()> {
    let mut peer = target.peer()?;
    let mut shown = target.pretence(&mut peer)?;
    change(&mut shown.tip);
    peer.greet(Some(&shown))?;
    field.hit();
    rejects_all(&mut peer, field)
}

/// Turns every request away.
fn rejects_all(peer: &mut Peer, field: &Field) -> io::Result<()> {
    peer.converse(field, |peer, id, payload| match id {
        id::REQUEST => peer.send(id::REJECT, payload),
        _ => Ok(()),
    })
}

#[test]
fn a_tip_with_a_changed_number_moves_nothing() {
    Siege::lay().withstands(|field| {
        field.charge(4, |target, _| {
            show_changed(target, field, |tip| {
                let sequence = u64::from_be_bytes(*tip.first_chunk().unwrap());
                tip[..8].copy_from_slice(&(sequence + 500).to_be_bytes());
            })
        });
    });
}
