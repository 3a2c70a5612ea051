// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The figures of a run, as a table and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    bounds::{Bounds, QUANTILES},
    host::Kind,
    hours::Hour,
    measure::{Meter, Totals, Watched},
    options::{Options, SECOND},
    queue::Micros,
    world::{LEAD, World},
};

/// A viewer that watched for less counts for nothing but joining.
const MIN_DUE: Micros = SECOND;
/// Who was there for less is not blamed for not having joined.
const JOIN_PATIENCE: Micros = 10 * SECOND;

/// Continuity of some viewers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Continuity {
    pub(crate) viewers: usize,
    pub(crate) mean: f64,
    /// Mean of the worst hundredth, of one viewer at least.
    pub(crate) worst: f64,
    pub(crate) least: f64,
}

/// Everything a run showed. Delays in seconds, parts as parts of 1, overheads in per cent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) bounds: Bounds,
    /// p50, p95, p99, max.
    pub(crate) diffusion: [f64; 4],
    pub(crate) continuity: Continuity,
    /// Those who came with the first group.
    pub(crate) early: Continuity,
    pub(crate) by_uplink: Vec<(f64, Continuity)>,
    pub(crate) free_riders: Continuity,
    pub(crate) liars: Continuity,
    pub(crate) join_p50: f64,
    pub(crate) join_p95: f64,
    pub(crate) joined: usize,
    pub(crate) never_joined: usize,
    pub(crate) source_upload: f64,
    pub(crate) share_from_viewers: f64,
    pub(crate) duplicates: f64,
    pub(crate) spoiled: f64,
    pub(crate) overhead: f64,
    pub(crate) overhead_on_the_wire: f64,
    /// Pieces delivered late in per cent of those due.
    pub(crate) late: f64,
    pub(crate) stalls: u64,
    pub(crate) viewers_stalled: usize,
    /// Stalls that the source did not cause.
    pub(crate) own_stalls: u64,
    /// How often the stream's own clock did not go with the pieces' times.
    pub(crate) clock_breaks: u64,
    pub(crate) hours: Vec<Hour>,
    pub(crate) bad_bytes: u64,
    pub(crate) events: u64,
    setting: Value,
}

fn part(some: u64, all: u64) -> f64 {
    if all == 0 {
        0.0
    } else {
        some as f64 / all as f64
    }
}

impl Report {
    pub(crate) fn new(world: &World) -> Self {
        let (options, meter) = (&world.options, &world.meter);
        let givers: Vec<_> = of_kind(meter, Kind::Giver).collect();
        let due = (options.piece_rate() * MIN_DUE as f64 / SECOND as f64) as u32;
        let continuity = |wanted: &dyn Fn(&Watched) -> bool| {
            let viewers = meter.viewers.iter().filter(|viewer| wanted(viewer));
            continuity(viewers.filter(|viewer| viewer.due >= due.max(1)))
        };
        let giver = |viewer: &Watched| viewer.lot.kind == Kind::Giver;
        let totals = &meter.totals;
        let mut report = Self {
            bounds: bounds(world),
            diffusion: diffusion(meter),
            continuity: continuity(&giver),
            early: continuity(&|viewer| giver(viewer) && viewer.early),
            by_uplink: (0u8..)
                .zip(&options.uplinks)
                .map(|(class, &(multiple, _))| {
                    let of_class = |viewer: &Watched| giver(viewer) && viewer.lot.class == class;
                    (multiple, continuity(&of_class))
                })
                .collect(),
            free_riders: continuity(&|viewer| viewer.lot.kind == Kind::FreeRider),
            liars: continuity(&|viewer| viewer.lot.kind == Kind::Liar),
            source_upload: part(totals.source, totals.stream),
            share_from_viewers: 1.0 - part(totals.from_source, totals.received.max(1)),
            late: 100.0
                * part(
                    givers.iter().map(|viewer| u64::from(viewer.late)).sum(),
                    givers.iter().map(|viewer| u64::from(viewer.due)).sum(),
                ),
            stalls: givers.iter().map(|viewer| u64::from(viewer.stalls)).sum(),
            viewers_stalled: givers.iter().filter(|viewer| viewer.stalls > 0).count(),
            own_stalls: givers
                .iter()
                .map(|viewer| u64::from(viewer.stalls - viewer.blameless))
                .sum(),
            clock_breaks: meter.clock_breaks,
            hours: meter.hours.done.clone(),
            bad_bytes: totals.bad,
            events: world.events,
            setting: setting(options),
            ..Self::default()
        };
        report.count_bytes(totals);
        report.count_joins(&givers);
        report
    }

