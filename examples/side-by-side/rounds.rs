// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is measured, in which order: every candidate once before any is measured again, so that what else
//! the machine does is everybody's.

use std::{collections::BTreeMap, thread, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    candidate::Candidate,
    pair::{Figures, Trial, run},
};

/// What a viewer spends in its first second is not counted,
const SETTLING: Duration = Duration::from_secs(1);
/// and several have each other to find.
const ALL_SETTLING: Duration = Duration::from_secs(3);
/// What is watched for long.
const STEADY_BITRATE: u64 = 8_000_000;

/// How much is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) candidates: Vec<Candidate>,
    /// Bits/s, with one viewer each.
    pub(crate) bitrates: Vec<u64>,
    /// How many watch `audience_bitrate` at once.
    pub(crate) audiences: Vec<usize>,
    pub(crate) audience_bitrate: u64,
    /// How long 8 Mbit/s have been watched when all buffers are full; nothing: not measured.
    pub(crate) steady: Duration,
    /// Bits/s that are tried until one does not arrive whole.
    pub(crate) ladder: Vec<u64>,
}

/// All figures of a name, one for each round.
type Rounds = BTreeMap<String, Vec<f64>>;

/// The one in the middle, and the least and the most.
fn summary(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(least), Some(median), Some(most)) => {
            json!({ "median": median, "least": least, "most": most })
        }
        _ => Value::Null,
    }
}

fn add(rounds: &mut Rounds, figures: &Figures) {
    for (side, values) in [("sink", &figures.sink), ("source", &figures.source)] {
        let numbers = values.as_object().into_iter().flatten();
        for (name, value) in numbers {
            if let Some(value) = value.as_f64() {
                rounds
                    .entry(format!("{side}-{name}"))
                    .or_default()
                    .push(value);
            }
        }
    }
}

impl Plan {
    /// Round by round, in each one after another. Who fails in a round is told of, and has a figure less.
    fn measure(&self, trials: &[Trial]) -> Vec<Value> {
        let mut all = vec![Rounds::new(); trials.len()];
        for round in 1..=self.rounds {
            for (trial, rounds) in trials.iter().zip(&mut all) {
                self.once(round, trial, rounds);
            }
        }
        Self::rows(trials, all)
    }

    fn once(&self, round: usize, trial: &Trial, rounds: &mut Rounds) {
        let what = format!(
            "round {round} of {}: {} at {} Mbit/s, {} viewers",
            self.rounds,
            trial.candidate.name(),
            trial.bitrate as f64 / 1e6,
            trial.viewers
        );
        match run(trial).map_err(|error| error.to_string()) {
            Ok(figures) => {
                eprintln!("{what}");
                add(rounds, &figures);
            }
            Err(error) => eprintln!("{what}: {error}"),
        }
    }

    /// One viewer each, all at the same time, once they have watched for long.
    pub(crate) fn steady(&self) -> Vec<Value> {
        if self.steady.is_zero() {
            return Vec::new();
        }
        let measured =
            |candidate: &&Candidate| !matches!(candidate, Candidate::Nothing | Candidate::SrtQuick);
        let trials: Vec<_> = (self.candidates.iter())
            .filter(measured)
            .map(|&candidate| Trial {
                candidate,
                bitrate: STEADY_BITRATE,
                viewers: 1,
                settling: self.steady,
                time: 2 * self.time,
            })
            .collect();
        let mut all = vec![Rounds::new(); trials.len()];
        for round in 1..=self.rounds {
            thread::scope(|scope| {
                for (trial, rounds) in trials.iter().zip(&mut all) {
                    scope.spawn(move || self.once(round, trial, rounds));
                }
            });
        }
        Self::rows(&trials, all)
    }

    fn rows(trials: &[Trial], all: Vec<Rounds>) -> Vec<Value> {
        let row = |(trial, rounds): (&Trial, Rounds)| {
            let mut row = Map::new();
            row.insert("candidate".to_owned(), trial.candidate.name().into());
            row.insert("bitrate".to_owned(), trial.bitrate.into());
            row.insert("viewers".to_owned(), trial.viewers.into());
            let piece_size = trial.candidate.piece_size(trial.bitrate);
            row.insert("piece-size".to_owned(), piece_size.into());
            row.extend(
                rounds
                    .into_iter()
                    .map(|(name, values)| (name, summary(values))),
            );
            Value::Object(row)
        };
        trials.iter().zip(all).map(row).collect()
    }

    /// Delay, first byte, processor and memory with one viewer.
    pub(crate) fn hops(&self) -> Vec<Value> {
        let trials: Vec<_> = (self.bitrates.iter())
            .flat_map(|&bitrate| {
                self.candidates.iter().map(move |&candidate| Trial {
                    candidate,
                    bitrate,
                    viewers: 1,
                    settling: SETTLING,
                    time: self.time,
                })
            })
            .collect();
        self.measure(&trials)
    }

    /// What the source spends on many viewers.
    pub(crate) fn audience(&self) -> Vec<Value> {
        let measured =
            |candidate: &&Candidate| !matches!(candidate, Candidate::Nothing | Candidate::SrtQuick);
        let trials: Vec<_> = (self.audiences.iter())
            .flat_map(|&viewers| {
                self.candidates
                    .iter()
                    .filter(measured)
                    .map(move |&candidate| Trial {
                        candidate,
                        bitrate: self.audience_bitrate,
                        viewers,
                        settling: ALL_SETTLING,
                        time: self.time,
                    })
            })
            .collect();
        self.measure(&trials)
    }

    /// The highest rate that arrives whole, the better of two tries at each.
    pub(crate) fn highest(&self) -> Vec<Value> {
        if self.ladder.is_empty() {
            return Vec::new();
        }
        let mut highest: Vec<_> = (self.candidates.iter())
            .filter(|&&candidate| candidate != Candidate::Nothing)
            .map(|&candidate| (candidate, 0, true))
            .collect();
        for &bitrate in &self.ladder {
            for (candidate, most, goes_on) in highest.iter_mut().filter(|(_, _, on)| *on) {
                let trial = Trial {
                    candidate: *candidate,
                    bitrate,
                    viewers: 1,
                    settling: SETTLING,
                    time: self.time,
                };
                *goes_on = (0..2).any(|_| run(&trial).is_ok_and(|found| found.is_whole(bitrate)));
                if *goes_on {
                    *most = bitrate;
                }
                let verdict = if *goes_on { "whole" } else { "not whole" };
                eprintln!(
                    "{} at {} Mbit/s: {verdict}",
                    candidate.name(),
                    bitrate / 1_000_000
                );
            }
        }
        let row = |(candidate, most, _): (Candidate, u64, bool)| json!({ "candidate": candidate.name(), "bitrate": most });
        highest.into_iter().map(row).collect()
    }
}
