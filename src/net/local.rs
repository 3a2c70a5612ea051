// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The addresses of ours that the user lets us speak from: whoever names the address of one interface
//! wants nothing to leave by another.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
};

use crate::proto::address::Family;

/// Any port will do (RFC 863 discard): no packet is sent.
const DISCARD: u16 = 9;

/// What we may speak from.
#[derive(Debug, Clone)]
pub(super) struct Local(Arc<[IpAddr]>);

impl Local {
    /// From `addresses`; an unspecified one allows all of its family.
    pub(super) fn new(addresses: &[IpAddr]) -> Self {
        Self(addresses.into())
    }

    /// Which address to speak from to reach `far`; none: as the system likes.
    ///
    /// # Errors
    /// Where no address of that family is allowed.
    pub(super) fn towards(&self, far: IpAddr) -> io::Result<Option<IpAddr>> {
        let family = Family::of(far);
        let ours = || {
            self.0
                .iter()
                .copied()
                .filter(|&ip| Family::of(ip) == family)
        };
        if ours().any(|ip| ip.is_unspecified()) {
            return Ok(None);
        }
        let Some(first) = ours().next() else {
            let reason = "the property address has none of that family";
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, reason));
        };
        // Of several the one that the system would take, where that is among them.
        let usual = ours().nth(1).and_then(|_| usual_address_towards(far));
        Ok(usual
            .filter(|&ip| ours().any(|other| other == ip))
            .or(Some(first)))
    }
}

/// The address that the system would speak from to reach `far`. Nothing without a route.
pub(super) fn usual_address_towards(far: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(any(far), 0)).ok()?;
    socket.connect(SocketAddr::new(far, DISCARD)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The unspecified address of the family of `far`.
pub(super) const fn any(far: IpAddr) -> IpAddr {
    use std::net::{Ipv4Addr, Ipv6Addr};
    match far {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
impl Local {
    /// From anywhere.
    pub(super) fn anywhere() -> Self {
        Self::new(&[any(IpAddr::from([0; 4])), any(IpAddr::from([0; 16]))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn towards(ours: &[&str], far: &str) -> Result<Option<String>, io::ErrorKind> {
        let ours: Vec<IpAddr> = ours.iter().map(|ip| ip.parse().unwrap()).collect();
        let towards = Local::new(&ours).towards(far.parse().unwrap());
        let towards = towards.map_err(|error| error.kind())?;
        Ok(towards.map(|ip| ip.to_string()))
    }

    #[test]
    fn whoever_names_an_address_speaks_from_it_and_from_no_other() {
        assert_eq!(towards(&["0.0.0.0", "::"], "192.0.2.1"), Ok(None));
        assert_eq!(towards(&["0.0.0.0", "10.0.0.1"], "192.0.2.1"), Ok(None));
        let one = ["10.0.0.1", "::"];
        assert_eq!(towards(&one, "192.0.2.1"), Ok(Some("10.0.0.1".into())));
        assert_eq!(towards(&one, "2001:db8::1"), Ok(None));
        let none = Err(io::ErrorKind::AddrNotAvailable);
        assert_eq!(towards(&["10.0.0.1"], "2001:db8::1"), none);
    }

    #[test]
    fn of_several_addresses_it_is_the_one_that_the_system_would_take() {
        let several = ["10.255.0.1", "127.0.0.1"];
        assert_eq!(towards(&several, "127.0.0.1"), Ok(Some("127.0.0.1".into())));
        let foreign = ["10.255.0.1", "10.255.0.2"];
        assert_eq!(
            towards(&foreign, "127.0.0.1"),
            Ok(Some("10.255.0.1".into()))
        );
    }
}
