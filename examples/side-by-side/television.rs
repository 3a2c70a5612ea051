// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A source of transport packets that costs next to nothing: 25 pictures a second of always the same size,
//! each at once, as an encoder and a muxer give them, one in 25 where a decoder can start.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use gst::subclass::prelude::*;
use gst_base::{prelude::*, subclass::prelude::*};
use gstlivetorrent::mpegts::{PACKET_LEN, Packet, packet::SYNC_BYTE};

use super::stamps;

/// Pictures in a second.
const PICTURES: u64 = 25;
/// Transport packets in a buffer, as in a datagram.
const TOGETHER: usize = 7;
/// How often a wait looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(10);
const PMT_PID: u16 = 0x1000;

mod imp {
    use super::*;

    #[derive(Debug, Default)]
    struct State {
        /// When the first picture was made, in µs.
        began: Option<u64>,
        pictures: u64,
        number: u64,
        continuity: u8,
        /// Packets of this picture that were not given yet.
        waiting: VecDeque<Packet>,
    }

    #[derive(Debug, Default)]
    pub struct Television {
        pub(super) bitrate: AtomicU64,
        pub(super) packets: AtomicU64,
        stopping: AtomicBool,
        state: Mutex<State>,
    }

    impl State {
        /// The next picture, which is due.
        fn picture(&mut self, bitrate: u64) {
            let packets = |pictures: u64| pictures * bitrate / (8 * PICTURES * PACKET_LEN as u64);
            let count = packets(self.pictures + 1) - packets(self.pictures);
            let start = self.pictures.is_multiple_of(PICTURES);
            if start {
                self.waiting.extend([pat(), pmt()]);
            }
            let clock = self.pictures * (27_000_000 / PICTURES);
            for at in 0..count.max(1) {
                let clock = (at == 0).then_some(clock);
                let packet = picture_packet(self.continuity, clock, start);
                self.waiting.push_back(packet);
                self.continuity = (self.continuity + 1) % 16;
            }
            self.pictures += 1;
        }

        /// When the next picture is to be made.
        fn due(&mut self) -> u64 {
            let now = stamps::now();
            *self.began.get_or_insert(now) + self.pictures * (1_000_000 / PICTURES)
        }

        fn buffer(&mut self) -> gst::Buffer {
            let count = self.waiting.len().min(TOGETHER);
            let made = stamps::now();
            let mut bytes = Vec::with_capacity(count * PACKET_LEN);
            for mut packet in self.waiting.drain(..count) {
                // The tables have no stamp.
                if packet[1] & 0x1f == 1 {
                    stamps::write(&mut packet, self.number, made);
                    self.number += 1;
                }
                bytes.extend_from_slice(&packet);
            }
            gst::Buffer::from_mut_slice(bytes)
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Television {
        const NAME: &'static str = "SideBySideTelevision";
        type Type = super::Television;
        type ParentType = gst_base::PushSrc;
    }

    impl ObjectImpl for Television {
        fn constructed(&self) {
            self.parent_constructed();
            self.obj().set_live(true);
            self.obj().set_do_timestamp(true);
            self.obj().set_format(gst::Format::Time);
        }
    }

    impl GstObjectImpl for Television {}

    impl ElementImpl for Television {
        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: std::sync::OnceLock<Vec<gst::PadTemplate>> =
                std::sync::OnceLock::new();
            TEMPLATES.get_or_init(|| {
                let caps = gst::Caps::builder("video/mpegts")
                    .field("systemstream", true)
                    .field("packetsize", PACKET_LEN as i32)
                    .build();
                let template = gst::PadTemplate::new(
                    "src",
                    gst::PadDirection::Src,
                    gst::PadPresence::Always,
                    &caps,
                );
                vec![template.expect("the template is valid")]
            })
        }
    }

    impl BaseSrcImpl for Television {
        fn is_seekable(&self) -> bool {
            false
        }

        fn unlock(&self) -> Result<(), gst::ErrorMessage> {
            self.stopping.store(true, Ordering::Relaxed);
            Ok(())
        }

        fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
            self.stopping.store(false, Ordering::Relaxed);
            Ok(())
        }
    }

    impl PushSrcImpl for Television {
        fn create(
            &self,
            _: Option<&mut gst::BufferRef>,
        ) -> Result<gst_base::subclass::base_src::CreateSuccess, gst::FlowError> {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            while state.waiting.is_empty() {
                let wait = Duration::from_micros(state.due().saturating_sub(stamps::now()));
                if wait.is_zero() {
                    state.picture(self.bitrate.load(Ordering::Relaxed));
                } else if self.stopping.load(Ordering::Relaxed) {
                    return Err(gst::FlowError::Flushing);
                } else {
                    thread::sleep(wait.min(PATIENCE));
                }
            }
            let buffer = state.buffer();
            self.packets.store(state.number, Ordering::Relaxed);
            Ok(gst_base::subclass::base_src::CreateSuccess::NewBuffer(
                buffer,
            ))
        }
    }
}

glib::wrapper! {
    pub struct Television(ObjectSubclass<imp::Television>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

impl Television {
    /// At `bitrate` bits/s.
    pub(crate) fn new(bitrate: u64) -> Self {
        let television: Self = glib::Object::new();
        television.imp().bitrate.store(bitrate, Ordering::Relaxed);
        television
    }

    /// How many packets were stamped.
    pub(crate) fn packets(&self) -> u64 {
        self.imp().packets.load(Ordering::Relaxed)
    }
}

/// A packet of the picture; with a clock reference its first (ISO/IEC 13818-1 §2.4.3).
fn picture_packet(continuity: u8, clock: Option<u64>, start: bool) -> Packet {
    let mut packet = [0x5a; PACKET_LEN];
    packet[..4].copy_from_slice(&[SYNC_BYTE, (stamps::PID >> 8) as u8, 0, 0x10 | continuity]);
    let Some(clock) = clock else {
        return packet;
    };
    packet[1] |= 0x40;
    packet[3] |= 0x20;
    packet[4..6].copy_from_slice(&[7, 0x10 | u8::from(start) << 6]);
    let reference = ((clock / 300) << 15) | (0x3f << 9) | (clock % 300);
    packet[6..12].copy_from_slice(&reference.to_be_bytes()[2..]);
    // A PES packet of any length without times.
    packet[12..21].copy_from_slice(&[0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0]);
    packet
}

/// A table in one packet.
fn table(pid: u16, section: &[u8]) -> Packet {
    let mut packet = [0xff; PACKET_LEN];
    packet[..5].copy_from_slice(&[SYNC_BYTE, 0x40 | (pid >> 8) as u8, pid as u8, 0x10, 0]);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2).checksum(section);
    let end = 5 + section.len();
    packet[5..end].copy_from_slice(section);
    packet[end..end + 4].copy_from_slice(&crc.to_be_bytes());
    packet
}

/// One program.
fn pat() -> Packet {
    let [high, low] = PMT_PID.to_be_bytes();
    table(0, &[0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | high, low])
}

/// A picture by H.264, which has the clock.
fn pmt() -> Packet {
    let [high, low] = stamps::PID.to_be_bytes();
    let section = [
        2,
        0xb0,
        18,
        0,
        1,
        0xc1,
        0,
        0,
        0xe0 | high,
        low,
        0xf0,
        0,
        0x1b,
        0xe0 | high,
        low,
        0xf0,
        0,
    ];
    table(PMT_PID, &section)
}
