// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0
//! One end of a connection that carries pieces, and what it measured. `tests/transport.sh` runs two
//! of these, each in a network namespace of one machine, whose clock they share.

mod piece;
mod pipe;
mod report;
mod run;

use std::{error::Error, net::SocketAddr, process::ExitCode, time::Duration};

use lexopt::{Arg, Parser, ValueExt as _};

use pipe::Transport;
use run::{Load, Run};

const USAGE: &str = "\
usage: livetorrent-transport send|receive [OPTION]... TRANSPORT HOST:PORT

TRANSPORT is one of these, with options after commas:
  tcp      nodelay, unsent=BYTES (TCP_NOTSENT_LOWAT), buffer=BYTES (SO_SNDBUF), cc=NAME (TCP_CONGESTION)
  utp      librqbit-utp; buffer=BYTES, what is written and not acknowledged
  libutp   BitTorrent's own

  --seconds S     how long pieces are made (default 10)
  --lead S        how much of that does not count (default 2)
  --rate BITS     one piece of 16 KiB after another at this rate per second; without it as fast as can be,
                  with an urgent piece five times a second that goes before those which were not begun
  --patience MS   how long a piece is of use (default 1500); with less than 500 left it is not begun any more

Both ends take the same options. The receiver says \"ready\", and prints its figures at the end.";

fn main() -> ExitCode {
    match command(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("livetorrent-transport: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(mut arguments: Parser) -> Result<(), Box<dyn Error>> {
    let mut words = Vec::new();
    let (mut seconds, mut lead, mut rate, mut patience) = (10, 2, None, 1500);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("seconds") => seconds = arguments.value()?.parse()?,
            Arg::Long("lead") => lead = arguments.value()?.parse()?,
            Arg::Long("rate") => rate = Some(arguments.value()?.parse()?),
            Arg::Long("patience") => patience = arguments.value()?.parse()?,
            Arg::Long("help") | Arg::Short('h') => {
                println!("{USAGE}");
                return Ok(());
            }
            Arg::Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let [end, transport, address] = &words[..] else {
        return Err(USAGE.into());
    };
    if lead >= seconds {
        return Err("--lead must be less than --seconds".into());
    }
    let transport: Transport = transport.parse()?;
    let address: SocketAddr = address.parse()?;
    let load = rate.map_or(Load::Bulk, |rate| Load::Live {
        interval: Duration::from_secs_f64(piece::LENGTH as f64 * 8.0 / f64::max(rate, 1000.0)),
    });
    let run = Run {
        load,
        patience: Duration::from_millis(patience),
        length: Duration::from_secs(seconds),
        lead: Duration::from_secs(lead),
    };
    match end.as_str() {
        "send" => {
            run.send(transport.connect(address)?)?;
            println!("sender={:.1}", processor_time() / seconds as f64);
        }
        "receive" => {
            let listener = transport.listen(address)?;
            println!("ready");
            let report = run.receive(listener.accept()?)?;
            println!("{report} receiver={:.1}", processor_time() / seconds as f64);
        }
        other => return Err(format!("'{other}' is neither send nor receive").into()),
    }
    Ok(())
}

/// Milliseconds of processor that this process took.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 * 1e-6
}
