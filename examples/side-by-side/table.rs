// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The figures for people.

use serde_json::Value;

/// The figure in the middle of all rounds.
fn median(row: &Value, name: &str) -> Option<f64> {
    row[name]["median"].as_f64()
}

fn cell(value: Option<f64>, scale: f64, digits: usize) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| format!("{:.digits$}", value * scale),
    )
}

/// A column: its head, the figure, what it is multiplied by, and digits behind the point.
type Column = (&'static str, &'static str, f64, usize);

const HOPS: [Column; 8] = [
    ("first ms", "source-first", 1.0, 1),
    ("p50 ms", "source-delay50", 1.0, 1),
    ("p99 ms", "source-delay99", 1.0, 1),
    ("sink %", "sink-processor", 100.0, 2),
    ("source %", "source-processor", 100.0, 2),
    ("sink MiB", "sink-memory", 1.0, 0),
    ("source MiB", "source-memory", 1.0, 0),
    ("lost", "source-lost", 1.0, 0),
];

const AUDIENCE: [Column; 4] = [
    ("sink %", "sink-processor", 100.0, 2),
    ("viewers %", "source-processor", 100.0, 1),
    ("up Mbit/s", "sink-upload", 1e-6, 1),
    ("lost", "source-lost", 1.0, 0),
];

fn print(rows: &[Value], columns: &[Column]) {
    print!("{:>7} {:>7} {:<12}", "Mbit/s", "viewers", "");
    columns.iter().for_each(|(head, ..)| print!(" {head:>10}"));
    println!();
    for row in rows {
        print!(
            "{:>7} {:>7} {:<12}",
            row["bitrate"].as_f64().unwrap_or_default() / 1e6,
            row["viewers"].as_u64().unwrap_or_default(),
            row["candidate"].as_str().unwrap_or_default()
        );
        for &(_, name, scale, digits) in columns {
            print!(" {:>10}", cell(median(row, name), scale, digits));
        }
        println!();
    }
}

/// Prints all of it.
pub(crate) fn show(report: &Value) {
    let rows = |name: &str| report[name].as_array().cloned().unwrap_or_default();
    println!("\nOne viewer; processor in % of a core; medians of all rounds");
    print(&rows("hops"), &HOPS);
    if !rows("steady").is_empty() {
        println!("\nThe same once all buffers are full");
        print(&rows("steady"), &HOPS);
    }
    if !rows("audience").is_empty() {
        println!("\nMany viewers");
        print(&rows("audience"), &AUDIENCE);
    }
    if !rows("highest").is_empty() {
        println!("\nThe highest rate that was tried and arrived whole");
        for row in rows("highest") {
            println!(
                "{:<12} {:>5} Mbit/s",
                row["candidate"].as_str().unwrap_or_default(),
                row["bitrate"].as_f64().unwrap_or_default() / 1e6
            );
        }
    }
}
