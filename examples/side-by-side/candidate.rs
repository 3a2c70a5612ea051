// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is measured, as pipelines.

use std::path::PathBuf;

/// A way to bring bytes from one process to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// Nowhere: what the source of packets takes for itself.
    Nothing,
    /// Ours. At its default a viewer stays a second behind, so delays are measured without that.
    Livetorrent,
    /// The same with pieces of 64 KiB at any rate.
    LivetorrentLarge,
    /// SRT with its default latency of 125 ms.
    Srt,
    /// SRT with a latency of 20 ms.
    SrtQuick,
    /// SRT with its default latency, encrypted by AES-128.
    SrtAes,
    /// Bytes over TCP.
    Tcp,
}

/// Where the two sides meet.
#[derive(Debug)]
pub(crate) struct Meeting {
    /// Where livetorrent's files are.
    pub(crate) folder: PathBuf,
    /// A port that is free, for those that cannot pick one and tell.
    pub(crate) port: u16,
    /// Bits/s.
    pub(crate) bitrate: u64,
    /// Whether it is about delay, and not about how many watch.
    pub(crate) quick: bool,
}

impl Candidate {
    /// Those that are measured where nobody says which.
    pub(crate) const USUAL: [Self; 6] = [
        Self::Nothing,
        Self::Livetorrent,
        Self::Srt,
        Self::SrtQuick,
        Self::SrtAes,
        Self::Tcp,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Livetorrent => "livetorrent",
            Self::LivetorrentLarge => "livetorrent-64k",
            Self::Srt => "srt",
            Self::SrtQuick => "srt-20ms",
            Self::SrtAes => "srt-aes",
            Self::Tcp => "tcp",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::USUAL
            .into_iter()
            .chain([Self::LivetorrentLarge])
            .find(|candidate| candidate.name() == name)
    }

    /// The kind of its sink.
    pub(crate) const fn element(self) -> &'static str {
        match self {
            Self::Nothing => "fakesink",
            Self::Livetorrent | Self::LivetorrentLarge => "livetorrentsink",
            Self::Srt | Self::SrtQuick | Self::SrtAes => "srtsink",
            Self::Tcp => "tcpserversink",
        }
    }

    /// Whether GStreamer has it.
    pub(crate) fn is_here(self) -> bool {
        gst::ElementFactory::find(self.element()).is_some()
    }

    /// What SRT is given beside the address.
    const fn srt_options(self) -> &'static str {
        match self {
            Self::SrtQuick => "latency=20",
            Self::SrtAes => "passphrase=side-by-side pbkeylen=16",
            _ => "",
        }
    }

    /// The sink, which is called `to`.
    pub(crate) fn sink(self, meeting: &Meeting) -> String {
        let port = meeting.port;
        match self {
            Self::Nothing => "fakesink name=to sync=false".to_owned(),
            Self::Livetorrent | Self::LivetorrentLarge => format!(
                "livetorrentsink name=to location={}/bench.tstream port=0 public-address=127.0.0.1 \
                 port-mapping=false dht=false lsd=false bitrate={} piece-size={} sync=false",
                meeting.folder.display(),
                meeting.bitrate,
                self.piece_size(meeting.bitrate),
            ),
            Self::Srt | Self::SrtQuick | Self::SrtAes => format!(
                "srtsink name=to uri=srt://127.0.0.1:{port}?mode=listener wait-for-connection=false \
                 sync=false {}",
                self.srt_options()
            ),
            Self::Tcp => format!("tcpserversink name=to host=127.0.0.1 port={port} sync=false"),
        }
    }

    /// The source of a viewer with this number, which is called `from`.
    pub(crate) fn source(self, meeting: &Meeting, viewer: usize) -> String {
        let port = meeting.port;
        match self {
            Self::Nothing => "fakesrc name=from num-buffers=0".to_owned(),
            Self::Livetorrent | Self::LivetorrentLarge => format!(
                "livetorrentsrc name=from location={0}/bench.tstream {1} peer-cache={0}/peers-{viewer} \
                 port-mapping=false dht=false lsd=false",
                meeting.folder.display(),
                if meeting.quick { "latency=0" } else { "" },
            ),
            Self::Srt | Self::SrtQuick | Self::SrtAes => format!(
                "srtsrc name=from uri=srt://127.0.0.1:{port} {}",
                self.srt_options()
            ),
            Self::Tcp => format!("tcpclientsrc name=from host=127.0.0.1 port={port}"),
        }
    }

    /// Ours has pieces of 64 KiB from 20 Mbit/s on: four times fewer signatures, and with 8 KiB of stream in
    /// a millisecond the time to fill one is no matter.
    pub(crate) fn piece_size(self, bitrate: u64) -> u32 {
        if self != Self::LivetorrentLarge && bitrate < 20_000_000 {
            16 << 10
        } else {
            64 << 10
        }
    }
}
