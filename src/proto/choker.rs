// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Whom to serve: a fixed number of slots (BEP 3).

use std::{collections::BTreeSet, time::Duration};

use super::{swarm::ConnId, time::Instant};

/// How often the slots are given out anew.
pub const ROUND: Duration = Duration::from_secs(5);
/// How long the optimistic slot stays with one peer.
pub const OPTIMISTIC: Duration = Duration::from_secs(30);

/// What the choker looks at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Who.
    pub conn: ConnId,
    /// It is served now.
    pub unchoked: bool,
    /// It makes use of being served, or has just begun to be.
    pub takes: bool,
    /// Bytes per second that it gave us lately.
    pub gave: f64,
}

/// Gives the slots to those who give most, one of them to a random other in turn.
#[derive(Debug, Default)]
pub struct Choker {
    optimistic: Option<(ConnId, Instant)>,
}

impl Choker {
    /// Who is to be unchoked among the interested. Ties go to who has a
    /// slot already and uses it, then to chance: nobody holds one by being there.
    pub fn choose(
        &mut self,
        now: Instant,
        interested: &[Candidate],
        slots: usize,
        rng: &mut fastrand::Rng,
    ) -> BTreeSet<ConnId> {
        if interested.len() <= slots {
            return interested.iter().map(|candidate| candidate.conn).collect();
        }
        let mut ranked: Vec<_> = interested.iter().map(|c| (*c, rng.u64(..))).collect();
        ranked.sort_by(|(a, a_chance), (b, b_chance)| {
            (b.gave.total_cmp(&a.gave))
                .then((b.unchoked && b.takes).cmp(&(a.unchoked && a.takes)))
                .then(a_chance.cmp(b_chance))
        });
        let regular = slots.saturating_sub(1);
        let mut chosen: BTreeSet<_> = ranked[..regular].iter().map(|(c, _)| c.conn).collect();
        let rest = &ranked[regular..];
        if slots > 0 {
            chosen.insert(self.optimistic(now, rest, rng));
        }
        chosen
    }

    fn optimistic(
        &mut self,
        now: Instant,
        rest: &[(Candidate, u64)],
        rng: &mut fastrand::Rng,
    ) -> ConnId {
        if let Some((conn, since)) = self.optimistic
            && now.since(since) < OPTIMISTIC
            && rest.iter().any(|(c, _)| c.conn == conn)
        {
            return conn;
        }
        let waiting: Vec<_> = rest.iter().filter(|(c, _)| !c.unchoked).collect();
        let (candidate, _) = if waiting.is_empty() {
            rest[rng.usize(..rest.len())]
        } else {
            *waiting[rng.usize(..waiting.len())]
        };
        self.optimistic = Some((candidate.conn, now));
        candidate.conn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(n: u64) -> Vec<Candidate> {
        (0..n)
            .map(|i| Candidate {
                conn: ConnId(i),
                unchoked: false,
                takes: true,
                gave: i as f64,
            })
            .collect()
    }

    #[test]
    fn everybody_is_served_while_there_are_slots() {
        let mut rng = fastrand::Rng::with_seed(1);
        let chosen = Choker::default().choose(Instant::default(), &candidates(7), 7, &mut rng);
        assert_eq!(chosen.len(), 7);
    }

    #[test]
    fn those_who_give_most_get_all_slots_but_one() {
        let mut rng = fastrand::Rng::with_seed(1);
        let chosen = Choker::default().choose(Instant::default(), &candidates(20), 4, &mut rng);
        assert_eq!(chosen.len(), 4);
        assert!((17..20).all(|i| chosen.contains(&ConnId(i))));
    }

    #[test]
    fn slots_that_are_not_used_go_to_others() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut choker = Choker::default();
        let mut seen = BTreeSet::new();
        for turn in 0..100u64 {
            let now = Instant::from_micros(turn * 5_000_000);
            let mut all = candidates(10);
            for candidate in &mut all {
                candidate.gave = 0.0;
                candidate.unchoked = candidate.conn.0 < 4;
                candidate.takes = candidate.conn.0 == 3;
            }
            let chosen = choker.choose(now, &all, 4, &mut rng);
            assert!(chosen.contains(&ConnId(3)), "who uses it keeps it");
            seen.extend(chosen);
        }
        assert_eq!(seen.len(), 10);
    }

    #[test]
    fn the_optimistic_slot_goes_round() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut choker = Choker::default();
        let mut seen = BTreeSet::new();
        for turn in 0..200u64 {
            let now = Instant::from_micros(turn * 30_000_000);
            seen.extend(choker.choose(now, &candidates(10), 2, &mut rng));
        }
        assert_eq!(seen.len(), 10);
    }
}
