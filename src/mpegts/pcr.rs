// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The program clock reference (ISO/IEC 13818-1 §2.4.3.5) as a time that only grows.

use std::time::Duration;

use super::packet::{Header, Packet};

/// Ticks of the system clock in a second (§2.4.2.1).
pub const PCR_HZ: u64 = 27_000_000;

/// Where the reference begins again at 0, after 26.5 hours.
pub const PCR_MODULUS: u64 = (1 << 33) * 300;

/// Longest way from one reference to the next that is still passing time. The standard allows
/// 0.1 s (§2.7.2), but slide shows and recordings with holes go on after seconds; ten make a splice.
const MAX_STEP: u64 = 10 * PCR_HZ;

/// How long only another PID may carry references before it becomes the one that counts.
const SILENCE: u64 = PCR_HZ;

/// Clock references of yet other PIDs after which a silent candidate is given up.
const MAX_OTHERS: u32 = 64;

/// Ticks from one reference to the next, over a wrap; `None` where the second does not continue
/// the first: it lies before it or more than ten seconds after.
#[must_use]
pub fn step(from: u64, to: u64) -> Option<u64> {
    let ticks = (to + PCR_MODULUS - from) % PCR_MODULUS;
    (ticks <= MAX_STEP).then_some(ticks)
}

/// Another PID that carries clock references while the one that counts carries none.
#[derive(Debug)]
struct Candidate {
    pid: u16,
    first: u64,
    /// References of further PIDs since its own last one.
    others: u32,
}

/// Stream time since the first clock reference, over wraps and discontinuities.
#[derive(Debug, Default)]
pub struct StreamClock {
    /// PID and last reference of the clock that counts.
    main: Option<(u16, u64)>,
    candidate: Option<Candidate>,
    elapsed: u64,
    /// The last step that was no jump.
    usual: u64,
}

impl StreamClock {
    /// The stream time at this packet when it carries a clock reference of the program's PCR PID
    /// (the first PID that carries one; when it falls silent for a second of another's time, that
    /// other). A jump of the reference, announced or back or by more than ten seconds, counts as
    /// the step before it: that is what a file that begins again takes from its last reference to its end.
    pub fn packet(&mut self, packet: &Packet) -> Option<Duration> {
        let header = Header::new(packet);
        let pcr = header.pcr().filter(|_| !header.transport_error())?;
        let (pid, last) = *self.main.get_or_insert_with(|| (header.pid(), pcr));
        if header.pid() == pid {
            self.candidate = None;
            match step(last, pcr).filter(|_| !header.discontinuity()) {
                Some(ticks) => {
                    self.usual = ticks;
                    self.elapsed += ticks;
                }
                None => self.elapsed += self.usual,
            }
        } else {
            self.elapsed += self.silence(header.pid(), pcr)?;
        }
        self.main = Some((header.pid(), pcr));
        Some(self.elapsed())
    }

    /// Takes in another PID's reference; the ticks since the main one fell silent once they are too many.
    fn silence(&mut self, pid: u16, pcr: u64) -> Option<u64> {
        let fresh = Candidate {
            pid,
            first: pcr,
            others: 0,
        };
        let candidate = self.candidate.get_or_insert(fresh);
        if candidate.pid != pid {
            candidate.others += 1;
            if candidate.others > MAX_OTHERS {
                self.candidate = None;
            }
            return None;
        }
        candidate.others = 0;
        let Some(ticks) = step(candidate.first, pcr) else {
            candidate.first = pcr;
            return None;
        };
        if ticks <= SILENCE {
            return None;
        }
        self.candidate = None;
        Some(ticks)
    }

