// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! `docs/bounds.md` and `docs/threats.md` tell the truth: each limit and each promise names tests that
//! exist, and each collection and channel that `src` keeps stands in a row.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What keeps an unknown number of things.
const COLLECTIONS: [&str; 12] = [
    "Vec<",
    "VecDeque<",
    "HashMap<",
    "HashSet<",
    "BTreeMap<",
    "BTreeSet<",
    "BinaryHeap<",
    "SequenceMap<",
    "SequenceSet",
    "BytesMut",
    "Sender<",
    "Receiver<",
];

/// Columns of a bound: what, fields, limit, at the limit, tests;
const BOUND: usize = 5;
/// and of a promise: what, how, tests.
const PROMISE: usize = 3;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// The rows of a text's tables, a cell for each column.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|row| {
        let row = row.trim().trim_start_matches('|').trim_end_matches('|');
        row.split('|').map(|cell| cell.trim().to_owned()).collect()
    });
    cells
        .filter(|cells: &Vec<String>| {
            !["what", "promise"].contains(&&cells[0][..]) && !cells[0].starts_with("---")
        })
        .collect()
}

/// The pairs in a cell that are written `file::name`.
fn pairs(cell: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.map(|pair| pair.split_once("::").unwrap_or((pair, "")))
}

/// Every file of code under `folder`.
fn code(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(code(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The name and type of a field, where the line is one of a struct.
fn field(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let (name, kind) = line.split_once(": ")?;
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    name.chars().all(is_name).then_some((name, kind))
}

/// Fields of structs of `text`, up to its tests, that are collections or channels.
fn collections(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut within = false;
    for line in text
        .lines()
        .take_while(|line| !line.starts_with("mod tests {"))
    {
        let opens = line.contains("struct ") && line.ends_with('{') && !line.starts_with(' ');
        within = (within || opens) && !line.starts_with('}');
        if within
            && let Some((name, kind)) = field(line)
            && COLLECTIONS
                .iter()
                .any(|collection| kind.contains(collection))
        {
            found.push(name.to_owned());
        }
    }
    found
}

/// Each of the tests that a cell names is there.
fn assert_tests(row: &[String], cell: &str) {
    assert!(pairs(cell).count() > 0, "no test: {row:?}");
    for (file, function) in pairs(cell) {
        let text =
            fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let is_there = text.contains(&format!("fn {function}("));
        assert!(is_there, "{file} has no {function}");
    }
}

#[test]
fn every_bound_names_tests_that_exist() {
    let rows = rows(&read("docs/bounds.md"));
    assert!(rows.len() > 40, "{} rows", rows.len());
    for row in &rows {
        assert_eq!(row.len(), BOUND, "{row:?}");
        assert!(!row[2].is_empty(), "no limit: {row:?}");
        assert_tests(row, &row[4]);
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = read("docs/threats.md");
    let (_, promised) = text.split_once("## What is promised").unwrap();
    let (promised, _) = promised.split_once("## What is not").unwrap();
    let rows = rows(promised);
    assert!(rows.len() > 10, "{} promises", rows.len());
    for row in &rows {
        assert_eq!(row.len(), PROMISE, "{row:?}");
        assert_tests(row, &row[2]);
    }
}

#[test]
fn every_collection_and_channel_stands_in_a_row() {
    let rows = rows(&read("docs/bounds.md"));
    let told: BTreeSet<_> = rows.iter().flat_map(|row| pairs(&row[1])).collect();
    let src = root().join("src");
    let mut kept = BTreeSet::new();
    for file in code(&src) {
        let name = file
            .strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if name.contains("tests") || name.ends_with("testing.rs") {
            continue;
        }
        let fields = collections(&fs::read_to_string(&file).unwrap());
        kept.extend(fields.into_iter().map(|field| (name.clone(), field)));
    }
    assert!(kept.len() > 80, "{} fields", kept.len());
    let missing: Vec<_> = kept
        .iter()
        .filter(|(file, field)| !told.contains(&(&file[..], &field[..])))
        .collect();
    assert!(missing.is_empty(), "in no row: {missing:#?}");
    let gone: Vec<_> = told
        .iter()
        .filter(|(file, field)| !kept.contains(&((*file).to_owned(), (*field).to_owned())))
        .collect();
    assert!(gone.is_empty(), "not in the code: {gone:#?}");
}