    fn count_bytes(&mut self, totals: &Totals) {
        self.duplicates = 100.0 * part(totals.duplicate, totals.received);
        self.spoiled = 100.0 * part(totals.spoiled, totals.received);
        self.overhead = 100.0 * part(totals.others_sent, totals.pieces_sent);
        let on_the_wire = totals.on_the_wire.saturating_sub(totals.pieces_sent);
        self.overhead_on_the_wire = 100.0 * part(on_the_wire, totals.pieces_sent);
    }

    fn count_joins(&mut self, givers: &[&Watched]) {
        let took = |viewer: &&Watched| viewer.first.map(|(_, at)| at - viewer.joined);
        let mut times: Vec<_> = givers.iter().filter_map(took).collect();
        times.sort_unstable();
        let never = givers.iter().filter(|viewer| {
            let stay = viewer.left.unwrap_or(viewer.joined) - viewer.joined;
            viewer.first.is_none() && stay >= JOIN_PATIENCE
        });
        self.never_joined = never.count();
        self.joined = times.len();
        self.join_p50 = seconds(quantile(&times, 0.50));
        self.join_p95 = seconds(quantile(&times, 0.95));
    }

    /// The same run gives the same text.
    pub(crate) fn json(&self) -> Value {
        let continuity = |c: &Continuity| json!({ "viewers": c.viewers, "mean": c.mean, "worst_hundredth": c.worst, "least": c.least });
        let delays = |delays: [f64; 4]| json!({ "p50": delays[0], "p95": delays[1], "p99": delays[2], "max": delays[3] });
        let by_uplink: Vec<_> = self.by_uplink.iter().collect();
        json!({
            "setting": self.setting,
            "figures": {
                "diffusion_seconds": delays(self.diffusion),
                "continuity": continuity(&self.continuity),
                "continuity_of_first_group": continuity(&self.early),
                "continuity_by_uplink": by_uplink.iter()
                    .map(|(multiple, c)| json!({ "uplink": multiple, "continuity": continuity(c) }))
                    .collect::<Vec<_>>(),
                "continuity_of_free_riders": continuity(&self.free_riders),
                "continuity_of_liars": continuity(&self.liars),
                "join_seconds": { "p50": self.join_p50, "p95": self.join_p95 },
                "joined": self.joined,
                "never_joined": self.never_joined,
                "source_upload": self.source_upload,
                "share_from_viewers": self.share_from_viewers,
                "duplicates_percent": self.duplicates,
                "spoiled_percent": self.spoiled,
                "overhead_percent": self.overhead,
                "overhead_with_headers_percent": self.overhead_on_the_wire,
                "late_percent": self.late,
                "stalls": self.stalls,
                "viewers_stalled": self.viewers_stalled,
                "stalls_without_the_source": self.own_stalls,
                "clock_breaks": self.clock_breaks,
                "bad_bytes": self.bad_bytes,
                "events": self.events,
            },
            "parts": self.hours.iter().map(part_of_run).collect::<Vec<_>>(),
            "bounds": {
                "diffusion_seconds": delays(self.bounds.diffusion.map(seconds)),
                "diffusion_all_pieces_alike_seconds": delays(self.bounds.alike.map(seconds)),
                "continuity": self.bounds.continuity,
                "source_upload": self.bounds.source,
                "overhead_percent": self.bounds.overhead,
                "overhead_with_headers_percent": self.bounds.overhead_on_the_wire,
            },
        })
    }

