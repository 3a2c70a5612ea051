// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Writes a `.tstream`.

use bendy::encoding::{Encoder, Error, SingleItemEncoder};

use super::{AUTH_METHOD, Metainfo, VERSION};
use crate::proto::{key::PublicKey, lap::Lap};

/// The `info` dictionary of a stream.
pub(super) fn info_bytes(name: &str, piece_length: u32, lap: Lap, key: &PublicKey) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder
        .emit_with(|e| emit_info(e, name, piece_length, lap, key))
        .and_then(|()| encoder.get_output())
        .expect("the keys are written in order")
}

fn emit_info(
    encoder: SingleItemEncoder<'_>,
    name: &str,
    piece_length: u32,
    lap: Lap,
    key: &PublicKey,
) -> Result<(), Error> {
    let length = u64::from(lap.npieces()) * u64::from(piece_length);
    encoder.emit_dict(|mut info| {
        info.emit_pair(b"length", length)?;
        info.emit_pair_with(b"live", |e| {
            e.emit_dict(|mut live| {
                live.emit_pair(b"authmethod", AUTH_METHOD)?;
                live.emit_pair_with(b"pubkey", |e| e.emit_bytes(&key.to_der()))?;
                live.emit_pair(b"version", VERSION)
            })
        })?;
        info.emit_pair(b"name", name)?;
        info.emit_pair(b"piece length", piece_length)
    })
}

/// The bytes of a file.
pub(super) fn to_bytes(metainfo: &Metainfo) -> Vec<u8> {
    let mut encoder = Encoder::new();
    emit(&mut encoder, metainfo)
        .and_then(|()| encoder.get_output())
        .expect("the keys are written in order")
}

fn emit(encoder: &mut Encoder, metainfo: &Metainfo) -> Result<(), Error> {
    let info = &metainfo.info;
    let tiers = || metainfo.trackers.iter().filter(|tier| !tier.is_empty());
    encoder.emit_dict(|mut file| {
        if let Some(announce) = tiers().flatten().next() {
            file.emit_pair(b"announce", announce)?;
        }
        if tiers().flatten().count() > 1 {
            file.emit_pair_with(b"announce-list", |e| {
                e.emit_list(|list| tiers().try_for_each(|tier| list.emit(tier)))
            })?;
        }
        if metainfo.speed.is_some() || metainfo.title.is_some() {
            file.emit_pair_with(b"azureus_properties", |e| emit_azureus(e, metainfo))?;
        }
        if let Some(created_by) = &metainfo.created_by {
            file.emit_pair(b"created by", created_by)?;
        }
        if let Some(creation_date) = metainfo.creation_date {
            file.emit_pair(b"creation date", creation_date)?;
        }
        file.emit_pair_with(b"info", |e| {
            emit_info(e, info.name(), info.piece_length(), info.lap(), info.key())
        })?;
        if !metainfo.nodes.is_empty() {
            file.emit_pair_with(b"nodes", |e| {
                e.emit_list(|list| {
                    metainfo.nodes.iter().try_for_each(|(host, port)| {
                        list.emit_list(|node| {
                            node.emit_str(host)?;
                            node.emit_int(*port)
                        })
                    })
                })
            })?;
        }
        Ok(())
    })
}

fn emit_azureus(encoder: SingleItemEncoder<'_>, metainfo: &Metainfo) -> Result<(), Error> {
    encoder.emit_dict(|mut properties| {
        properties.emit_pair_with(b"Content", |e| {
            e.emit_dict(|mut content| {
                if let Some(speed) = metainfo.speed {
                    content.emit_pair(b"Speed Bps", speed)?;
                }
                if let Some(title) = &metainfo.title {
                    content.emit_pair(b"Title", title)?;
                }
                Ok(())
            })
        })
    })
}
