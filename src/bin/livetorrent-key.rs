// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Makes a broadcaster's key, shows whose a file is, and copies a key to a safe place; `pipelines/key.sh` runs it.
//!
//! usage: livetorrent-key make FILE.sauth | show FILE… | backup FILE.sauth COPY

use std::{
    env,
    error::Error,
    ffi::OsString,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use gstlivetorrent::proto::{
    key::{PrivateKey, PublicKey, Zeroizing},
    metainfo::{self, Metainfo},
};
use sha2::{Digest, Sha256};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The first bytes of a file, one more than any file of ours has at most. They may be a private key.
fn read(path: &Path) -> Outcome<Zeroizing<Vec<u8>>> {
    let said = |error| format!("cannot read {}: {error}", path.display());
    let limit = metainfo::MAX_LEN + 1;
    // Reserved at once, so that no smaller copy of a key stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    let file = File::open(path).map_err(said)?;
    file.take(limit as u64)
        .read_to_end(&mut bytes)
        .map_err(said)?;
    Ok(bytes)
}

fn private_key(path: &Path) -> Outcome<PrivateKey> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let said = |error| format!("{} holds no private key: {error}", path.display());
    Ok(PrivateKey::from_pem(text).map_err(said)?)
}

/// The key that signs the stream of a `.tstream`, or the public part of a private one.
fn public_key(path: &Path) -> Outcome<PublicKey> {
    let bytes = read(path)?;
    if bytes.starts_with(b"-----") {
        return Ok(private_key(path)?.public_key());
    }
    let said = |error| {
        format!(
            "{} is neither a key nor a .tstream: {error}",
            path.display()
        )
    };
    Ok(Metainfo::parse(&bytes).map_err(said)?.info.key().clone())
}

/// SHA-256 of the public key as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), in hexadecimal: what
/// `openssl pkey -pubout -outform DER | sha256sum` shows of the private key.
fn fingerprint(key: &PublicKey) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(key.to_der()))
}

/// Writes a key to a file that is not there, for its owner alone, and reads it back.
fn write(path: &Path, key: &PrivateKey) -> Outcome<()> {
    let said = |error| format!("cannot write {}: {error}", path.display());
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Made with mode 600, and seen under its name only when it is whole.
    let mut temporary = tempfile::NamedTempFile::new_in(folder)
        .map_err(|error| format!("cannot write in {}: {}", folder.display(), error.kind()))?;
    temporary
        .write_all(key.to_pem().as_bytes())
        .and_then(|()| temporary.as_file().sync_all())
        .map_err(said)?;
    temporary
        .persist_noclobber(path)
        .map_err(|error| said(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(said)?;
    if private_key(path)?.public_key() != key.public_key() {
        return Err(format!("{} does not hold what was written", path.display()).into());
    }
    Ok(())
}

fn run(words: &[OsString]) -> Outcome<()> {
    let (first, files) = words.split_first().ok_or("make, show or backup?")?;
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    match (first.to_str(), &files[..]) {
        (Some("make"), [file]) => {
            let key = PrivateKey::generate();
            write(file, &key)?;
            println!("{}  {}", fingerprint(&key.public_key()), file.display());
        }
        (Some("show"), [_, ..]) => {
            for file in &files {
                println!("{}  {}", fingerprint(&public_key(file)?), file.display());
            }
        }
        (Some("backup"), [file, copy]) => {
            let key = private_key(file)?;
            // Into a folder under the same name, as cp does.
            let copy = match file.file_name() {
                Some(name) if fs::metadata(copy).is_ok_and(|copy| copy.is_dir()) => copy.join(name),
                _ => copy.clone(),
            };
            write(&copy, &key)?;
            println!("{}  {}", fingerprint(&key.public_key()), copy.display());
        }
        _ => return Err("make FILE, show FILE…, or backup FILE COPY".into()),
    }
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("livetorrent-key: {error}");
            ExitCode::FAILURE
        }
    }
}
