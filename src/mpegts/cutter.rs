// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Where a piece may begin.

use super::{
    packet::{Header, Packet},
    pcr::{PCR_HZ, step},
    psi::{Pmt, Stream, StreamKind, Tables},
};

/// Least time between two random access points of sound, where every frame is one (PROTOCOL §2).
const AUDIO_ACCESS_INTERVAL: u64 = PCR_HZ;

/// What stands at a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// A decoder can start here, given [`Cutter::preamble`]: the random access indicator on the
    /// first video stream of the PMT. Without video: the start of a PES packet of the first audio
    /// stream, at most once a second of the program's clock; every audio frame can be decoded for
    /// itself, and mpegtsmux never sets the indicator on audio, while ffmpeg sets it on all.
    pub random_access: bool,
    /// The packet does not continue the ones before: on the PCR PID the discontinuity indicator,
    /// or a clock reference that went back or more than ten seconds on (a wrap is neither).
    pub discontinuity: bool,
}

/// The clock of the program, as far as cutting needs it.
#[derive(Debug, Default)]
struct Clock {
    last: Option<u64>,
    /// An announced discontinuity whose new reference has not come yet.
    announced: bool,
    /// Ticks since the last random access point of sound.
    since_access: u64,
}

impl Clock {
    /// Takes in a packet of the PCR PID; whether it does not continue the ones before.
    fn packet(&mut self, header: Header<'_>) -> bool {
        let mut discontinuity = false;
        if header.discontinuity() && !self.announced {
            // Every packet up to the new reference may announce it (§2.4.3.5): one discontinuity.
            self.announced = true;
            discontinuity = true;
        }
        if let Some(pcr) = header.pcr() {
            let last = self.last.replace(pcr);
            let announced = std::mem::take(&mut self.announced);
            match last.map(|last| step(last, pcr)) {
                Some(Some(ticks)) => self.since_access = self.since_access.saturating_add(ticks),
                Some(None) if !announced => discontinuity = true,
                Some(None) | None => {}
            }
        }
        discontinuity
    }
}

/// Reads PAT, PMT, PCR and the random access indicators as packets pass.
///
/// Packets with a transport error count for nothing: their PID may be wrong. Scrambled ones keep
/// their indicators and clock, which are never scrambled.
#[derive(Debug, Default)]
pub struct Cutter {
    tables: Tables,
    /// The PID of the program's clock, and the stream where a decoder starts.
    pcr_pid: Option<u16>,
    leading: Option<Stream>,
    clock: Clock,
    /// The access unit that passes was already told.
    told: bool,
}

impl Cutter {
    /// Looks at the next packet; the answer is about the place just before it.
    pub fn packet(&mut self, packet: &Packet) -> Place {
        let header = Header::new(packet);
        if header.transport_error() {
            return Place::default();
        }
        let pid = header.pid();
        if self.tables.packet(packet) {
            self.follow_tables();
        }
        let discontinuity = self.pcr_pid == Some(pid) && self.clock.packet(header);
        if discontinuity {
            self.clock.since_access = AUDIO_ACCESS_INTERVAL;
        }
        let random_access = match self.leading {
            Some(leading) if leading.pid == pid => self.is_access(leading.kind, header),
            _ => false,
        };
        Place {
            random_access,
            discontinuity,
        }
    }

    /// The packets of the current PAT and PMT, for the start of a piece; empty before they came.
    #[must_use]
    pub fn preamble(&self) -> &[u8] {
        self.tables.preamble()
    }

    /// Tells that the next packet does not continue the last one: what is not whole yet is
    /// forgotten, the tables stay.
    pub fn discontinuity(&mut self) {
        self.tables.reset();
        self.told = false;
        self.clock = Clock {
            since_access: AUDIO_ACCESS_INTERVAL,
            ..Clock::default()
        };
    }

