// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! MPEG transport streams (ISO/IEC 13818-1): where a decoder can start and where time stands.
//!
//! Bytes of any split go through an [`Aligner`], its packets through a [`Cutter`], which tells
//! where a piece may begin and what a decoder needs before it; [`StreamClock`] turns the packets'
//! clock references into a time that only grows.
#![forbid(unsafe_code)]

pub mod cutter;
pub mod packet;
pub mod pcr;
pub mod psi;
#[cfg(test)]
pub(crate) mod testing;

pub use cutter::{Cutter, Place};
pub use packet::{Aligner, Header, PACKET_LEN, Packet};
pub use pcr::StreamClock;
