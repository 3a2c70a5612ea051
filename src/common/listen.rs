// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Opening the one port of a peer.

use std::{io, net::IpAddr};

use crate::net::Listener;

use super::split_list;

/// Every address of this host, IPv4 and IPv6.
pub(crate) const ANY: &str = "0.0.0.0,::";

/// Listens at `port` on each of the comma-separated `addresses`.
///
/// # Errors
/// One that names what cannot be listened on.
pub(crate) fn bind(addresses: &str, port: u16) -> Result<Listener, gst::ErrorMessage> {
    let parsed = self::addresses(addresses)?;
    // The socket's error says which address and port, and why not.
    Listener::bind(&parsed, port).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::AddrInUse => gst::ResourceError::Busy,
            _ => gst::ResourceError::OpenReadWrite,
        };
        gst::error_msg!(code, ("{}", capitalised(&error.to_string())))
    })
}

/// `text` as the start of a sentence.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).collect()
}

/// Reads the property `address`.
///
/// # Errors
/// Names what is no address, or says that there is none.
pub(crate) fn addresses(addresses: &str) -> Result<Vec<IpAddr>, gst::ErrorMessage> {
    let parsed = split_list(addresses)
        .map(|address| {
            address.parse().map_err(|_| {
                gst::error_msg!(
                    gst::ResourceError::Settings,
                    ("\"{address}\" in the property address is no IP address")
                )
            })
        })
        .collect::<Result<Vec<IpAddr>, _>>()?;
    if parsed.is_empty() {
        return Err(gst::error_msg!(
            gst::ResourceError::Settings,
            ("The property address is empty")
        ));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_every_address() {
        let parsed = addresses(ANY).unwrap();
        assert_eq!(parsed.len(), 2);
        assert!(parsed.iter().all(IpAddr::is_unspecified));
    }

    #[test]
    fn a_name_is_refused_and_named() {
        gst::init().unwrap();
        let error = addresses("127.0.0.1, example").unwrap_err();
        assert!(format!("{error:?}").contains("example"), "{error:?}");
        assert!(addresses("").is_err());
    }
}
