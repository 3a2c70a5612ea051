// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Where a `.tstream` is: a path, a URL, or a link that says it all.

use std::{fs::File, io::Read, path::PathBuf};

use crate::proto::{
    metainfo::{MAX_LEN, Metainfo, MetainfoError},
    uri,
};

/// The scheme of the URI handler, with its colon.
const SCHEME: &str = "livetorrent:";

/// Where a `.tstream` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A file on this machine.
    File(PathBuf),
    /// An http or https URL.
    Http(String),
    /// `livetorrent:?xt=…`, all that is needed in itself.
    Link(String),
}

/// Why a stream cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Nothing was given.
    #[error("no location was given")]
    Empty,
    /// Another scheme than those that are read.
    #[error("the scheme of \"{0}\" is none of file, http, https and livetorrent")]
    Scheme(String),
    /// A file URI that names no local file.
    #[error("\"{0}\" names no local file")]
    NoFile(String),
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// It is no `.tstream` that this version reads.
    #[error("{location}: {error}")]
    Metainfo {
        /// Where it came from.
        location: String,
        /// What is wrong with it.
        error: MetainfoError,
    },
    /// It could not be fetched.
    #[error("{0}")]
    Fetch(String),
}

impl Location {
    /// What `location` means.
    ///
    /// # Errors
    /// Where it is empty or of another scheme.
    pub(super) fn parse(location: &str) -> Result<Self, OpenError> {
        let scheme = location.split_once(':').map(|(scheme, _)| scheme);
        match scheme.map(str::to_ascii_lowercase).as_deref() {
            Some("http" | "https") => Ok(Self::Http(location.into())),
            Some("file") => local_file(location, location),
            Some("livetorrent") => {
                let rest = &location[SCHEME.len()..];
                if rest.starts_with("//") {
                    local_file(&format!("file:{rest}"), location)
                } else {
                    Ok(Self::Link(location.into()))
                }
            }
            Some(_) if location.contains("://") => Err(OpenError::Scheme(location.into())),
            _ if location.is_empty() => Err(OpenError::Empty),
            _ => Ok(Self::File(location.into())),
        }
    }

    /// As a URI of our scheme, where there is one.
    pub(super) fn to_uri(&self) -> Option<String> {
        match self {
            Self::Link(link) => Some(link.clone()),
            Self::Http(_) => None,
            Self::File(path) => {
                let path = std::path::absolute(path).ok()?;
                let uri = glib::filename_to_uri(path, None).ok()?;
                Some(format!("{SCHEME}{}", uri.strip_prefix("file:")?))
            }
        }
    }

    /// Reads what is on this machine; `None`: it has to be fetched first.
    ///
    /// # Errors
    /// Where it cannot be read or is no `.tstream`.
    pub(super) fn read(&self) -> Result<Option<Metainfo>, OpenError> {
        match self {
            Self::Http(_) => Ok(None),
            Self::Link(link) => uri::parse(link)
                .map(Some)
                .map_err(|error| OpenError::Metainfo {
                    location: shorten(link),
                    error,
                }),
            Self::File(path) => {
                let name = path.display().to_string();
                let bytes = read_file(path).map_err(|error| OpenError::Io {
                    path: name.clone(),
                    error,
                })?;
                parse(&name, &bytes).map(Some)
            }
        }
    }
}

/// Reads a `.tstream` that came from `location`.
///
/// # Errors
/// Where it is none.
pub(super) fn parse(location: &str, bytes: &[u8]) -> Result<Metainfo, OpenError> {
    Metainfo::parse(bytes).map_err(|error| OpenError::Metainfo {
        location: location.into(),
        error,
    })
}

impl From<OpenError> for gst::ErrorMessage {
    fn from(error: OpenError) -> Self {
        use std::io::ErrorKind;
        match &error {
            OpenError::Empty => gst::error_msg!(
                gst::ResourceError::NotFound,
                ("No .tstream file given for reading"),
                ["the property location is not set"]
            ),
            OpenError::Io { path, error } if error.kind() == ErrorKind::NotFound => {
                gst::error_msg!(gst::ResourceError::NotFound, ("There is no file {path}"))
            }
            OpenError::Scheme(_) | OpenError::NoFile(_) => {
                gst::error_msg!(gst::ResourceError::Settings, ("{error}"))
            }
            OpenError::Io { .. } | OpenError::Fetch(_) => {
                gst::error_msg!(gst::ResourceError::OpenRead, ("Cannot read {error}"))
            }
            OpenError::Metainfo { .. } => {
                gst::error_msg!(gst::StreamError::WrongType, ("Cannot use {error}"))
            }
        }
    }
}

fn local_file(uri: &str, location: &str) -> Result<Location, OpenError> {
    // The part of a probe like `livetorrent://` that would name the file is empty.
    match glib::filename_from_uri(uri) {
        Ok((path, None)) => Ok(Location::File(path)),
        Ok((path, Some(host))) if host == "localhost" => Ok(Location::File(path)),
        _ => Err(OpenError::NoFile(location.into())),
    }
}

/// The whole file, or one byte more than a `.tstream` may have.
fn read_file(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_LEN).unwrap_or(u64::MAX) + 1;
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Enough of a link to know it by.
fn shorten(link: &str) -> String {
    const SHOWN: usize = 80;
    if link.chars().count() <= SHOWN {
        return link.into();
    }
    let start: String = link.chars().take(SHOWN).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(location: &str) -> Option<PathBuf> {
        match Location::parse(location) {
            Ok(Location::File(path)) => Some(path),
            _ => None,
        }
    }

    #[test]
    fn paths_and_file_uris_name_files() {
        assert_eq!(file("foo.tstream"), Some("foo.tstream".into()));
        assert_eq!(file("/a/b:c.tstream"), Some("/a/b:c.tstream".into()));
        assert_eq!(file("file:///a%20b.tstream"), Some("/a b.tstream".into()));
        assert_eq!(file("livetorrent:///a%20b"), Some("/a b".into()));
    }

    #[test]
    fn urls_and_links_are_told_apart() {
        let http = "http://h:1/foo.tstream";
        assert_eq!(Location::parse(http).unwrap(), Location::Http(http.into()));
        let link = "livetorrent:?xt=urn:btih:00";
        assert_eq!(Location::parse(link).unwrap(), Location::Link(link.into()));
    }

    #[test]
    fn what_is_no_location_is_refused() {
        assert!(matches!(Location::parse(""), Err(OpenError::Empty)));
        let other = Location::parse("ftp://h/foo.tstream");
        assert!(matches!(other, Err(OpenError::Scheme(_))));
        let host = Location::parse("livetorrent://example/foo");
        assert!(matches!(host, Err(OpenError::NoFile(_))));
    }

    #[test]
    fn a_file_has_an_absolute_uri_that_leads_back() {
        let uri = Location::parse("some dir/foo.tstream").unwrap().to_uri();
        let uri = uri.unwrap();
        assert!(uri.starts_with("livetorrent:///"), "{uri}");
        let path = file(&uri).unwrap();
        assert!(path.ends_with("some dir/foo.tstream"), "{path:?}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Location::parse("/nonexistent/foo.tstream").unwrap().read();
        assert!(error.unwrap_err().to_string().contains("/nonexistent/foo"));
    }
}
