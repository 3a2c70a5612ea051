// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Files that are read with a bound and replaced as a whole.

use std::{
    ffi::OsString,
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    path::Path,
};

use tempfile::NamedTempFile;

use super::StoreError;

/// Mode of what anybody may read, less the process's umask.
const PUBLIC_MODE: u32 = 0o644;
/// Mode of the private key.
pub(super) const KEY_MODE: u32 = 0o600;

/// The directory of a file.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Opens a file for reading; nothing where there is none.
pub(super) fn open_regular(path: &Path) -> Result<Option<File>, StoreError> {
    let failed = |problem: io::Error| match problem.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(StoreError::Read {
            path: path.to_owned(),
            problem,
        }),
    };
    // Before it is opened: a named pipe would wait for a writer.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => File::open(path).map(Some).or_else(failed),
        Ok(_) => Err(StoreError::NotAFile(path.to_owned())),
        Err(error) => failed(error),
    }
}

/// The first `limit` bytes of a file; nothing where there is none.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(file) = open_regular(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    match file.take(limit).read_to_end(&mut bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(problem) => Err(StoreError::Read {
            path: path.to_owned(),
            problem,
        }),
    }
}

/// What the name of a temporary file ends with, after as many characters as make it unique.
const TEMPORARY_SUFFIX: &str = ".new";
const UNIQUE_LEN: usize = 6;

/// What the name of a temporary file for `path` begins with.
fn temporary_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// A new file of this mode in the directory of `path`, removed unless it is kept.
pub(super) fn temporary(path: &Path, mode: u32) -> Result<NamedTempFile, StoreError> {
    let prefix = temporary_prefix(path);
    let mut builder = tempfile::Builder::new();
    builder
        .prefix(&prefix)
        .suffix(TEMPORARY_SUFFIX)
        .rand_bytes(UNIQUE_LEN);
    #[cfg(unix)]
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode));
    builder
        .tempfile_in(directory(path))
        .map_err(|error| StoreError::Create {
            path: path.to_owned(),
            // The kind alone: tempfile's text has the temporary file's name in it.
            problem: error.kind(),
        })
}

/// Removes temporary files that a killed process left beside `path`, or beside what the link there
/// leads to. What cannot be removed stays: it is in nobody's way.
pub(super) fn sweep(path: &Path) {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let prefix = temporary_prefix(&target);
    let prefix = prefix.as_encoded_bytes();
    let length = prefix.len() + UNIQUE_LEN + TEMPORARY_SUFFIX.len();
    for entry in fs::read_dir(directory(&target)).into_iter().flatten() {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.len() == length
            && name.starts_with(prefix)
            && name.ends_with(TEMPORARY_SUFFIX.as_bytes())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Replaces what is at `path`, or behind the link there, as a whole and durably.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = |problem| StoreError::Write {
        path: path.to_owned(),
        problem,
    };
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut temporary = temporary(&target, PUBLIC_MODE)?;
    temporary.write_all(bytes).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary
        .persist(&target)
        .map_err(|error| failed(error.error))?;
    sync_directory(directory(&target)).map_err(failed)
}

/// Makes a rename in `dir` last through a power cut.
#[cfg(unix)]
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        // Some file systems have nothing to sync there and say so.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

#[cfg(not(unix))]
pub(super) fn sync_directory(_dir: &Path) -> io::Result<()> {
    Ok(())
}
