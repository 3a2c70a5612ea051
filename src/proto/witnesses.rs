// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! At which address others see us (BEP 10 `yourip`, BEP 42 `ip`): never believed from one.

use std::{collections::VecDeque, net::IpAddr};

use super::address::network;

/// Most that are remembered, each of a network of its own.
const MAX_WITNESSES: usize = 16;

/// Who saw us where, the newest first. Of one family: a host has an address of each.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    /// The witness's network, and our address.
    said: VecDeque<(IpAddr, IpAddr)>,
}

impl Witnesses {
    /// Somebody at `from` sees us at `ours`; whether `enough` networks, and most of them, say the same.
    pub(super) fn heard(&mut self, from: IpAddr, ours: IpAddr, enough: usize) -> bool {
        let witness = network(from);
        self.said.retain(|(known, _)| *known != witness);
        self.said.truncate(MAX_WITNESSES - 1);
        self.said.push_front((witness, ours));
        let agree = self.said.iter().filter(|(_, said)| *said == ours).count();
        agree >= enough && 2 * agree > self.said.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(network: u8) -> IpAddr {
        [198, 51, 100, network].into()
    }

    #[test]
    fn several_networks_have_to_agree_and_the_last_sixteen_count() {
        let (truth, lie) = (host(200), host(201));
        let mut witnesses = Witnesses::default();
        for _ in 0..9 {
            assert!(!witnesses.heard(host(1), lie, 3), "one is one");
        }
        assert!(!witnesses.heard(host(2), truth, 3));
        assert!(!witnesses.heard(host(3), truth, 3));
        assert!(witnesses.heard(host(4), truth, 3));
        // Three of six are not most of them.
        assert!(!witnesses.heard(host(5), lie, 3));
        assert!(!witnesses.heard(host(6), lie, 3));
        for network in 0..200 {
            witnesses.heard(host(network), truth, 3);
        }
        assert_eq!(witnesses.said.len(), MAX_WITNESSES);
        // A host that moved is seen elsewhere, and by most in the end.
        let believed = (0..16).map(|network| witnesses.heard(host(network), lie, 3));
        assert_eq!(believed.filter(|believed| *believed).count(), 8);
    }

    #[test]
    fn a_network_of_ipv6_is_one_witness() {
        let ours = "2001:db8::1".parse().unwrap();
        let mut witnesses = Witnesses::default();
        for number in 1..9 {
            let from = format!("2001:db8:1::{number}").parse().unwrap();
            assert!(!witnesses.heard(from, ours, 2));
        }
        assert!(witnesses.heard("2001:db8:2::1".parse().unwrap(), ours, 2));
    }
}
