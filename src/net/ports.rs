// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Where peers come in: at one port, which a router may show to those outside as another.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use crate::proto::address::Scope;

/// Our port, as each end knows it.
#[derive(Debug, Clone)]
pub(super) struct Ports {
    local: u16,
    outside: Arc<AtomicU16>,
}

impl Ports {
    /// The same port for all; 0: nobody is let in.
    pub(super) fn new(local: u16) -> Self {
        Self {
            local,
            outside: Arc::new(local.into()),
        }
    }

    /// For those on this host and its networks.
    pub(super) const fn local(&self) -> u16 {
        self.local
    }

    /// For those outside.
    pub(super) fn outside(&self) -> u16 {
        self.outside.load(Ordering::Relaxed)
    }

    /// For this one. Routers translate IPv4 only.
    pub(super) fn towards(&self, far: IpAddr) -> u16 {
        match Scope::of(far) {
            Scope::Public if far.to_canonical().is_ipv4() => self.outside(),
            Scope::Public | Scope::Private | Scope::Loopback => self.local,
        }
    }

    /// Those outside come in there from now on; whether that is another port than before.
    pub(super) fn set_outside(&self, port: u16) -> bool {
        self.outside.swap(port, Ordering::Relaxed) != port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_port_is_told_to_those_outside_only() {
        let ports = Ports::new(7764);
        let shared = ports.clone();
        assert!(!shared.set_outside(7764));
        assert!(shared.set_outside(40_000));
        let towards = |far: &str| ports.towards(far.parse().unwrap());
        assert_eq!(towards("198.51.100.1"), 40_000);
        for near in ["127.0.0.1", "192.168.1.9", "fd00::1", "2001:db8::1"] {
            assert_eq!(towards(near), 7764);
        }
        assert_eq!((ports.local(), ports.outside()), (7764, 40_000));
    }
}