    /// The same for people.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        let mut row = |name: &str, value: String, bound: String| {
            // Writing to a string does not fail.
            let _ = writeln!(table, "{name:<34} {value:>28}   {bound}");
        };
        row("figure", "value".to_owned(), "bound".to_owned());
        for (at, name) in ["p50", "p95", "p99", "max"].iter().enumerate() {
            let (bound, alike) = (self.bounds.diffusion[at], self.bounds.alike[at]);
            row(
                &format!("diffusion {name}, s"),
                format!("{:.3}", self.diffusion[at]),
                format!(">= {:.3} ({:.3} alike)", seconds(bound), seconds(alike)),
            );
        }
        let shown = |c: &Continuity| match c.viewers {
            0 => "-".to_owned(),
            _ => format!(
                "{:.3} / {:.3} / {:.3}",
                100.0 * c.mean,
                100.0 * c.worst,
                100.0 * c.least
            ),
        };
        let most = format!("<= {:.3}", 100.0 * self.bounds.continuity);
        row(
            "continuity mean/worst 1 %/least, %",
            shown(&self.continuity),
            most,
        );
        for (multiple, continuity) in &self.by_uplink {
            let name = format!("  uplink {multiple} ({})", continuity.viewers);
            row(&name, shown(continuity), String::new());
        }
        for (name, continuity) in [
            ("first group", &self.early),
            ("free-riders", &self.free_riders),
            ("liars", &self.liars),
        ] {
            let name = format!("  {name} ({})", continuity.viewers);
            row(&name, shown(continuity), String::new());
        }
        row(
            "join p50/p95, s",
            format!("{:.2} / {:.2}", self.join_p50, self.join_p95),
            String::new(),
        );
        row(
            "joined/never",
            format!("{} / {}", self.joined, self.never_joined),
            String::new(),
        );
        let none = String::new;
        let least = format!(">= {:.2}", self.bounds.source);
        row(
            "source upload, multiples",
            format!("{:.3}", self.source_upload),
            least,
        );
        row(
            "from viewers, %",
            format!("{:.2}", 100.0 * self.share_from_viewers),
            none(),
        );
        row(
            "duplicates, %",
            format!("{:.3}", self.duplicates),
            ">= 0".to_owned(),
        );
        row("spoiled, %", format!("{:.3}", self.spoiled), none());
        let least = format!(">= {:.3}", self.bounds.overhead);
        row("overhead, %", format!("{:.3}", self.overhead), least);
        let least = format!(">= {:.3}", self.bounds.overhead_on_the_wire);
        row(
            "overhead with TCP/IP, %",
            format!("{:.3}", self.overhead_on_the_wire),
            least,
        );
        row("delivered late, %", format!("{:.3}", self.late), none());
        row(
            "stalls/viewers stalled",
            format!("{} / {}", self.stalls, self.viewers_stalled),
            none(),
        );
        row(
            "  not caused by the source",
            self.own_stalls.to_string(),
            none(),
        );
        row(
            "bad bytes delivered",
            self.bad_bytes.to_string(),
            "= 0".to_owned(),
        );
        row(
            "breaks of the stream's clock",
            self.clock_breaks.to_string(),
            "= 0".to_owned(),
        );
        table.push_str(&self.course());
        table
    }

    /// How memory and distance went with time.
    fn course(&self) -> String {
        let mut course = format!(
            "{:>10} {:>8} {:>8} {:>8} {:>8}  {:>25} {:>8}\n",
            "until, s", "pieces", "MiB", "entries", "model", "distance, s", "told"
        );
        for hour in &self.hours {
            let distance = format!(
                "{:.3} / {:.3} / {:.3}",
                seconds(hour.nearest),
                seconds(hour.mean()),
                seconds(hour.farthest)
            );
            let _ = writeln!(
                course,
                "{:>10.0} {:>8} {:>8.1} {:>8} {:>8}  {distance:>25} {:>8.3}",
                seconds(hour.until) - seconds(LEAD),
                hour.kept.pieces,
                hour.kept.piece_bytes as f64 / f64::from(1 << 20),
                hour.kept.entries,
                hour.model,
                seconds(hour.told()),
            );
        }
        course
    }
}

