// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Whom to serve: a fixed number of slots (BEP 3).

use std::{cmp::Ordering, collections::BTreeSet, time::Duration};

use super::{swarm::ConnId, time::Instant};

/// How often the slots are given out anew. At most one slot a round changes hands to one that gives
/// more: each change costs promises.
pub const ROUND: Duration = Duration::from_secs(1);
/// How long the optimistic slot stays with one peer.
pub const OPTIMISTIC: Duration = Duration::from_secs(30);
/// Who has less credit than this says itself that it gives nothing.
const LITTLE: f64 = 0.1;
/// Who takes another's slot must give so many times more.
const CLEARLY_MORE: f64 = 1.5;

/// What the choker looks at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Who.
    pub conn: ConnId,
    /// It is served now.
    pub unchoked: bool,
    /// It has its slot long enough to be judged by what it does with it.
    pub settled: bool,
    /// It had a slot of late and made no use of it.
    pub idle: bool,
    /// It has a slot and has made use of it.
    pub served: bool,
    /// How much it gives.
    pub credit: f64,
    /// It is served whatever it gives, in a slot of its own.
    pub always: bool,
}

/// Gives the slots to those who use them and give most, and one to a random other in turn.
#[derive(Debug, Default)]
pub struct Choker {
    optimistic: Option<(ConnId, Instant)>,
}

impl Choker {
    /// Who is to be unchoked among the interested.
    pub fn choose(
        &mut self,
        now: Instant,
        interested: &[Candidate],
        slots: usize,
        rng: &mut fastrand::Rng,
    ) -> BTreeSet<ConnId> {
        let (always, others): (Vec<&Candidate>, Vec<&Candidate>) =
            interested.iter().partition(|c| c.always);
        let mut chosen: BTreeSet<_> = always.iter().map(|c| c.conn).collect();
        if others.len() <= slots {
            chosen.extend(others.iter().map(|c| c.conn));
            return chosen;
        }
        if slots == 0 {
            return chosen;
        }
        let on_trial = self.optimistic.map(|(conn, _)| conn);
        let (mut users, mut waiting): (Vec<_>, Vec<_>) = others
            .into_iter()
            .map(|candidate| (*candidate, rng.u64(..)))
            .partition(|(c, _)| c.unchoked && !c.idle && on_trial != Some(c.conn));
        let regular = slots - 1;
        // Who is served does not make way for those who came in a crowd and have asked for nothing.
        users.sort_by(|a, b| (!a.0.served).cmp(&!b.0.served).then(by_credit(a, b)));
        waiting.extend(users.split_off(users.len().min(regular)));
        waiting.sort_by(by_credit);
        let free = (regular - users.len()).min(waiting.len());
        users.extend(waiting.drain(..free));
        contest(&mut users, &mut waiting);
        chosen.extend(users.iter().map(|(c, _)| c.conn));
        chosen.extend(self.optimistic(now, &waiting, rng));
        chosen
    }

    /// Who else is to be unchoked between two rounds: whoever waits, while there are slots.
    pub fn fill(
        interested: &[Candidate],
        slots: usize,
        rng: &mut fastrand::Rng,
    ) -> BTreeSet<ConnId> {
        let (mut chosen, waiting): (Vec<&Candidate>, Vec<&Candidate>) =
            interested.iter().partition(|c| c.unchoked || c.always);
        let taken = chosen.iter().filter(|c| !c.always).count();
        let mut waiting: Vec<_> = waiting.into_iter().map(|c| (c, rng.u64(..))).collect();
        waiting.sort_by_key(|(c, chance)| (c.idle, c.credit < LITTLE, *chance));
        let free = slots.saturating_sub(taken);
        chosen.extend(waiting.into_iter().take(free).map(|(c, _)| c));
        chosen.iter().map(|c| c.conn).collect()
    }

