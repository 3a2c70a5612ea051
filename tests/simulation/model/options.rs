// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The setting of a simulation.

use gstlivetorrent::proto::piece::HEADER_LEN;

use super::queue::Micros;

/// µs in a second.
pub(crate) const SECOND: Micros = 1_000_000;

/// Newcomers: `count` of them spread evenly over `[from, to)`, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) count: usize,
}

/// Everything that a run depends on.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Bits of payload in a second.
    pub(crate) bitrate: f64,
    /// A source closes a piece that was open for so many seconds (`flush-time` of the sink).
    pub(crate) flush: f64,
    /// Most bytes of a piece, header included.
    pub(crate) piece_size: u32,
    /// The source's budget, in multiples of the bitrate.
    pub(crate) source_upload: f64,
    /// The source's uplink in multiples of the bitrate; none: as its budget.
    pub(crate) source_link: Option<f64>,
    /// Multiples of the bitrate, each with per cent of the viewers.
    pub(crate) uplinks: Vec<(f64, f64)>,
    /// Round trips, ms.
    pub(crate) rtt: (f64, f64),
    /// Per cent of segments.
    pub(crate) loss: f64,
    /// Per cent of viewers that cannot be dialled.
    pub(crate) firewalled: f64,
    /// Per cent of viewers that share nothing.
    pub(crate) free_riders: f64,
    /// Per cent of viewers that share nothing and say otherwise.
    pub(crate) liars: f64,
    /// Per cent of viewers that give what the source did not sign.
    pub(crate) polluters: f64,
    /// Mean seconds of a stay; 0: everybody stays.
    pub(crate) churn: f64,
    /// Relays that vanish in a second.
    pub(crate) cuts: f64,
    /// Who comes when.
    pub(crate) joins: Vec<Group>,
    /// When the source's access link carries nothing, seconds.
    pub(crate) outage: Option<(f64, f64)>,
    /// When the source's process is gone, seconds.
    pub(crate) restarts: Vec<(f64, f64)>,
    /// Distance behind the source, ms.
    pub(crate) latency: u64,
    /// Length of the run.
    pub(crate) seconds: u64,
    /// Seconds of stream in a lap.
    pub(crate) lap: f64,
    /// How far clocks run off at most, ppm.
    pub(crate) drift: f64,
    /// Of every random choice.
    pub(crate) seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bitrate: 2.5e6,
            flush: 0.1,
            piece_size: 16_384,
            source_upload: 3.0,
            source_link: None,
            uplinks: vec![(0.25, 20.0), (1.0, 50.0), (3.0, 30.0)],
            rtt: (20.0, 150.0),
            loss: 0.5,
            firewalled: 0.0,
            free_riders: 0.0,
            liars: 0.0,
            polluters: 0.0,
            churn: 0.0,
            cuts: 0.0,
            joins: vec![Group {
                from: 0,
                to: 1,
                count: 1000,
            }],
            outage: None,
            restarts: Vec::new(),
            latency: 1500,
            seconds: 120,
            lap: 60.0,
            drift: 50.0,
            seed: 1,
        }
    }
}

impl Options {
    /// Everybody comes in the first second.
    pub(crate) fn set_viewers(&mut self, count: usize) {
        self.joins = vec![Group {
            from: 0,
            to: 1,
            count,
        }];
    }

    /// How many viewers come, those who replace others left out.
    pub(crate) fn viewers(&self) -> usize {
        self.joins.iter().map(|group| group.count).sum()
    }

    /// Payload bytes of a piece: of a full one, or of one that was closed since it was open for long.
    pub(crate) fn payload(&self) -> usize {
        let full = (self.piece_size as usize).saturating_sub(HEADER_LEN);
        full.min((self.bitrate / 8.0 * self.flush) as usize).max(1)
    }

    /// Bytes of a piece.
    pub(crate) fn piece(&self) -> usize {
        self.payload() + HEADER_LEN
    }

    /// Pieces in a second.
    pub(crate) fn piece_rate(&self) -> f64 {
        self.bitrate / 8.0 / self.payload() as f64
    }

    /// The source's uplink, multiples of the bitrate.
    pub(crate) fn source_link(&self) -> f64 {
        self.source_link.unwrap_or(self.source_upload)
    }

