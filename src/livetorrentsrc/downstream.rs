// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Whether what is downstream can be told to play faster or slower.

use gst::prelude::*;

/// Elements one behind the other that are looked at; players have some thirty.
const DEEPEST: usize = 200;

/// What becomes of an event that leaves a source pad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is taken wherever it goes.
    Open,
    /// Nothing is linked there. A pad keeps the event for later, which is no error.
    Unlinked,
    /// An element gets it that has nobody to hand it to, and calls that an error.
    Blocked,
}

/// Whether an instant-rate-change event that leaves `pad` is taken on every way downstream.
///
/// The event is sticky: where an element cannot hand it on (`GstMultiQueue` and the decoders behind
/// it do not where nobody takes their stream) each buffer brings it again, fails with it, and ends
/// the stream for all. So it must not go out to see whether it is taken.
pub(super) fn takes_rates(pad: &gst::Pad) -> bool {
    way(pad, DEEPEST) == Way::Open
}

fn way(pad: &gst::Pad, depth: usize) -> Way {
    let Some(peer) = pad.peer() else {
        return Way::Unlinked;
    };
    let Some(depth) = depth.checked_sub(1) else {
        return Way::Blocked;
    };
    let ways: Vec<Way> = peer
        .iterate_internal_links()
        .into_iter()
        .flatten()
        .map(|next| way(&next, depth))
        .collect();
    // A sink leads nowhere else.
    if ways.is_empty() {
        return Way::Open;
    }
    let blocked = ways.contains(&Way::Blocked) || !ways.contains(&Way::Open);
    if blocked { Way::Blocked } else { Way::Open }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether rates are taken behind the element `src` of this pipeline.
    fn takes(description: &str) -> bool {
        gst::init().unwrap();
        let pipeline = gst::parse::launch(description).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let src = pipeline.by_name("src").unwrap();
        takes_rates(&src.static_pad("src").unwrap())
    }

    #[test]
    fn a_sink_takes_rates_through_whatever_leads_to_it() {
        assert!(takes("fakesrc name=src ! fakesink"));
        assert!(takes("fakesrc name=src ! queue ! identity ! fakesink"));
        assert!(takes(
            "fakesrc name=src ! tee name=t t. ! queue ! fakesink t. ! fakesink"
        ));
        assert!(takes(
            "fakesrc name=src ! multiqueue name=q q. ! fakesink fakesrc ! q. q. ! fakesink"
        ));
    }

    #[test]
    fn an_element_that_nothing_follows_takes_none() {
        assert!(!takes("fakesrc name=src ! queue"));
        assert!(!takes(
            "fakesrc name=src ! tee name=t t. ! queue ! fakesink t. ! queue"
        ));
    }

    #[test]
    fn a_pad_that_nothing_is_linked_to_is_no_obstacle_beside_one_that_is() {
        gst::init().unwrap();
        let pipeline = gst::parse::launch("fakesrc name=src ! tee name=t ! fakesink").unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let tee = pipeline.by_name("t").unwrap();
        let unlinked = tee.request_pad_simple("src_%u").unwrap();
        assert!(unlinked.peer().is_none());
        let src = pipeline.by_name("src").unwrap();
        assert!(takes_rates(&src.static_pad("src").unwrap()));
    }
}
