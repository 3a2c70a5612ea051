// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The two elements as users have them: real pipelines, real encoders, real sockets on loopback, and
//! where it says so real processes of `gst-launch-1.0`.

mod addresses;
mod bad_input;
mod broadcast;
mod clock_wrap;
mod codecs;
mod discovery;
mod distance;
mod durability;
mod hostile;
mod keys;
mod pause;
mod relay;
mod restart;
mod shutdown;
mod status;
mod story;
mod support;
mod uris;
mod wrap;
