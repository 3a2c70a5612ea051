// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Live television without a server: two GStreamer elements around a signed BitTorrent swarm.
//!
//! `livetorrentsink` broadcasts the byte stream it is given and writes a small `.tstream` file;
//! `livetorrentsrc` reads such a file and plays the stream from the other viewers, each piece
//! signed by the broadcaster.
//!
//! # The map
//!
//! | module | what it is |
//! | --- | --- |
//! | [`proto`] | the protocol's sans-IO core: no socket, no clock, no GStreamer |
//! | [`mpegts`] | transport stream bytes in, cut points and clock references out |
//! | [`net`] | the driver: sockets, timers, the source's HTTP; pumps one [`proto::swarm::Swarm`] |
//! | `common` | what both elements are made of: shared properties, figures as structures |
//! | [`livetorrentsink`], [`livetorrentsrc`] | the elements |
//!
//! Imports go one way: elements → `common` → `net` → `proto`, elements → `mpegts`.

mod common;
pub mod livetorrentsink;
pub mod livetorrentsrc;
pub mod mpegts;
pub mod net;
pub mod proto;

/// `.tstream` files, by the bencoded keys that a live stream's has and a torrent's has not.
fn find_tstream(find: &mut gst::TypeFind) {
    const START: &[u8] = b"d8:announce";
    const LIVE: &[u8] = b"4:lived10:authmethod";
    /// Far enough for any reasonable list of trackers before the `info` dictionary.
    const LOOKED_AT: u64 = 16 << 10;
    let Some(START) = find.peek(0, START.len() as u32) else {
        return;
    };
    let size = find.length().unwrap_or(LOOKED_AT).min(LOOKED_AT);
    let is_live = |bytes: &[u8]| bytes.windows(LIVE.len()).any(|part| part == LIVE);
    if find.peek(0, size as u32).is_some_and(is_live) {
        let caps = gst::Caps::new_empty_simple("application/x-tstream");
        find.suggest(gst::TypeFindProbability::Maximum, &caps);
    }
}

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    livetorrentsink::register(plugin)?;
    livetorrentsrc::register(plugin)?;
    // Before the typefinder of torrents, which takes all that begins like one.
    gst::TypeFind::register(
        Some(plugin),
        "tstream",
        gst::Rank::PRIMARY + 1,
        Some("tstream"),
        Some(&gst::Caps::new_empty_simple("application/x-tstream")),
        find_tstream,
    )
}

#[expect(missing_docs, reason = "the macro makes items without docs")]
mod plugin {
    use super::plugin_init;

    gst::plugin_define!(
        livetorrent,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MPL-2.0",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("BUILD_REL_DATE")
    );
}
pub use plugin::{plugin_desc, plugin_register_static};
