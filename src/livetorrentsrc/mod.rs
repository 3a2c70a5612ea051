// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The viewer's element.

/**
 * SECTION:element-livetorrentsrc
 * @title: livetorrentsrc
 * @see_also: livetorrentsink
 *
 * `livetorrentsrc` plays a live broadcast that `livetorrentsink` made: it reads the broadcast's
 * `.tstream` file, finds other viewers and the source, fetches the signed pieces from them,
 * passes them on to others and hands the verified byte stream downstream, `latency` behind the
 * source.
 *
 * The output is the source's byte stream in order, from a point on where a decoder can start.
 * Where pieces missed their time they are skipped and the next buffer is marked DISCONT. With
 * `on-loss=skip`, the default, it goes on with the next piece: a decoder shows a few wrong pictures
 * and the sound is back at once. With `on-loss=next-keyframe` it goes on with the next key frame, if
 * that comes within two seconds: no wrong picture, but picture and sound stand still until then.
 * Measured (`examples/on-loss.rs`, a hole of 15 KiB in H.264 of 2.5 Mbit/s with a key frame every 2 s):
 * 2.4 pictures missing, 6.5 wrong and 54 ms of sound missing, against 24.7, 0.1 and 1025 ms.
 *
 * ## Distance
 *
 * `latency` may be changed while it plays. What is off by a little is made up for by playing faster or
 * slower by at most `max-rate-change` (an instant-rate-change event; sound changes its pitch by as
 * much), what would take longer than a minute so by a jump to a key frame, with DISCONT and a
 * `livetorrent-skipped` message, or by waiting at one. A buffer that gets low is saved in the same way.
 * With `max-rate-change=0` bytes follow the source's clock at any moment and only jumps correct. So it
 * is where a stream that was demuxed is linked to nothing: elements of GStreamer fail there on the event.
 *
 * `start-offset` starts further behind the source, with a key frame at most a sixteenth off, as far as
 * others hold the stream; the action signal `jump-to-live` returns to `latency`. After a pause it
 * jumps to `latency`, or with `keep-position=true` goes on where it was, as far as `buffer-size` held
 * what came meanwhile, and catches up by rate.
 *
 * ## Peers
 *
 * It finds them by what the `.tstream` names (trackers, nodes of the DHT), on the networks of this host (`lsd`), by what
 * other peers tell (`pex`), in `peers`, and among those that gave pieces the last time (`peer-cache`; write
 * `peer-cache=""` in a shell to keep none).
 * Behind a home router the port is mapped there where the router does that (`port-mapping`), so that
 * viewers outside can call this one; it goes back at the end. What the router said stands in `stats`
 * under `discovery`.
 *
 * What goes wrong in the swarm is never an error by itself: the element waits, says so with
 * `livetorrent-stalled` and `livetorrent-source-away` messages and in the `status` property, and
 * goes on when bytes come again, unless `timeout` is set. A `.tstream` that is missing, damaged or of another kind is an
 * error that says what and where.
 *
 * With `status-port` a page about what it does is at `http://localhost:PORT/`, for this machine only,
 * and the same for scripts at `/stats.json` and `/metrics`.
 *
 * ## Messages
 *
 * Element messages, each a structure of this name:
 *
 * * `livetorrent-ready`: the `.tstream` was read, and others can call. `location`: what was read; `uri`: the stream as a
 *   `livetorrent:` link; `infohash`: in hexadecimal; `port`: TCP (uint).
 * * `livetorrent-stalled`, `livetorrent-resumed`: the next piece is late everywhere; bytes come again.
 * * `livetorrent-source-away`, `livetorrent-source-back`: nobody has anything new from the source; somebody has.
 * * `livetorrent-skipped`: pieces missed their time or were jumped over. `pieces`, `bytes`: how many (uint64).
 *
 * PROGRESS messages `join` tell of the way from start to the first bytes. A warning says why no peer can be reached: ten seconds
 * after the start, a minute later, and then every five.
 *
 * ## Signals
 *
 * * `peer-added` (string id, string address): a peer has finished the handshake; `address` is host:port.
 * * `peer-removed` (string id, string address, string reason): it is gone.
 * * `add-peer` (string address), an action: be connected to whom host:port names, an address or a name. In NULL it does nothing.
 * * `jump-to-live`, an action: go to `latency` behind the source, by a jump. In NULL it does nothing.
 *
 * `notify::port` and `notify::status-port` tell what was picked where they are 0, `notify::status` each change of `status`.
 *
 * ## Statistics
 *
 * `stats` is an `application/x-livetorrentsrc-stats` of the run, and can be read in every state; unsigned integers
 * of 64 bits if nothing else is said, 0 where nothing is known yet:
 *
 * * `bytes-out`: handed downstream; `pieces-skipped`: what was not; `stalls`: how often nothing came.
 * * `live-distance`: how far behind the source the last byte out is; `buffer-level`: how much of the stream is held in order
 *   beyond it; `join-time`: from start to the first byte out (nanoseconds).
 * * `playback-rate`: 1 is the normal one (double).
 * * `bytes-uploaded`, `bytes-downloaded`: of pieces; `overhead-bytes`: all others of the peer protocol, both ways.
 * * `upload-rate`, `download-rate`: of pieces, over the last seconds (bits per second).
 * * `pieces-verified`: taken; `pieces-rejected`: refused; `duplicate-bytes`: of pieces that were held already.
 * * `peers-connected`, `peers-banned`: how many, now.
 * * `tip`, `floor`: number of the newest piece that is known of, and of the oldest that is kept.
 * * `peers`: an array with a structure for each peer. `id`, `address`, `client` (strings: as in the signals, and what it calls itself);
 *   `bytes-uploaded`, `bytes-downloaded`: to and from it; `forwarded`: bytes of ours that it says it passed on; `choked`: it serves
 *   us nothing, `choking`: nor we it (booleans); `rtt`, `lag`: round trip, and how far behind it says it is (nanoseconds; left out
 *   while not known).
 * * `discovery`: an array with a structure for each way to find peers. `name`, `outcome` (strings), `peers`: how many it told of.
 *
 * ## Example pipelines
 *
 * |[
 * gst-launch-1.0 livetorrentsrc location=foo.tstream ! decodebin ! autovideosink
 * ]| Watch a broadcast.
 *
 * |[
 * gst-launch-1.0 -e livetorrentsrc location=http://192.0.2.1:7764/foo.tstream ! filesink location=foo.ts
 * ]| Record a broadcast whose file its source hands out.
 *
 * |[
 * gst-play-1.0 livetorrent:///home/me/foo.tstream
 * ]| Watch through the URI handler.
 *
 * Since: 0.1.0
 */
