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
 * @title: livetorrentsink
 * @see_also: livetorrentsrc
 *
 * `livetorrentsink` broadcasts the byte stream it is given to any number of viewers, who pass it
 * on to each other. The element's name is the stream's name: `name=foo` writes `foo.tstream`,
 * the small file that viewers need, and beside it `foo.sauth`, the private key that signs the
 * stream, and `foo.restart`. Run again with the same name and parameters it broadcasts to the
 * same file.
 *
 * A transport stream (`video/mpegts`, packets of 188 bytes) is cut where a decoder can start. Other
 * streams are cut between their buffers, and what their caps have as stream headers goes to each viewer
 * first. Bytes without caps are looked at. The sink never waits for viewers.
 *
 * ## Pacing
 *
 * Buffers with timestamps go out by the clock, those of a live source as they come. Untimed bytes of
 * a source that is not live, such as a file, are paced by the transport stream's own clock
 * references, or by `max-bitrate` where that is set; `sync=false` turns both off.
 * At EOS the element waits up to `drain-timeout` until viewers hold the end.
 *
 * ## Where viewers find it
 *
 * At the addresses in `foo.tstream`: those of `public-address`, or of the default route. Behind a home router the
 * port is mapped there where the router does that (`port-mapping`): the address outside comes first in
 * `foo.tstream` then, unless `public-address` is set. Viewers who have an older copy of the file find the
 * broadcast as they did before. The mapping ends with the broadcast. Further ways are `trackers`, `dht-nodes`
 * and the networks of this host (`lsd`).
 *
 * Its `port` answers a browser, too: `http://localhost:7764/` is a page about the broadcast, and
 * `/stats.json` and `/metrics` are the same for scripts and Prometheus. Who asks from another
 * machine is not shown where viewers are, unless `status-public=true`.
 *
 * ## Messages
 *
 * Element messages, each a structure of this name:
 *
 * * `livetorrent-ready`: the broadcast can be found from now on, at every change from NULL to READY. `location`: path
 *   of the `.tstream`; `uri`: the stream as a `livetorrent:` link; `infohash`: in hexadecimal; `port`: TCP (uint).
 * * `livetorrent-mapped`: the router leads those outside to the port, and the file says so. `location` and `uri` as above, anew;
 *   `address`: host:port outside.
 *
 * Warnings tell of an address that viewers elsewhere cannot reach, of a stream that nothing paces, of a key that others can
 * read, and of files that cannot be written while it broadcasts.
 *
 * ## Signals
 *
 * * `peer-added` (string id, string address): a peer has finished the handshake; `address` is host:port.
 * * `peer-removed` (string id, string address, string reason): it is gone.
 * * `add-peer` (string address), an action: be connected to whom host:port names, an address or a name. In NULL it does nothing.
 *
 * `notify::port` tells the port that was picked where `port=0`.
 *
 * ## Statistics
 *
 * `stats` is an `application/x-livetorrentsink-stats` of the run, and can be read in every state; unsigned integers
 * of 64 bits, 0 where nothing is known yet:
 *
 * * `bytes-in`: taken from upstream; `pieces-made`: of these.
 * * `bytes-uploaded`, `bytes-downloaded`: of pieces; `overhead-bytes`: all others of the peer protocol, both ways.
 * * `upload-rate`, `download-rate`: of pieces, over the last seconds (bits per second).
 * * `pieces-verified`: made or taken; `pieces-rejected`: refused; `duplicate-bytes`: of pieces that were held already.
 * * `peers-connected`, `peers-banned`: how many, now.
 * * `tip`, `floor`: number of the newest piece, and of the oldest that is kept.
 * * `peers`: an array with a structure for each peer. `id`, `address`, `client` (strings: as in the signals, and what it calls itself);
 *   `bytes-uploaded`, `bytes-downloaded`: to and from it; `forwarded`: bytes of ours that it says it passed on; `choked`: it serves
 *   us nothing, `choking`: nor we it (booleans); `rtt`, `lag`: round trip, and how far behind it says it is (nanoseconds; left out
 *   while not known).
 * * `discovery`: an array with a structure for each way to find peers. `name`, `outcome` (strings), `peers`: how many it told of.
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
 *
 * |[
 * gst-launch-1.0 filesrc location=radio.ogg ! livetorrentsink name=radio max-bitrate=128000
 * ]| Broadcast bytes of any kind that the sink takes, so many bits of them a second.
 *
 * Since: 0.1.0
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
