// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Imports go one way: elements → `net` → `proto`, elements → `mpegts`.
//!
//! Reads the code of every file in `src`, comments and strings left out, and fails where a path
//! names what its module may not know.

use std::{fs, path::Path};

/// What the files under `folder` may not name. A name stands for itself and all that is below it.
struct Rule {
    folder: &'static str,
    /// Files to which the rule does not apply.
    except: &'static [&'static str],
    forbidden: &'static [&'static str],
    reason: &'static str,
}

/// The framework; `glib` comes with it.
const GSTREAMER: &[&str] = &["gst", "gst_base", "gst_check", "glib", "gstreamer"];

/// What the sans-IO modules get from outside or leave to the driver.
const OUTSIDE_WORLD: &[&str] = &[
    "async_std",
    "async_executor",
    "async_channel",
    "async_io",
    "rustix",
    "futures_lite",
    "blocking",
    "socket2",
    "ureq",
    "tempfile",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::process",
    "std::thread",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::mpsc",
    "std::time::Instant",
    "std::time::SystemTime",
    "TcpListener::bind",
    "TcpStream::connect",
    "UdpSocket::bind",
    "Instant::now",
    "SystemTime::now",
    "rand::rng",
    "rand::random",
    "getrandom",
    "fastrand::u8",
    "fastrand::u32",
    "fastrand::u64",
    "fastrand::usize",
    "fastrand::bool",
    "fastrand::shuffle",
    "fastrand::seed",
    "Rng::new",
    "println",
    "eprintln",
    "dbg",
];

const RULES: &[Rule] = &[
    Rule {
        folder: "proto",
        except: &[],
        forbidden: OUTSIDE_WORLD,
        reason: "the core is sans-IO: time, randomness and bytes are handed in",
    },
    Rule {
        folder: "mpegts",
        except: &[],
        forbidden: OUTSIDE_WORLD,
        reason: "the cutter is sans-IO: bytes and time are handed in",
    },
    Rule {
        folder: "proto",
        except: &[],
        forbidden: GSTREAMER,
        reason: "only elements know GStreamer",
    },
    Rule {
        folder: "mpegts",
        except: &[],
        forbidden: GSTREAMER,
        reason: "only elements know GStreamer",
    },
    Rule {
        folder: "net",
        except: &[],
        forbidden: GSTREAMER,
        reason: "only elements know GStreamer",
    },
    Rule {
        folder: "",
        except: &["net/runtime.rs"],
        forbidden: &["async_std", "async_io", "rustix"],
        reason: "net/runtime.rs is the one file to change the day async-std is replaced",
    },
    Rule {
        folder: "proto",
        except: &[],
        forbidden: &[
            "crate::net",
            "crate::mpegts",
            "crate::livetorrentsink",
            "crate::livetorrentsrc",
        ],
        reason: "the core stands alone",
    },
    Rule {
        folder: "mpegts",
        except: &[],
        forbidden: &[
            "crate::net",
            "crate::proto",
            "crate::livetorrentsink",
            "crate::livetorrentsrc",
        ],
        reason: "the cutter stands alone",
    },
    Rule {
        folder: "net",
        except: &[],
        forbidden: &[
            "crate::mpegts",
            "crate::livetorrentsink",
            "crate::livetorrentsrc",
        ],
        reason: "the driver does not know who drives it",
    },
    Rule {
        folder: "livetorrentsink",
        except: &[],
        forbidden: &["crate::livetorrentsrc"],
        reason: "the elements share the core, not each other",
    },
    Rule {
        folder: "livetorrentsrc",
        except: &[],
        forbidden: &["crate::livetorrentsink"],
        reason: "the elements share the core, not each other",
    },
];

/// A name where it may not be.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    path: String,
    reason: &'static str,
}

/// Code without comments, strings, characters and the tests at the bottom, all on one line.
fn bare_code(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            string_len(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    match code.find("#[cfg(test)]\nmod ") {
        Some(tests) => code[..tests].to_owned(),
        None => code,
    }
}

/// Bytes of the string literal that `text` starts with, quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Every path that the code names: `a::{b, c::d}` gives `a::b` and `a::c::d`, with `self` and
/// `super` resolved for a file of the module `module` (its path below the crate).
fn paths(code: &str, module: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        rest = &rest[at..];
        rest = read_path(rest, &mut Vec::new(), module, &mut found);
    }
    found
}

/// Reads the path that `text` starts with below `prefix`, groups included; what is left over.
fn read_path<'a>(
    text: &'a str,
    prefix: &mut Vec<String>,
    module: &[String],
    found: &mut Vec<String>,
) -> &'a str {
    let depth = prefix.len();
    let mut rest = text;
    loop {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        prefix.push(rest[..end].to_owned());
        rest = &rest[end..];
        let Some(below) = rest.trim_start().strip_prefix("::") else {
            break;
        };
        rest = below.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            rest = read_group(group, prefix, module, found);
            prefix.truncate(depth);
            return rest;
        }
        if !rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            break;
        }
    }
    found.push(resolve(prefix, module));
    prefix.truncate(depth);
    rest
}

/// Reads the members of `{…}` below `prefix`, the opening brace taken already.
fn read_group<'a>(
    text: &'a str,
    prefix: &mut Vec<String>,
    module: &[String],
    found: &mut Vec<String>,
) -> &'a str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == '*');
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        if !rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return rest;
        }
        rest = read_path(rest, prefix, module, found);
        // `a as b`
        if let Some(renamed) = rest.trim_start().strip_prefix("as ") {
            let end = renamed.find([',', '}']).unwrap_or(renamed.len());
            rest = &renamed[end..];
        }
    }
}

