// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Numbers of nodes: their distance, and how they follow from addresses (BEP 42).

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crc::{CRC_32_ISCSI, Crc};
use fastrand::Rng;

use crate::proto::{
    address::{Family, Scope},
    metainfo::Infohash,
};

/// CRC32C, as BEP 42 has it.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What counts of an address of either family, from its first byte on.
const MASK_V4: u64 = 0x030f_3fff;
const MASK_V6: u64 = 0x0103_070f_1f3f_7fff;

/// The number of a node, or of what is looked for: both live in one space of 160 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 20]);

impl NodeId {
    /// Any number.
    pub(super) fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; 20];
        rng.fill(&mut bytes);
        Self(bytes)
    }

    /// A number that a node at this address may have.
    pub(super) fn of_address(address: IpAddr, rng: &mut Rng) -> Self {
        let mut id = Self::random(rng);
        let crc = crc_of_address(address, id.0[19]).to_be_bytes();
        id.0[..2].copy_from_slice(&crc[..2]);
        id.0[2] = crc[2] & 0xf8 | id.0[2] & 0x07;
        id
    }

    /// Whether a node at this address may have this number; in local networks any may.
    pub(super) fn fits(self, address: IpAddr) -> bool {
        if Scope::of(address) != Scope::Public {
            return true;
        }
        let crc = crc_of_address(address, self.0[19]).to_be_bytes();
        self.0[..2] == crc[..2] && self.0[2] & 0xf8 == crc[2] & 0xf8
    }

    /// How far two numbers are from each other.
    pub(super) fn distance(self, other: Self) -> Distance {
        let mut distance = self.0;
        distance
            .iter_mut()
            .zip(other.0)
            .for_each(|(byte, other)| *byte ^= other);
        Distance(distance)
    }
}

impl From<Infohash> for NodeId {
    fn from(infohash: Infohash) -> Self {
        Self(infohash.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The difference of two numbers (BEP 5: XOR), to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Distance([u8; 20]);

impl Distance {
    /// Bits that both numbers begin with: 160 for the same.
    pub(super) fn common_bits(self) -> usize {
        let same = self.0.iter().take_while(|&&byte| byte == 0).count();
        let rest = self.0.get(same).map_or(0, |byte| byte.leading_zeros());
        8 * same + rest as usize
    }
}

/// A node and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) id: NodeId,
    pub(super) address: SocketAddr,
}

/// The number that BEP 42 derives from an address and three bits of `r`.
fn crc_of_address(address: IpAddr, r: u8) -> u32 {
    let r = u64::from(r & 7);
    match (address.to_canonical(), Family::of(address)) {
        (IpAddr::V4(ip), _) => {
            let masked = u64::from(ip.to_bits()) & MASK_V4 | r << 29;
            CRC32C.checksum(&masked.to_be_bytes()[4..])
        }
        (IpAddr::V6(ip), _) => {
            let high = u64::from_be_bytes(ip.octets()[..8].try_into().unwrap_or_default());
            CRC32C.checksum(&(high & MASK_V6 | r << 61).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(hex: &str) -> NodeId {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        NodeId(bytes.try_into().unwrap())
    }

    #[test]
    fn the_numbers_of_bep_42_fit_their_addresses() {
        for (address, number) in [
            ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
            ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
            ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
            ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
            ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let number = id(number);
            assert!(number.fits(address), "{address}");
            let mut other = number;
            other.0[1] ^= 1;
            assert!(!other.fits(address));
            // The low bits of the third byte are free.
            other = number;
            other.0[2] ^= 7;
            assert!(other.fits(address));
        }
    }

    #[test]
    fn a_number_made_for_an_address_fits_it_and_in_local_networks_any_does() {
        let mut rng = Rng::with_seed(1);
        for address in ["9.8.7.6", "2001:db8:1:2:3:4:5:6"] {
            let address: IpAddr = address.parse().unwrap();
            let made = NodeId::of_address(address, &mut rng);
            assert!(made.fits(address));
            let any = NodeId::random(&mut rng);
            assert!(!any.fits(address));
            assert!(any.fits("127.0.0.1".parse().unwrap()) && any.fits("fd00::1".parse().unwrap()));
        }
    }

    #[test]
    fn distances_order_by_the_first_bit_that_differs() {
        let zero = NodeId([0; 20]);
        let mut near = zero;
        near.0[19] = 1;
        let mut far = zero;
        far.0[0] = 0x10;
        assert!(zero.distance(near) < zero.distance(far));
        assert_eq!(zero.distance(zero).common_bits(), 160);
        assert_eq!(zero.distance(near).common_bits(), 159);
        assert_eq!(zero.distance(far).common_bits(), 3);
    }
}