    /// Whether a decoder can start at this packet of the leading stream.
    fn is_access(&mut self, kind: StreamKind, header: Header<'_>) -> bool {
        let start = header.payload_unit_start();
        if kind == StreamKind::Video {
            // An indicator on every packet of a picture still is one place.
            self.told &= !start;
            let access = header.random_access() && !self.told;
            self.told |= access;
            return access;
        }
        let access = start && self.clock.since_access >= AUDIO_ACCESS_INTERVAL;
        if access {
            self.clock.since_access = 0;
        }
        access
    }

    fn follow_tables(&mut self) {
        let pmt = self.tables.pmt();
        let leading = pmt.and_then(Pmt::leading_stream);
        let pcr_pid = pmt.map(|pmt| pmt.pcr_pid);
        if pcr_pid != self.pcr_pid {
            self.pcr_pid = pcr_pid;
            self.clock.last = None;
            self.clock.announced = false;
        }
        if leading != self.leading {
            self.leading = leading;
            self.told = false;
            self.clock.since_access = AUDIO_ACCESS_INTERVAL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpegts::{
        pcr::PCR_MODULUS,
        testing::{PacketBuilder, packets, pat, pmt},
    };

    const VIDEO: u16 = 0x100;
    const AUDIO: u16 = 0x101;
    const FRAME: u64 = PCR_HZ / 25;

    const NOTHING: Place = Place {
        random_access: false,
        discontinuity: false,
    };
    const ACCESS: Place = Place {
        random_access: true,
        discontinuity: false,
    };
    const BREAK: Place = Place {
        random_access: false,
        discontinuity: true,
    };

    fn cutter(streams: &[(u8, u16, &[u8])], pcr_pid: u16) -> Cutter {
        let mut cutter = Cutter::default();
        let tables = [
            packets(0, 0, &pat(0, &[(1, 0x20)])),
            packets(0x20, 0, &pmt(1, 0, pcr_pid, streams)),
        ];
        for packet in tables.concat() {
            assert_eq!(cutter.packet(&packet), NOTHING);
        }
        cutter
    }

    fn video_cutter() -> Cutter {
        cutter(&[(0x0f, AUDIO, &[]), (0x1b, VIDEO, &[])], VIDEO)
    }

    fn clock(ticks: u64) -> Packet {
        PacketBuilder::new(VIDEO).pcr(ticks % PCR_MODULUS).build()
    }

    #[test]
    fn nothing_can_start_before_the_tables() {
        let mut cutter = Cutter::default();
        let packet = PacketBuilder::new(VIDEO)
            .unit_start()
            .random_access()
            .build();
        assert_eq!(cutter.packet(&packet), NOTHING);
        assert!(cutter.preamble().is_empty());
    }

    #[test]
    fn the_indicator_counts_on_the_video_only() {
        let mut cutter = video_cutter();
        let packet = |pid| PacketBuilder::new(pid).unit_start().random_access();
        assert_eq!(cutter.packet(&packet(VIDEO).build()), ACCESS);
        assert_eq!(cutter.packet(&packet(AUDIO).build()), NOTHING);
        let delta = PacketBuilder::new(VIDEO)
            .unit_start()
            .payload(&[0; 9])
            .build();
        assert_eq!(cutter.packet(&delta), NOTHING);
        assert_eq!(cutter.preamble().len(), 2 * 188);
    }

    #[test]
    fn an_indicator_on_every_packet_of_a_picture_is_one_place() {
        let mut cutter = video_cutter();
        let start = PacketBuilder::new(VIDEO)
            .unit_start()
            .random_access()
            .build();
        let more = PacketBuilder::new(VIDEO)
            .random_access()
            .payload(&[0; 100])
            .build();
        assert_eq!(cutter.packet(&start), ACCESS);
        assert_eq!(cutter.packet(&more), NOTHING);
        assert_eq!(cutter.packet(&more), NOTHING);
        assert_eq!(cutter.packet(&start), ACCESS);
    }

    #[test]
    fn without_video_sound_starts_once_a_second_with_or_without_indicators() {
        for indicator in [false, true] {
            let mut cutter = cutter(&[(0x0f, AUDIO, &[])], AUDIO);
            let places = (0..101).filter(|frame| {
                let mut packet = PacketBuilder::new(AUDIO).unit_start().pcr(frame * FRAME);
                if indicator {
                    packet = packet.random_access();
                }
                cutter
                    .packet(&packet.payload(&[0; 20]).build())
                    .random_access
            });
            assert_eq!(places.collect::<Vec<_>>(), [0, 25, 50, 75, 100]);
        }
    }

    #[test]
    fn a_packet_with_an_error_counts_for_nothing() {
        let mut cutter = video_cutter();
        let mut packet = PacketBuilder::new(VIDEO)
            .unit_start()
            .random_access()
            .build();
        packet[1] |= 0x80;
        assert_eq!(cutter.packet(&packet), NOTHING);
    }

    #[test]
    fn a_scrambled_picture_keeps_its_indicator() {
        let mut cutter = video_cutter();
        let mut packet = PacketBuilder::new(VIDEO)
            .unit_start()
            .random_access()
            .build();
        packet[3] |= 0x80;
        assert_eq!(cutter.packet(&packet), ACCESS);
    }

    #[test]
    fn a_clock_that_goes_back_or_far_on_is_a_discontinuity_and_a_wrap_is_none() {
        let mut cutter = video_cutter();
        let steps = [
            (PCR_MODULUS - FRAME, NOTHING),
            (FRAME, NOTHING),
            (FRAME - 1, BREAK),
            (FRAME + PCR_HZ, NOTHING),
            (FRAME + 12 * PCR_HZ, BREAK),
        ];
        for (ticks, place) in steps {
            assert_eq!(cutter.packet(&clock(ticks)), place, "at {ticks}");
        }
    }

    #[test]
    fn an_announced_discontinuity_is_told_once() {
        let mut cutter = video_cutter();
        assert_eq!(cutter.packet(&clock(FRAME)), NOTHING);
        let announcing = PacketBuilder::new(VIDEO).discontinuity();
        assert_eq!(cutter.packet(&announcing.clone().build()), BREAK);
        assert_eq!(cutter.packet(&announcing.pcr(99 * PCR_HZ).build()), NOTHING);
        assert_eq!(cutter.packet(&clock(99 * PCR_HZ + FRAME)), NOTHING);
        // On another PID the indicator is about continuity counters only.
        let other = PacketBuilder::new(AUDIO).discontinuity().build();
        assert_eq!(cutter.packet(&other), NOTHING);
    }

    #[test]
    fn a_loop_of_the_file_starts_anew_at_its_first_picture() {
        let mut cutter = video_cutter();
        let key = |ticks| {
            PacketBuilder::new(VIDEO)
                .unit_start()
                .random_access()
                .pcr(ticks)
                .build()
        };
        assert_eq!(cutter.packet(&key(5 * FRAME)), ACCESS);
        assert_eq!(cutter.packet(&clock(6 * FRAME)), NOTHING);
        let both = Place {
            random_access: true,
            discontinuity: true,
        };
        assert_eq!(cutter.packet(&key(5 * FRAME)), both);
    }

    #[test]
    fn a_new_map_moves_the_places() {
        let mut cutter = video_cutter();
        for packet in packets(0x20, 1, &pmt(1, 1, 0x111, &[(0x24, 0x111, &[])])) {
            cutter.packet(&packet);
        }
        let packet = |pid| PacketBuilder::new(pid).unit_start().random_access().build();
        assert_eq!(cutter.packet(&packet(VIDEO)), NOTHING);
        assert_eq!(cutter.packet(&packet(0x111)), ACCESS);
    }

    #[test]
    fn after_a_discontinuity_from_outside_the_clock_begins_anew() {
        let mut cutter = video_cutter();
        cutter.packet(&clock(50 * PCR_HZ));
        cutter.discontinuity();
        assert_eq!(cutter.packet(&clock(FRAME)), NOTHING);
        assert_eq!(cutter.preamble().len(), 2 * 188);
    }
}