/// The path from the crate's root where it starts with `self` or `super`; else as it stands.
fn resolve(path: &[String], module: &[String]) -> String {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let relative = match path[0].as_str() {
        "super" => &path[ups..],
        "self" => &path[1..],
        _ => return path.join("::"),
    };
    let base = &module[..module.len().saturating_sub(ups)];
    let mut whole = vec!["crate".to_owned()];
    whole.extend(base.iter().chain(relative).cloned());
    whole.join("::")
}

/// The module that the file `name` (relative to `src`) is.
fn module_of(name: &str) -> Vec<String> {
    let mut module: Vec<String> = name
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

fn is_below(path: &str, name: &str) -> bool {
    path.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What one file, `name` relative to `src`, breaks.
fn check(name: &str, source: &str) -> Vec<Violation> {
    let applying: Vec<&Rule> = RULES
        .iter()
        .filter(|rule| rule.folder.is_empty() || name.starts_with(&format!("{}/", rule.folder)))
        .filter(|rule| !rule.except.contains(&name))
        .collect();
    let mut violations = Vec::new();
    for path in paths(&bare_code(source), &module_of(name)) {
        for rule in &applying {
            if rule.forbidden.iter().any(|name| is_below(&path, name)) {
                violations.push(Violation {
                    file: name.to_owned(),
                    path: path.clone(),
                    reason: rule.reason,
                });
            }
        }
    }
    violations
}

/// Calls `visit` with the name, relative to `src`, and the text of every file below `folder`.
fn each_file(folder: &Path, src: &Path, visit: &mut impl FnMut(&str, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, src, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(src).unwrap().to_str().unwrap();
            visit(name, &fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn no_import_goes_the_wrong_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut violations = Vec::new();
    let mut files = 0;
    each_file(&src, &src, &mut |name, text| {
        files += 1;
        violations.extend(check(name, text));
    });
    assert!(files > 15, "only {files} files in {}", src.display());
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn no_file_but_the_elements_and_the_root_names_gstreamer() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut knowing = Vec::new();
    each_file(&src, &src, &mut |name, text| {
        let code = bare_code(text);
        let knows = paths(&code, &module_of(name))
            .iter()
            .any(|path| GSTREAMER.iter().any(|root| is_below(path, root)));
        if knows {
            knowing.push(name.to_owned());
        }
    });
    // What the elements share of GStreamer's types is in `common`.
    let may = ["common/", "livetorrentsink/", "livetorrentsrc/"];
    knowing.retain(|name| name != "lib.rs" && !may.iter().any(|folder| name.starts_with(folder)));
    assert!(knowing.is_empty(), "{knowing:?}");
}

#[test]
fn the_checker_finds_what_is_planted() {
    let planted = [
        ("proto/swarm.rs", "use gst::prelude::*;", "gst::prelude"),
        (
            "proto/a.rs",
            "use crate::{net::Driver, proto};",
            "crate::net::Driver",
        ),
        ("proto/a.rs", "use super::super::mpegts;", "crate::mpegts"),
        (
            "proto/wire/mod.rs",
            "use super::super::net::X;",
            "crate::net::X",
        ),
        (
            "proto/a.rs",
            "fn f() { std::time::Instant::now(); }",
            "std::time::Instant::now",
        ),
        (
            "proto/a.rs",
            "use std::{time::{Duration, Instant}};",
            "std::time::Instant",
        ),
        (
            "proto/a.rs",
            "fn f() { let _ = Instant :: now(); }",
            "Instant::now",
        ),
        ("proto/a.rs", "fn f() { println!(\"x\"); }", "println"),
        (
            "mpegts/pcr.rs",
            "use crate::proto::piece;",
            "crate::proto::piece",
        ),
        ("net/mod.rs", "use glib::Object;", "glib::Object"),
        ("net/http.rs", "use async_std::net;", "async_std::net"),
        (
            "net/http.rs",
            "use crate::livetorrentsink as s;",
            "crate::livetorrentsink",
        ),
        (
            "livetorrentsrc/imp.rs",
            "use crate::livetorrentsink::x;",
            "crate::livetorrentsink::x",
        ),
        (
            "livetorrentsink/imp.rs",
            "/* a */ use async_std as a;",
            "async_std",
        ),
    ];
    for (file, code, path) in planted {
        let found = check(file, code);
        assert!(
            found.iter().any(|violation| violation.path == path),
            "{file}: {code}: {found:?}"
        );
    }
}

#[test]
fn the_checker_leaves_alone_what_is_allowed() {
    let allowed = [
        (
            "proto/a.rs",
            "//! Like gst::Buffer and crate::net.\nuse super::lap::Lap;",
        ),
        (
            "proto/a.rs",
            "const A: &str = \"use gst::x;\"; const Q: char = '\"'; use std::net::SocketAddr;",
        ),
        (
            "proto/a.rs",
            "use super::time::{Instant, Now}; fn rand_like() {}",
        ),
        (
            "proto/a.rs",
            "struct A;\n#[cfg(test)]\nmod tests { use std::time::Instant; }",
        ),
        (
            "net/mod.rs",
            "use std::{io, net::TcpListener, time::Instant}; use crate::proto::swarm;",
        ),
        ("net/runtime.rs", "use async_std::task;"),
        (
            "livetorrentsink/imp.rs",
            "use gst::glib; use crate::{mpegts, net, proto};",
        ),
        ("lib.rs", "gst::plugin_define!(livetorrent);"),
    ];
    for (file, code) in allowed {
        assert_eq!(check(file, code), [], "{file}: {code}");
    }
}