    fn optimistic(
        &mut self,
        now: Instant,
        waiting: &[(Candidate, u64)],
        rng: &mut fastrand::Rng,
    ) -> Option<ConnId> {
        if let Some((conn, since)) = self.optimistic
            && now.since(since) < OPTIMISTIC
            && waiting.iter().any(|(c, _)| c.conn == conn && !c.idle)
        {
            return Some(conn);
        }
        let mut choked: Vec<_> = waiting.iter().filter(|(c, _)| !c.unchoked).collect();
        if choked.is_empty() {
            choked = waiting.iter().collect();
        }
        let (candidate, _) = choked.get(rng.usize(..choked.len().max(1)))?;
        self.optimistic = Some((candidate.conn, now));
        Some(candidate.conn)
    }
}

/// Who makes use of a slot first, then who gives most, then chance.
fn by_credit((a, a_chance): &(Candidate, u64), (b, b_chance): &(Candidate, u64)) -> Ordering {
    (a.idle.cmp(&b.idle))
        .then(b.credit.total_cmp(&a.credit))
        .then(a_chance.cmp(b_chance))
}

/// Who waits and gives clearly more takes the place of who gives least.
fn contest(users: &mut [(Candidate, u64)], waiting: &mut [(Candidate, u64)]) {
    let best = waiting.first_mut().filter(|(c, _)| !c.idle);
    let least = users
        .iter_mut()
        .filter(|(c, _)| c.settled)
        .min_by(|(a, _), (b, _)| a.credit.total_cmp(&b.credit));
    if let (Some(best), Some(least)) = (best, least)
        && best.0.credit > least.0.credit * CLEARLY_MORE
    {
        std::mem::swap(least, best);
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
                idle: false,
                served: false,
                settled: true,
                credit: i as f64,
                always: false,
            })
            .collect()
    }

    #[test]
    fn who_is_served_keeps_its_slot_when_a_crowd_comes_that_asks_for_nothing() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut all = candidates(9);
        all[..7].iter_mut().for_each(|c| c.unchoked = true);
        all.iter_mut().for_each(|c| c.credit = 1.0);
        // It gives a little less, as far as is known.
        (all[0].served, all[0].credit) = (true, 0.9);
        for _ in 0..20 {
            let chosen = Choker::default().choose(Instant::default(), &all, 7, &mut rng);
            assert!(chosen.contains(&ConnId(0)), "{chosen:?}");
        }
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
                candidate.credit = 0.0;
                candidate.unchoked = candidate.conn.0 < 4;
                candidate.idle = candidate.conn.0 < 3;
            }
            let chosen = choker.choose(now, &all, 4, &mut rng);
            assert!(chosen.contains(&ConnId(3)), "who uses it keeps it");
            seen.extend(chosen);
        }
        assert!((3..10).all(|i| seen.contains(&ConnId(i))));
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

    #[test]
    fn who_says_that_it_gives_nothing_fills_a_slot_after_all_others() {
        let mut all = candidates(10);
        for candidate in &mut all {
            candidate.unchoked = false;
            candidate.credit = if candidate.conn.0 < 7 { 0.0 } else { 0.6 };
        }
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let chosen = Choker::fill(&all, 3, &mut rng);
            assert!(chosen.iter().all(|conn| conn.0 >= 7), "{chosen:?}");
        }
    }

    #[test]
    fn who_gives_clearly_more_takes_one_slot_a_round() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut all = candidates(10);
        for candidate in &mut all {
            candidate.unchoked = candidate.conn.0 < 3;
            candidate.credit = if candidate.conn.0 < 3 { 1.0 } else { 1.4 };
        }
        let held =
            |chosen: &BTreeSet<ConnId>| (0..3).filter(|i| chosen.contains(&ConnId(*i))).count();
        let chosen = Choker::default().choose(Instant::default(), &all, 4, &mut rng);
        assert_eq!(held(&chosen), 3, "not clearly more");
        all[9].credit = 2.0;
        all[8].credit = 2.0;
        let chosen = Choker::default().choose(Instant::default(), &all, 4, &mut rng);
        assert_eq!(held(&chosen), 2, "one a round");
    }
}
