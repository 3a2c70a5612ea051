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
    /// Requests it has not answered.
    pub pending: usize,
    /// Requests it is good for at once.
    pub pipeline: usize,
    /// Its usual time from request to whole answer.
    pub answer_time: Option<Duration>,
}

/// One without doubt, then the least loaded for what it is good for; among equals the quickest,
/// then chance.
#[must_use]
pub fn pick(offers: &[Offer], rng: &mut fastrand::Rng) -> Option<ConnId> {
    let load = |offer: &Offer| offer.pending as f64 / offer.pipeline.max(1) as f64;
    offers
        .iter()
        .map(|offer| (offer, rng.u64(..)))
        .min_by(|(a, a_chance), (b, b_chance)| {
            (a.doubtful.cmp(&b.doubtful))
                .then(load(a).total_cmp(&load(b)))
                .then_with(|| {
                    let unknown = Duration::MAX;
                    let time = |offer: &Offer| offer.answer_time.unwrap_or(unknown);
                    time(a).cmp(&time(b))
                })
                .then(a_chance.cmp(b_chance))
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
            pending,
            pipeline: 8,
            answer_time: Some(Duration::from_millis(millis)),
        }
    }

    #[test]
    fn nobody_offers_so_nobody_is_asked() {
        assert_eq!(pick(&[], &mut fastrand::Rng::with_seed(1)), None);
    }

    #[test]
    fn the_least_loaded_is_asked_and_then_the_quickest() {
        let mut rng = fastrand::Rng::with_seed(1);
        let loaded = [offer(1, 3, 10), offer(2, 1, 90)];
        assert_eq!(pick(&loaded, &mut rng), Some(ConnId(2)));
        let equal = [offer(1, 1, 90), offer(2, 1, 10)];
        assert_eq!(pick(&equal, &mut rng), Some(ConnId(2)));
    }

    #[test]
    fn who_broke_its_word_is_asked_last() {
        let mut rng = fastrand::Rng::with_seed(1);
        let doubtful = Offer {
            doubtful: true,
            ..offer(1, 0, 10)
        };
        let offers = [doubtful, offer(2, 7, 90)];
        assert_eq!(pick(&offers, &mut rng), Some(ConnId(2)));
        assert_eq!(pick(&[doubtful], &mut rng), Some(ConnId(1)));
    }

    #[test]
    fn chance_decides_among_equals() {
        let mut rng = fastrand::Rng::with_seed(1);
        let equal = [offer(1, 0, 10), offer(2, 0, 10)];
        let first = (0..200).filter(|_| pick(&equal, &mut rng) == Some(ConnId(1)));
        assert!((50..150).contains(&first.count()));
    }
}
