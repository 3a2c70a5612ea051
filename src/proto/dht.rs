// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The distributed hash table of BitTorrent (BEP 5, 32, 42, 43), without IO: who watches a stream,
//! where no tracker says so.
//!
//! A [`Node`] speaks by the datagrams of one socket, of one family of addresses (BEP 32 has two tables
//! that know nothing of each other). It is handed what comes and the time, and says what to send and
//! which peers it found. It looks up one stream, and answers for any, as every node does for others.
//!
//! | file | what it is |
//! | --- | --- |
//! | `id` | numbers of nodes, their distance, and how they follow from addresses |
//! | `message` | queries and answers and their bytes |
//! | `table` | the nodes that answered, nearest best known |
//! | `lookup` | the way towards a number, from node to node |
//! | `announced` | peers that others announced here, and the tokens for it |
//! | `node` | all of it together |

mod announced;
mod id;
mod lookup;
mod message;
mod node;
mod table;

pub use id::NodeId;
pub use node::{Config, Found, Node, Output};

/// Most bytes of a datagram that are read: what one frame of an Ethernet carries.
pub const MAX_DATAGRAM: usize = 1500;
/// Nodes of a bucket, nodes in an answer, and nodes that are told of a peer (BEP 5: K).
const K: usize = 8;
