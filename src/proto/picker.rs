// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! From whom to fetch a piece that several peers show.

use std::time::Duration;

use super::swarm::ConnId;

/// A peer that shows the piece and can take a request.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Who.
    pub conn: ConnId,
    /// It broke its word of late or is too slow for the latency.
    pub doubtful: bool,
    /// It says that it is the source, whose uplink is everybody's.
    pub source: bool,
    /// It says that its uplink has no room.
    pub full: bool,
    /// It says that it gives, and was not tried of late.
    pub untried: bool,
    /// Requests it has not answered.
    pub pending: usize,
    /// Requests it is good for at once.
    pub pipeline: usize,
    /// Its usual time from request to whole answer.
    pub answer_time: Option<Duration>,
}

/// How near the time of a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// There is one more chance at best.
    Urgent,
    /// There is time.
    Early,
}

/// Until an answer was measured.
const UNKNOWN: Duration = Duration::from_millis(150);

impl Offer {
    /// Requests it has for what it is good for at once.
    fn load(&self) -> f64 {
        self.pending as f64 / self.pipeline.max(1) as f64
    }

    /// How long its answer would take.
    fn expected(&self) -> Duration {
        let usual = self.answer_time.unwrap_or(UNKNOWN);
        usual.mul_f64(1.0 + self.load())
    }
}

/// Who is to be asked. Where time is short one without doubt and with room in its uplink who is
/// expected to answer first, whoever that is; else one without doubt, one whose word is to be tried,
/// a viewer rather than the source, one with room, and the quickest; then chance.
#[must_use]
pub fn pick(offers: &[Offer], zone: Zone, rng: &mut fastrand::Rng) -> Option<ConnId> {
    offers
        .iter()
        .map(|offer| (offer, rng.u64(..)))
        .min_by(|(a, a_chance), (b, b_chance)| {
            let by_rank = a.doubtful.cmp(&b.doubtful);
            let by_time = a.expected().cmp(&b.expected());
            let order = match zone {
                Zone::Urgent => by_rank.then(a.full.cmp(&b.full)).then(by_time),
                Zone::Early => by_rank
                    .then(b.untried.cmp(&a.untried))
                    .then(a.source.cmp(&b.source))
                    .then(a.full.cmp(&b.full))
                    .then(by_time),
            };
            order.then(a_chance.cmp(b_chance))
        })
        .map(|(offer, _)| offer.conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(conn: u64, pending: usize, millis: u64) -> Offer {
        Offer {
            conn: ConnId(conn),
            doubtful: false,
            source: false,
            full: false,
            untried: false,
            pending,
            pipeline: 8,
            answer_time: Some(Duration::from_millis(millis)),
        }
    }

    #[test]
    fn nobody_offers_so_nobody_is_asked() {
        assert_eq!(
            pick(&[], Zone::Early, &mut fastrand::Rng::with_seed(1)),
            None
        );
    }

    #[test]
    fn who_is_expected_to_answer_first_is_asked() {
        let mut rng = fastrand::Rng::with_seed(1);
        let loaded = [offer(1, 8, 60), offer(2, 1, 90)];
        assert_eq!(pick(&loaded, Zone::Early, &mut rng), Some(ConnId(2)));
        let equal = [offer(1, 1, 90), offer(2, 1, 10)];
        assert_eq!(pick(&equal, Zone::Early, &mut rng), Some(ConnId(2)));
    }

    #[test]
    fn who_broke_its_word_is_asked_last() {
        let mut rng = fastrand::Rng::with_seed(1);
        let doubtful = Offer {
            doubtful: true,
            ..offer(1, 0, 10)
        };
        let offers = [doubtful, offer(2, 7, 90)];
        assert_eq!(pick(&offers, Zone::Early, &mut rng), Some(ConnId(2)));
        assert_eq!(pick(&[doubtful], Zone::Early, &mut rng), Some(ConnId(1)));
    }

    #[test]
    fn the_source_is_asked_last_unless_time_is_short() {
        let mut rng = fastrand::Rng::with_seed(1);
        let source = Offer {
            source: true,
            ..offer(1, 0, 10)
        };
        let offers = [source, offer(2, 3, 90)];
        assert_eq!(pick(&offers, Zone::Early, &mut rng), Some(ConnId(2)));
        assert_eq!(pick(&offers, Zone::Urgent, &mut rng), Some(ConnId(1)));
    }

    #[test]
    fn whose_uplink_is_full_is_asked_last() {
        let mut rng = fastrand::Rng::with_seed(1);
        let full = Offer {
            full: true,
            ..offer(1, 0, 20)
        };
        let offers = [full, offer(2, 0, 90)];
        assert_eq!(pick(&offers, Zone::Early, &mut rng), Some(ConnId(2)));
        assert_eq!(pick(&offers, Zone::Urgent, &mut rng), Some(ConnId(2)));
    }

    #[test]
    fn whose_word_is_to_be_tried_is_asked_while_there_is_time() {
        let mut rng = fastrand::Rng::with_seed(1);
        let untried = Offer {
            untried: true,
            ..offer(1, 0, 90)
        };
        let offers = [untried, offer(2, 0, 20)];
        assert_eq!(pick(&offers, Zone::Early, &mut rng), Some(ConnId(1)));
        assert_eq!(pick(&offers, Zone::Urgent, &mut rng), Some(ConnId(2)));
    }

    #[test]
    fn chance_decides_among_equals() {
        let mut rng = fastrand::Rng::with_seed(1);
        let equal = [offer(1, 0, 10), offer(2, 0, 10)];
        let first = (0..200).filter(|_| pick(&equal, Zone::Early, &mut rng) == Some(ConnId(1)));
        assert!((50..150).contains(&first.count()));
    }
}
