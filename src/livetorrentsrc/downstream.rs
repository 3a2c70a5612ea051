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

/// What is to be done downstream about a rate that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rates {
    /// Sinks that keep time have to be told, and can be.
    Told,
    /// Nobody keeps time there: bytes are written, muxed or sent on as they come.
    Needless,
    /// It cannot be told without harm.
    Refused,
}

/// What becomes of an event that leaves a source pad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// Nothing is linked there. A pad keeps the event for later, which is no error.
    Unlinked,
    /// It ends where nobody keeps time.
    Timeless,
    /// The same, in parts that begin anew: a change while one ends can stop the stream for good.
    InParts,
    /// It is taken wherever it goes, and by some who keep time.
    Open,
    /// An element gets it that has nobody to hand it to, and calls that an error.
    Blocked,
}

/// What to do about an instant-rate-change event that would leave `pad`.
///
/// The event is sticky: where an element cannot hand it on (`GstMultiQueue` and the decoders behind
/// it do not where nobody takes their stream) each buffer brings it again, fails with it, and ends
/// the stream for all. So it must not go out to see whether it is taken.
pub(super) fn rates(pad: &gst::Pad) -> Rates {
    match way(pad, DEEPEST) {
        Way::Open => Rates::Told,
        Way::Timeless | Way::InParts => Rates::Needless,
        Way::Unlinked | Way::Blocked => Rates::Refused,
    }
}

fn way(pad: &gst::Pad, depth: usize) -> Way {
    let Some(peer) = pad.peer() else {
        return Way::Unlinked;
    };
    let Some(depth) = depth.checked_sub(1) else {
        return Way::Blocked;
    };
    let element = peer.parent_element();
    if element.as_ref().is_some_and(writes_parts) {
        return Way::InParts;
    }
    let ways: Vec<Way> = peer
        .iterate_internal_links()
        .into_iter()
        .flatten()
        .map(|next| way(&next, depth))
        .collect();
    let Some(&most) = ways.iter().max() else {
        // A sink leads nowhere else.
        return element.map_or(Way::Open, |sink| end(&sink));
    };
    match most {
        Way::Unlinked => Way::Blocked,
        Way::Open if ways.contains(&Way::InParts) => Way::Blocked,
        most => most,
    }
}

/// What a sink does with the event.
fn end(sink: &gst::Element) -> Way {
    let keeps_time = sink
        .find_property("sync")
        .is_none_or(|sync| sync.value_type() != bool::static_type() || sink.property("sync"));
    if keeps_time { Way::Open } else { Way::Timeless }
}

/// Whether this is a `splitmuxsink`, by itself or within `hlssink2`: what is in it is linked anew for each
/// part.
fn writes_parts(element: &gst::Element) -> bool {
    element.type_().name() == "GstSplitMuxSink"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done about rates behind the element `src` of this pipeline.
    fn behind(description: &str) -> Rates {
        gst::init().unwrap();
        let pipeline = gst::parse::launch(description).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let src = pipeline.by_name("src").unwrap();
        rates(&src.static_pad("src").unwrap())
    }

    #[test]
    fn a_sink_that_keeps_time_is_told_through_whatever_leads_to_it() {
        for pipeline in [
            "fakesrc name=src ! fakesink sync=true",
            "fakesrc name=src ! queue ! identity ! fakesink sync=true",
            "fakesrc name=src ! tee name=t t. ! queue ! fakesink sync=true t. ! filesink",
            "fakesrc name=src ! multiqueue name=q q. ! fakesink sync=true fakesrc ! q. q. ! fakesink",
        ] {
            assert_eq!(behind(pipeline), Rates::Told, "{pipeline}");
        }
    }

    #[test]
    fn who_keeps_no_time_need_not_be_told() {
        for pipeline in [
            "fakesrc name=src ! fdsink",
            "fakesrc name=src ! tee name=t t. ! queue ! filesink t. ! fakesink",
            "fakesrc name=src ! queue ! splitmuxsink muxer=matroskamux location=%d",
        ] {
            assert_eq!(behind(pipeline), Rates::Needless, "{pipeline}");
        }
    }

    #[test]
    fn an_element_that_nothing_follows_takes_none() {
        for pipeline in [
            "fakesrc name=src ! queue",
            "fakesrc name=src ! tee name=t t. ! queue ! fakesink t. ! queue",
        ] {
            assert_eq!(behind(pipeline), Rates::Refused, "{pipeline}");
        }
    }

    #[test]
    fn what_is_written_in_parts_is_not_told_even_beside_a_sink_that_keeps_time() {
        let pipeline = "fakesrc name=src ! tee name=t t. ! queue ! fakesink sync=true \
            t. ! queue ! splitmuxsink muxer=matroskamux location=%d";
        assert_eq!(behind(pipeline), Rates::Refused);
    }

    #[test]
    fn a_pad_that_nothing_is_linked_to_is_no_obstacle_beside_one_that_is() {
        gst::init().unwrap();
        let pipeline = gst::parse::launch("fakesrc name=src ! tee name=t ! fakesink sync=true");
        let pipeline = pipeline.unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let tee = pipeline.by_name("t").unwrap();
        let unlinked = tee.request_pad_simple("src_%u").unwrap();
        assert!(unlinked.peer().is_none());
        let src = pipeline.by_name("src").unwrap();
        assert_eq!(rates(&src.static_pad("src").unwrap()), Rates::Told);
    }
}
