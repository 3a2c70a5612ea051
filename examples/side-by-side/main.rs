// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! livetorrent, SRT and TCP side by side on this machine: delay of one hop, time to the first byte, processor
//! time, memory, the highest rate, and what a source spends on many viewers. Each side is a process of its own, and
//! takes the plugin that GStreamer finds.
//! Prints tables; with `--json` the figures of every measurement go to a file.

mod candidate;
mod pair;
mod rounds;
mod side;
mod stamps;
mod table;
mod television;

use std::{error::Error, ffi::OsString, fs, path::PathBuf, process::ExitCode, time::Duration};

use lexopt::{Arg, Parser, ValueExt as _};
use serde_json::json;

use candidate::{Candidate, Meeting};
use rounds::Plan;

const USAGE: &str = "\
usage: side-by-side [OPTION]...

  --quick            a look: two rates, one round of a second, without the highest rates
  --rounds N         how often each is measured (default 3)
  --seconds N        how long each time (default 5)
  --only NAME,…      of nothing, livetorrent, srt, srt-20ms, srt-aes, tcp, which is usual, and livetorrent-64k
  --bitrates N,…     Mbit/s with one viewer (default 2,4,8,50,200)
  --steady N         seconds that 8 Mbit/s are watched before they are measured once more (default 75; 0: not)
  --audiences N,…    viewers at 2 Mbit/s (default 1,5,20,50)
  --ladder N,…       Mbit/s among which the highest is looked for (default 100,200,300,400,500,600,800,1000)
  --json FILE        all figures";

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("send" | "receive") => side(std::env::args_os().skip(1)),
        _ => command(Parser::from_env()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("side-by-side: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Numbers with commas between; an empty word is none of them.
fn numbers(word: &str) -> Result<Vec<u64>, Box<dyn Error>> {
    let numbers = word.split(',').filter(|number| !number.is_empty());
    Ok(numbers.map(str::parse).collect::<Result<_, _>>()?)
}

fn megabits(word: &str) -> Result<Vec<u64>, Box<dyn Error>> {
    Ok(numbers(word)?
        .into_iter()
        .map(|number| number * 1_000_000)
        .collect())
}

/// Those of the names that are here.
fn candidates(word: &str) -> Result<Vec<Candidate>, Box<dyn Error>> {
    let of_name = |name| Candidate::of_name(name).ok_or_else(|| format!("what is {name}?").into());
    word.split(',').map(of_name).collect()
}

fn command(mut parser: Parser) -> Result<(), Box<dyn Error>> {
    let mut plan = Plan {
        rounds: 3,
        time: Duration::from_secs(5),
        candidates: Candidate::USUAL.to_vec(),
        bitrates: megabits("2,4,8,50,200")?,
        audiences: vec![1, 5, 20, 50],
        audience_bitrate: 2_000_000,
        steady: Duration::from_secs(75),
        ladder: megabits("100,200,300,400,500,600,800,1000")?,
    };
    let mut json = None::<PathBuf>;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("quick") => {
                plan = Plan {
                    rounds: 1,
                    time: Duration::from_secs(1),
                    bitrates: megabits("2,8")?,
                    audiences: vec![5],
                    steady: Duration::ZERO,
                    ladder: Vec::new(),
                    ..plan
                };
            }
            Arg::Long("rounds") => plan.rounds = parser.value()?.parse()?,
            Arg::Long("seconds") => plan.time = Duration::from_secs(parser.value()?.parse()?),
            Arg::Long("only") => plan.candidates = candidates(&parser.value()?.string()?)?,
            Arg::Long("bitrates") => plan.bitrates = megabits(&parser.value()?.string()?)?,
            Arg::Long("audiences") => {
                let counts = numbers(&parser.value()?.string()?)?;
                plan.audiences = counts.into_iter().map(|count| count as usize).collect();
            }
            Arg::Long("steady") => plan.steady = Duration::from_secs(parser.value()?.parse()?),
            Arg::Long("ladder") => plan.ladder = megabits(&parser.value()?.string()?)?,
            Arg::Long("json") => json = Some(parser.value()?.into()),
            Arg::Short('h') | Arg::Long("help") => {
                println!("{USAGE}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    gst::init()?;
    plan.candidates.retain(|candidate| {
        let is_here = candidate.is_here();
        if !is_here {
            eprintln!("left out: GStreamer has no {}", candidate.element());
        }
        is_here
    });
    let report = json!({
        "machine": machine(),
        "rounds": plan.rounds,
        "seconds": plan.time.as_secs(),
        "hops": plan.hops(),
        "steady": plan.steady(),
        "audience": plan.audience(),
        "highest": plan.highest(),
    });
    if let Some(path) = json {
        fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    table::show(&report);
    Ok(())
}

/// What the figures are of.
fn machine() -> serde_json::Value {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = || {
        info.lines()
            .filter_map(|line| line.strip_prefix("model name"))
    };
    let model = models().next().unwrap_or_default();
    json!({
        "processor": model.trim_start_matches([' ', '\t', ':']),
        "cores": models().count(),
        "gstreamer": gst::version_string().as_str(),
    })
}

/// One side of a measurement, which this program starts.
fn side(arguments: impl Iterator<Item = OsString>) -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = arguments
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let [way, candidate, folder, port, bitrate, viewers] = &words[..] else {
        return Err("a side takes five words".into());
    };
    let candidate = Candidate::of_name(candidate).ok_or("no such candidate")?;
    let viewers: usize = viewers.parse()?;
    let meeting = Meeting {
        folder: folder.into(),
        port: port.parse()?,
        bitrate: bitrate.parse()?,
        quick: viewers == 1,
    };
    gst::init()?;
    let figures = match way.as_str() {
        "send" => side::send(candidate, &meeting)?,
        _ => side::receive(candidate, &meeting, viewers)?,
    };
    println!("{figures}");
    Ok(())
}
