// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The `.tstream` of a broadcast that is under way: it is written anew when a router leads those outside
//! to us.

use std::{net::SocketAddr, sync::Arc};

use crate::{net::Served, proto::metainfo::Metainfo};

use super::{
    announce,
    store::{Store, StoreError},
};

/// The file as it was written at the start, and where it stands.
pub(super) struct Tstream {
    /// Where.
    pub(super) store: Store,
    /// What.
    pub(super) metainfo: Arc<Metainfo>,
    /// The broadcaster's HTTP gives out the same.
    pub(super) served: Served,
    /// The user said where viewers outside find us.
    pub(super) is_public: bool,
}

impl Tstream {
    /// Those outside reach us at this address of a router's: viewers are told to look there first, unless the
    /// user has said where. What the file says then. It waits for the disk.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written; the broadcaster's HTTP gives it out all the same.
    pub(super) fn mapped(&self, outside: SocketAddr) -> Result<Arc<Metainfo>, StoreError> {
        if self.is_public {
            return Ok(Arc::clone(&self.metainfo));
        }
        let metainfo = with_first(&self.metainfo, announce::url(outside));
        self.served.set(metainfo.to_bytes());
        self.store.write_tstream(&metainfo).map(Arc::new)
    }
}

/// The same with this announce URL in a first tier of its own (BEP 12).
fn with_first(metainfo: &Metainfo, url: String) -> Metainfo {
    let mut metainfo = metainfo.clone();
    for tier in &mut metainfo.trackers {
        tier.retain(|other| *other != url);
    }
    metainfo.trackers.retain(|tier| !tier.is_empty());
    metainfo.trackers.insert(0, vec![url]);
    metainfo
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::proto::{lap::Lap, time::UnixMicros};

    use super::super::store::StreamParams;

    const NOW: UnixMicros = 1_800_000_000_000_000;
    const LOCAL: &str = "http://192.168.0.2:7764/announce";
    const OUTSIDE: &str = "http://198.51.100.7:40000/announce";

    fn tstream(dir: &tempfile::TempDir, is_public: bool) -> Tstream {
        let stream = StreamParams {
            name: "tv".into(),
            piece_length: 16_384,
            lap: Lap::new(4096).unwrap(),
        };
        let store = Store::open(&dir.path().join("tv.tstream"), stream, NOW).unwrap();
        let mut metainfo = Metainfo::new(store.info().clone());
        metainfo.trackers = vec![vec![LOCAL.into()], vec!["udp://t.example:1".into()]];
        let metainfo = Arc::new(store.write_tstream(&metainfo).unwrap());
        Tstream {
            served: Served::new(metainfo.to_bytes()),
            store,
            metainfo,
            is_public,
        }
    }

    #[test]
    fn a_mapped_address_comes_first_in_the_file_of_the_same_stream() {
        let dir = tempfile::tempdir().unwrap();
        let tstream = tstream(&dir, false);
        let file = || std::fs::read(dir.path().join("tv.tstream")).unwrap();
        for address in ["198.51.100.7:40000", "198.51.100.8:1", "198.51.100.7:40000"] {
            let told = tstream.mapped(address.parse().unwrap()).unwrap();
            assert_eq!(told.trackers[0], [format!("http://{address}/announce")]);
            let read = Metainfo::parse(&file()).unwrap();
            assert_eq!(read.trackers, told.trackers);
            assert_eq!(read.trackers[1..], tstream.metainfo.trackers[..]);
            assert_eq!(read.info.infohash(), tstream.metainfo.info.infohash());
            assert_eq!(tstream.served.get(), file());
        }
    }

    #[test]
    fn what_the_user_named_stays() {
        let dir = tempfile::tempdir().unwrap();
        let tstream = tstream(&dir, true);
        let before = std::fs::read(dir.path().join("tv.tstream")).unwrap();
        let told = tstream.mapped("198.51.100.7:40000".parse().unwrap());
        assert_eq!(told.unwrap().trackers, tstream.metainfo.trackers);
        let after = std::fs::read(dir.path().join("tv.tstream")).unwrap();
        assert_eq!(
            (&after[..], &tstream.served.get()[..]),
            (&before[..], &before[..])
        );
    }

    #[test]
    fn an_address_that_is_named_already_is_named_once() {
        let dir = tempfile::tempdir().unwrap();
        let tstream = tstream(&dir, false);
        let twice = with_first(&with_first(&tstream.metainfo, OUTSIDE.into()), LOCAL.into());
        assert_eq!(twice.trackers, [[LOCAL], [OUTSIDE], ["udp://t.example:1"]]);
    }
}
