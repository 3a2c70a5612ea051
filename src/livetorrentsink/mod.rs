// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The broadcaster's element.

/**
 * SECTION:element-livetorrentsink
 *
 * `livetorrentsink` broadcasts the byte stream it is given to any number of viewers, who pass it
 * on to each other. The element's name is the stream's name: `name=foo` writes `foo.tstream`,
 * the small file that viewers need, and beside it `foo.sauth`, the private key that signs the
 * stream, and `foo.restart`. Run again with the same name and parameters it broadcasts to the
 * same file.
 *
 * A `livetorrent-ready` element message tells when the broadcast can be found. Behind a home router the
 * port is mapped there where the router does that (`port-mapping`): the address outside comes first in
 * `foo.tstream` then, unless `public-address` is set, and a `livetorrent-mapped` message tells it
 * (`location`, `uri` and `address`, HOST:PORT). Viewers who have an older copy of the file find the
 * broadcast as they did before. The mapping ends with the broadcast. Untimed bytes of
 * a source that is not live, such as a file, are paced by the transport stream's own clock
 * references, or by `max-bitrate` where that is set; `sync=false` turns both off.
 * At EOS the element waits up to `drain-timeout` until viewers hold the end.
 *
 * Its `port` answers a browser, too: `http://localhost:7764/` is a page about the broadcast, and
 * `/stats.json` and `/metrics` are the same for scripts and Prometheus. Who asks from another
 * machine is not shown where viewers are, unless `status-public=true`.
 *
 * ## Example pipelines
 *
 * |[
 * gst-launch-1.0 v4l2src ! videoconvert ! x264enc tune=zerolatency key-int-max=50 ! mpegtsmux ! livetorrentsink name=foo
 * ]| Broadcast a camera; viewers need the file `foo.tstream`.
 *
 * |[
 * gst-launch-1.0 filesrc location=film.ts ! livetorrentsink name=film
 * ]| Broadcast a transport stream file in real time.
 */
mod announce;
mod broadcast;
mod container;
mod imp;
mod pacer;
mod packager;
mod settings;
mod store;
mod tstream;

use gst::prelude::*;

glib::wrapper! {
    /// Broadcasts.
    pub struct LiveTorrentSink(ObjectSubclass<imp::LiveTorrentSink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "livetorrentsink",
        gst::Rank::NONE,
        LiveTorrentSink::static_type(),
    )
}