fn part_of_run(hour: &Hour) -> Value {
    json!({
        "until_seconds": seconds(hour.until) - seconds(LEAD),
        "pieces": hour.kept.pieces,
        "piece_bytes": hour.kept.piece_bytes,
        "entries": hour.kept.entries,
        "model_entries": hour.model,
        "distance_seconds": {
            "least": seconds(hour.nearest),
            "mean": seconds(hour.mean()),
            "most": seconds(hour.farthest),
            "told": seconds(hour.told()),
        },
    })
}

fn of_kind(meter: &Meter, kind: Kind) -> impl Iterator<Item = &Watched> {
    let viewers = meter.viewers.iter();
    viewers.filter(move |viewer| viewer.lot.kind == kind)
}

fn continuity<'a>(viewers: impl Iterator<Item = &'a Watched>) -> Continuity {
    let mut parts: Vec<_> = viewers
        .map(|viewer| part(viewer.delivered.into(), viewer.due.into()))
        .collect();
    parts.sort_by(f64::total_cmp);
    let mean = |parts: &[f64]| parts.iter().sum::<f64>() / parts.len().max(1) as f64;
    let worst = parts.len().div_ceil(100);
    Continuity {
        viewers: parts.len(),
        mean: mean(&parts),
        worst: mean(&parts[..worst]),
        least: parts.first().copied().unwrap_or(0.0),
    }
}

/// The smallest that `part` of the sorted are not above.
fn quantile(sorted: &[Micros], part: f64) -> Micros {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn diffusion(meter: &Meter) -> [f64; 4] {
    let all: u64 = meter.delays.iter().sum();
    QUANTILES.map(|part| {
        if part >= 1.0 {
            return seconds(meter.longest);
        }
        let rank = (part * all as f64).ceil() as u64;
        let mut sum = 0;
        let bucket = meter.delays.iter().position(|count| {
            sum += count;
            sum >= rank
        });
        bucket.unwrap_or(0) as f64 / 1000.0
    })
}

fn seconds(micros: Micros) -> f64 {
    micros as f64 / SECOND as f64
}

/// Those of the timetable: who replaces another is like the one before.
fn bounds(world: &World) -> Bounds {
    let options = &world.options;
    let planned = world.planned();
    let givers: Vec<_> = planned
        .iter()
        .filter(|lot| lot.kind == Kind::Giver)
        .map(|lot| options.uplinks[usize::from(lot.class)].0)
        .collect();
    Bounds::new(options, &givers, planned.len())
}

fn setting(options: &Options) -> Value {
    let joins: Vec<_> = options
        .joins
        .iter()
        .map(|group| json!({ "from": group.from, "to": group.to, "count": group.count }))
        .collect();
    json!({
        "viewers": options.viewers(),
        "bitrate": options.bitrate,
        "piece_size": options.piece_size,
        "source_upload": options.source_upload,
        "source_link": options.source_link(),
        "uplinks": options.uplinks,
        "rtt_ms": options.rtt,
        "loss_percent": options.loss,
        "firewalled_percent": options.firewalled,
        "free_riders_percent": options.free_riders,
        "liars_percent": options.liars,
        "polluters_percent": options.polluters,
        "churn_seconds": options.churn,
        "cuts_per_second": options.cuts,
        "joins": joins,
        "outage": options.outage,
        "restarts": options.restarts,
        "flush_seconds": options.flush,
        "latency_ms": options.latency,
        "seconds": options.seconds,
        "lead_seconds": LEAD / SECOND,
        "lap_seconds": options.lap,
        "drift_ppm": options.drift,
        "seed": options.seed,
    })
}
