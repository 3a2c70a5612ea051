// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Runs a swarm of thousands in virtual time and prints its figures. What is modelled and how
//! stands at the head of `tests/simulation/model/mod.rs`.

#[path = "../../tests/simulation/model/mod.rs"]
mod model;

use std::{error::Error, fs, path::PathBuf, time::Instant};

use lexopt::{Arg, Parser, ValueExt};
use model::Options;

const USAGE: &str = "\
usage: simulate [OPTION VALUE]...

  --viewers N              they come in the first second [1000]
  --joins SECOND:COUNT,…   who comes when; FROM-TO:COUNT spreads them
  --bitrate BITS           payload in a second [2.5M]
  --piece-size BYTES       [16384]
  --source-upload MULTIPLE the source's budget, of the bitrate [3]
  --source-link MULTIPLE   its uplink [as its budget]
  --uplinks MULTIPLE:PERCENT,…   [0.25:20,1:50,3:30]
  --rtt LOW-HIGH           ms [20-150]
  --loss PERCENT           of segments [0.5]
  --firewalled PERCENT  --free-riders PERCENT  --liars PERCENT  --polluters PERCENT   [0]
  --churn SECONDS          mean stay; 0: everybody stays [0]
  --cuts N                 relays that vanish in a second [0]
  --outage FROM-TO         seconds without the source's link, or none [none]
  --restarts FROM-TO,…     seconds without the source's process, or none [none]
  --flush SECONDS          a source closes a piece that was open for so long [0.1]
  --latency MS             [1500]
  --seconds N              [120]
  --lap SECONDS            [60]
  --drift PPM              [50]
  --seed N                 [1]
  --json FILE              the figures go here as well";

/// What the command line asks for.
struct Wish {
    options: Options,
    json: Option<PathBuf>,
}

/// Nothing where it asks for help.
fn parse() -> Result<Option<Wish>, Box<dyn Error>> {
    let mut options = Options::default();
    let mut json = None;
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        let name = match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("json") => {
                json = Some(parser.value()?.into());
                continue;
            }
            Arg::Long(name) => name.to_owned(),
            other => return Err(other.unexpected().into()),
        };
        let value = parser.value()?.string()?;
        options
            .set(&name, &value)
            .map_err(|error| format!("--{name}: {error}"))?;
    }
    Ok(Some(Wish { options, json }))
}

/// The most memory this process ever had resident, MiB, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(Wish { options, json }) = parse()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let began = Instant::now();
    let report = model::run(options)?;
    let took = began.elapsed().as_secs_f64();
    print!("{}", report.table());
    // What depends on the machine stays out of the figures.
    eprintln!(
        "{took:.1} s, {:.2} million events a second, {} MiB at most",
        report.events as f64 / took / 1e6,
        peak_memory().map_or_else(|| "?".to_owned(), |memory| memory.to_string()),
    );
    if let Some(path) = json {
        fs::write(path, format!("{:#}\n", report.json()))?;
    }
    Ok(())
}