    fn elapsed(&self) -> Duration {
        // 27 MHz: a tick is 1000/27 ns.
        Duration::new(
            self.elapsed / PCR_HZ,
            u32::try_from(self.elapsed % PCR_HZ * 1000 / 27).unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mpegts::testing::PacketBuilder;

    /// 40 ms.
    const FRAME: u64 = PCR_HZ / 25;

    fn at(clock: &mut StreamClock, pid: u16, ticks: u64) -> Option<Duration> {
        clock.packet(&PacketBuilder::new(pid).pcr(ticks % PCR_MODULUS).build())
    }

    #[test]
    fn it_begins_at_nought_and_follows_the_reference() {
        let mut clock = StreamClock::default();
        assert_eq!(
            clock.packet(&PacketBuilder::new(5).payload(&[0]).build()),
            None
        );
        assert_eq!(at(&mut clock, 5, 3600 * PCR_HZ), Some(Duration::ZERO));
        assert_eq!(
            at(&mut clock, 5, 3600 * PCR_HZ + FRAME),
            Some(Duration::from_millis(40))
        );
        assert_eq!(
            at(&mut clock, 5, 3601 * PCR_HZ + 27),
            Some(Duration::from_micros(1_000_001))
        );
    }

    #[test]
    fn a_wrap_is_no_jump() {
        let mut clock = StreamClock::default();
        at(&mut clock, 5, PCR_MODULUS - FRAME);
        assert_eq!(
            at(&mut clock, 5, PCR_MODULUS + FRAME),
            Some(Duration::from_millis(80))
        );
    }

    #[test]
    fn a_file_that_is_played_three_times_takes_three_times_its_length() {
        let mut clock = StreamClock::default();
        let mut last = None;
        for _ in 0..3 {
            for frame in 0..50 {
                last = at(&mut clock, 5, 77 * PCR_HZ + frame * FRAME).or(last);
            }
        }
        assert_eq!(last, Some(Duration::from_millis(6000 - 40)));
    }

    #[test]
    fn an_announced_discontinuity_is_no_time_to_wait() {
        let mut clock = StreamClock::default();
        at(&mut clock, 5, 0);
        at(&mut clock, 5, FRAME);
        let jump = PacketBuilder::new(5)
            .discontinuity()
            .pcr(5 * PCR_HZ)
            .build();
        assert_eq!(clock.packet(&jump), Some(Duration::from_millis(80)));
        assert_eq!(
            at(&mut clock, 5, 5 * PCR_HZ + FRAME),
            Some(Duration::from_millis(120))
        );
    }

    #[test]
    fn a_long_way_forward_is_a_splice() {
        let mut clock = StreamClock::default();
        at(&mut clock, 5, 0);
        assert_eq!(at(&mut clock, 5, MAX_STEP), Some(Duration::from_secs(10)));
        let mut clock = StreamClock::default();
        at(&mut clock, 5, 0);
        assert_eq!(at(&mut clock, 5, MAX_STEP + 1), Some(Duration::ZERO));
    }

    #[test]
    fn a_second_program_does_not_count_while_the_first_goes_on() {
        let mut clock = StreamClock::default();
        for frame in 0..100 {
            assert!(at(&mut clock, 5, frame * FRAME).is_some());
            assert_eq!(at(&mut clock, 6, 999 * PCR_HZ + frame * FRAME), None);
        }
    }

    #[test]
    fn another_program_takes_over_when_the_first_falls_silent() {
        let mut clock = StreamClock::default();
        at(&mut clock, 5, 0);
        let times: Vec<_> = (0..100)
            .filter_map(|frame| at(&mut clock, 6, 999 * PCR_HZ + frame * FRAME))
            .collect();
        assert_eq!(times.first(), Some(&Duration::from_millis(1040)));
        assert_eq!(times.last(), Some(&Duration::from_millis(99 * 40)));
    }

    #[test]
    fn a_candidate_that_falls_silent_too_gives_way() {
        let mut clock = StreamClock::default();
        at(&mut clock, 5, 0);
        at(&mut clock, 6, 0);
        let found = (0..200).any(|frame| at(&mut clock, 7, frame * FRAME).is_some());
        assert!(found);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn it_never_goes_back(references in proptest::collection::vec((0_u16..3, 0..PCR_MODULUS, any::<bool>()), 1..60)) {
            let mut clock = StreamClock::default();
            let mut last = Duration::ZERO;
            for (pid, ticks, near) in references {
                let ticks = if near { ticks % (20 * PCR_HZ) } else { ticks };
                if let Some(time) = at(&mut clock, pid, ticks) {
                    prop_assert!(time >= last);
                    last = time;
                }
            }
        }
    }
}