    /// Sets the option `name` from its text on the command line; says what is wrong with it.
    pub(crate) fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "viewers" => self.set_viewers(whole(text)?),
            "bitrate" => self.bitrate = positive(text)?,
            "piece-size" => self.piece_size = bounded(text, 1024, 1 << 20)?,
            "source-upload" => self.source_upload = positive(text)?,
            "source-link" => self.source_link = Some(positive(text)?),
            "uplinks" => self.uplinks = uplinks(text)?,
            "rtt" => self.rtt = range(text)?,
            "loss" => self.loss = percent(text)?,
            "firewalled" => self.firewalled = percent(text)?,
            "free-riders" => self.free_riders = percent(text)?,
            "liars" => self.liars = percent(text)?,
            "polluters" => self.polluters = percent(text)?,
            "churn" => self.churn = number(text)?,
            "cuts" => self.cuts = number(text)?,
            "joins" => self.joins = groups(text)?,
            "outage" if text == "none" => self.outage = None,
            "outage" => self.outage = Some(range(text)?),
            "restarts" if text == "none" => self.restarts.clear(),
            "restarts" => self.restarts = text.split(',').map(range).collect::<Result<_, _>>()?,
            "flush" => self.flush = positive(text)?,
            "latency" => self.latency = whole(text)?,
            "seconds" => self.seconds = whole(text)?,
            "lap" => self.lap = positive(text)?,
            "drift" => self.drift = number(text)?,
            "seed" => self.seed = whole(text)?,
            _ => return Err(format!("there is no option --{name}")),
        }
        Ok(())
    }

    /// Says what does not fit together.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.free_riders + self.liars + self.polluters > 100.0 {
            return Err("more than 100 % of viewers that do not share".to_owned());
        }
        if !self.restarts.is_sorted_by(|one, next| one.1 < next.0)
            || self.restarts.iter().any(|(from, to)| from >= to)
        {
            return Err("the source's restarts are not one after the other".to_owned());
        }
        Ok(())
    }
}

fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn bounded(text: &str, low: u32, high: u32) -> Result<u32, String> {
    let number = whole(text)?;
    if (low..=high).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{text} is not within {low} … {high}"))
    }
}

/// A number that is not negative, with K, M or G for powers of a thousand.
fn number(text: &str) -> Result<f64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'M') => (&text[..text.len() - 1], 1e6),
        Some(b'G') => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    let number: f64 = whole(digits)?;
    if number.is_finite() && number >= 0.0 {
        Ok(number * unit)
    } else {
        Err(format!("{text:?} is out of range"))
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = number(text)?;
    if number > 0.0 {
        Ok(number)
    } else {
        Err(format!("{text:?} is not above 0"))
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number = number(text)?;
    if number <= 100.0 {
        Ok(number)
    } else {
        Err(format!("{text} % is over 100"))
    }
}

fn range(text: &str) -> Result<(f64, f64), String> {
    let (low, high) = text
        .split_once('-')
        .ok_or_else(|| format!("{text:?} is not LOW-HIGH"))?;
    let (low, high) = (number(low)?, number(high)?);
    if low <= high {
        Ok((low, high))
    } else {
        Err(format!("{text:?} runs backwards"))
    }
}

fn uplinks(text: &str) -> Result<Vec<(f64, f64)>, String> {
    let classes = text.split(',').map(|class| {
        let (multiple, share) = class
            .split_once(':')
            .ok_or_else(|| format!("{class:?} is not MULTIPLE:PERCENT"))?;
        Ok((positive(multiple)?, percent(share)?))
    });
    let classes: Vec<_> = classes.collect::<Result<_, String>>()?;
    let sum: f64 = classes.iter().map(|(_, share)| share).sum();
    if (sum - 100.0).abs() < 0.01 {
        Ok(classes)
    } else {
        Err(format!("the shares of {text:?} make {sum} %"))
    }
}

/// SECOND:COUNT or FROM-TO:COUNT, separated by commas.
fn groups(text: &str) -> Result<Vec<Group>, String> {
    let group = |group: &str| {
        let (when, count) = group
            .split_once(':')
            .ok_or_else(|| format!("{group:?} is not SECOND:COUNT"))?;
        let (from, to) = match when.split_once('-') {
            Some((from, to)) => (whole(from)?, whole(to)?),
            None => (whole(when)?, whole::<u64>(when)?.saturating_add(1)),
        };
        if from >= to {
            return Err(format!("{when:?} runs backwards"));
        }
        let count = whole(count)?;
        Ok(Group { from, to, count })
    };
    text.split(',').map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_the_command_line_has_them() {
        let mut options = Options::default();
        options.set("bitrate", "2.5M").unwrap();
        options.set("uplinks", "0.25:20,1:50,3:30").unwrap();
        options.set("joins", "0:50,20-30:1000").unwrap();
        options.set("outage", "40-42.5").unwrap();
        assert_eq!(options.bitrate, 2.5e6);
        assert_eq!(options.uplinks, [(0.25, 20.0), (1.0, 50.0), (3.0, 30.0)]);
        assert_eq!(options.viewers(), 1050);
        assert_eq!(options.joins[1].to, 30);
        assert_eq!(options.outage, Some((40.0, 42.5)));
        options.set("outage", "none").unwrap();
        options.set("restarts", "30-31,60-80").unwrap();
        assert_eq!(options.restarts, [(30.0, 31.0), (60.0, 80.0)]);
        options.check().unwrap();
        assert_eq!(options.outage, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut options = Options::default();
        for (name, text) in [
            ("bitrate", "0"),
            ("bitrate", "-1"),
            ("bitrate", "NaN"),
            ("uplinks", "1:50"),
            ("uplinks", "1"),
            ("rtt", "150-20"),
            ("loss", "101"),
            ("joins", "5-5:3"),
            ("piece-size", "100"),
            ("colour", "blue"),
        ] {
            assert!(options.set(name, text).is_err(), "--{name} {text}");
        }
        options.set("restarts", "30-31,31-32").unwrap();
        assert!(options.check().is_err());
        options.restarts.clear();
        options.liars = 60.0;
        options.free_riders = 60.0;
        assert!(options.check().is_err());
    }
}