mod downstream;
mod imp;
mod location;
mod run;
mod settings;
mod stream;

use gst::prelude::*;

use crate::proto::swarm;

/// How a viewer stands (the `status` property).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstLiveTorrentSrcStatus")]
pub enum LiveTorrentSrcStatus {
    /// No peer yet.
    #[default]
    #[enum_value(name = "No peer yet", nick = "connecting")]
    Connecting,
    /// Peers, but nothing to start from yet.
    #[enum_value(name = "Peers, but nothing to start from yet", nick = "joining")]
    Joining,
    /// Bytes flow.
    #[enum_value(name = "Bytes flow", nick = "playing")]
    Playing,
    /// The next piece is late everywhere.
    #[enum_value(name = "The next piece is late everywhere", nick = "stalled")]
    Stalled,
    /// Nobody has anything new from the source.
    #[enum_value(name = "Nobody has anything new from the source", nick = "source-away")]
    SourceAway,
    /// The broadcast ended and everything was delivered.
    #[enum_value(name = "The broadcast ended", nick = "ended")]
    Ended,
}

impl From<swarm::Status> for LiveTorrentSrcStatus {
    fn from(status: swarm::Status) -> Self {
        match status {
            swarm::Status::Connecting => Self::Connecting,
            swarm::Status::Joining => Self::Joining,
            swarm::Status::Playing => Self::Playing,
            swarm::Status::Stalled => Self::Stalled,
            swarm::Status::SourceAway => Self::SourceAway,
            swarm::Status::Ended => Self::Ended,
        }
    }
}

/// What becomes of what follows a piece that missed its time (the `on-loss` property).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstLiveTorrentSrcOnLoss")]
pub enum LiveTorrentSrcOnLoss {
    /// Go on with the next piece.
    #[default]
    #[enum_value(name = "Go on with the next piece", nick = "skip")]
    Skip,
    /// Go on with the next random access point, where that comes within two seconds.
    #[enum_value(
        name = "Go on with the next key frame within two seconds",
        nick = "next-keyframe"
    )]
    NextKeyframe,
}

impl From<LiveTorrentSrcOnLoss> for swarm::OnLoss {
    fn from(on_loss: LiveTorrentSrcOnLoss) -> Self {
        match on_loss {
            LiveTorrentSrcOnLoss::Skip => Self::Skip,
            LiveTorrentSrcOnLoss::NextKeyframe => Self::NextKeyframe,
        }
    }
}

glib::wrapper! {
    /// Watches a broadcast.
    pub struct LiveTorrentSrc(ObjectSubclass<imp::LiveTorrentSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object,
        @implements gst::URIHandler;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // So that the documentation tells of their values.
    #[cfg(feature = "doc")]
    for enumeration in [
        LiveTorrentSrcStatus::static_type(),
        LiveTorrentSrcOnLoss::static_type(),
    ] {
        enumeration.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(
        Some(plugin),
        "livetorrentsrc",
        gst::Rank::PRIMARY,
        LiveTorrentSrc::static_type(),
    )
}
