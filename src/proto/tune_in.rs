// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! When a joiner knows enough to start (PROTOCOL §5, Joining).

use std::{net::IpAddr, time::Duration};

use super::{
    address::network,
    time::{Instant, Now, UnixMicros},
};

/// A tip further behind our clock than this may be a recording.
const UNCONFIRMED: Duration = Duration::from_secs(30);
/// How long a better tip than an unconfirmed one is waited for.
const BETTER: Duration = Duration::from_secs(3);
/// How long other peers are waited for after the first tip.
const OTHERS: Duration = Duration::from_secs(1);
/// The same when the first tip is [`FRESH`].
const OTHERS_FRESH: Duration = Duration::from_millis(300);
/// A tip younger than this can hardly be a recording.
const FRESH: Duration = Duration::from_secs(2);

/// What a joiner knows of the tip, and whether that is enough.
#[derive(Debug, Default)]
pub(super) struct TuneIn {
    first: Option<Instant>,
    fresh: bool,
    from_source: bool,
    one: Option<IpAddr>,
    two: bool,
    /// When the first tip came, confirmed or not.
    began: Option<Instant>,
    /// Time of the newest tip.
    best: Option<UnixMicros>,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait, at most until then.
    Wait(Option<Instant>),
    /// Start.
    Start,
    /// Start, though the tip is as old as this; go on searching.
    StartUnconfirmed(Duration),
}

/// How far a tip is behind our clock.
pub(super) fn age(wall: UnixMicros, time: UnixMicros) -> Duration {
    Duration::from_micros(wall.saturating_sub(time))
}

/// Whether a tip of this age is too old to be believed without a second look.
pub(super) fn is_unconfirmed(age: Duration) -> bool {
    age > UNCONFIRMED
}

impl TuneIn {
    /// A peer at `ip` announced a tip of this time; `best`: newer than every other, so verified.
    pub(super) fn tip(
        &mut self,
        now: Now,
        ip: IpAddr,
        is_source: bool,
        time: UnixMicros,
        best: bool,
    ) {
        self.began.get_or_insert(now.at);
        if best {
            self.best = Some(time);
        }
        // A lower tip is not verified, so its time is a claim and never counts as the later one.
        let time = self.best.map_or(0, |best| best.min(time));
        if is_unconfirmed(age(now.wall, time)) {
            return;
        }
        self.from_source |= is_source;
        match self.one {
            None => self.one = Some(network(ip)),
            Some(one) => self.two |= one != network(ip),
        }
        if self.first.is_none() {
            self.first = Some(now.at);
            self.fresh = age(now.wall, time) < FRESH;
        }
    }

    /// Whether to start now.
    pub(super) fn verdict(&self, now: Now) -> Verdict {
        let (Some(time), Some(began)) = (self.best, self.began) else {
            return Verdict::Wait(None);
        };
        if let Some(first) = self.first {
            let wait = if self.fresh { OTHERS_FRESH } else { OTHERS };
            return if self.from_source || self.two || now.at >= first + wait {
                Verdict::Start
            } else {
                Verdict::Wait(Some(first + wait))
            };
        }
        // Better is a confirmed tip. A newer one comes all the time where a stream goes on, also
        // where it is our own clock that is wrong.
        if now.at >= began + BETTER {
            Verdict::StartUnconfirmed(age(now.wall, time))
        } else {
            Verdict::Wait(Some(began + BETTER))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const WALL: u64 = 1_700_000_000_000_000;

    fn now(millis: u64) -> Now {
        Now {
            at: Instant::from_micros(millis * 1000),
            wall: WALL + millis * 1000,
        }
    }

    #[test]
    fn a_tip_from_the_source_is_enough() {
        let mut tune = TuneIn::default();
        assert_eq!(tune.verdict(now(0)), Verdict::Wait(None));
        tune.tip(now(0), A, true, WALL, true);
        assert_eq!(tune.verdict(now(0)), Verdict::Start);
    }

    #[test]
    fn two_peers_at_different_addresses_are_enough_and_two_at_one_are_not() {
        let mut tune = TuneIn::default();
        tune.tip(now(0), A, false, WALL - 10_000_000, true);
        tune.tip(now(0), A, false, WALL - 9_000_000, true);
        assert!(matches!(tune.verdict(now(1)), Verdict::Wait(Some(_))));
        tune.tip(now(1), B, false, WALL - 10_000_000, false);
        assert_eq!(tune.verdict(now(1)), Verdict::Start);
    }

    #[test]
    fn one_peer_alone_is_enough_after_a_second_or_sooner_when_fresh() {
        let mut old = TuneIn::default();
        old.tip(now(0), A, false, WALL - 10_000_000, true);
        assert_eq!(old.verdict(now(999)), Verdict::Wait(Some(now(1000).at)));
        assert_eq!(old.verdict(now(1000)), Verdict::Start);
        let mut fresh = TuneIn::default();
        fresh.tip(now(0), A, false, WALL - 1_000_000, true);
        assert_eq!(fresh.verdict(now(299)), Verdict::Wait(Some(now(300).at)));
        assert_eq!(fresh.verdict(now(300)), Verdict::Start);
    }

    #[test]
    fn a_recording_is_joined_only_when_nothing_better_came_for_three_seconds() {
        let mut tune = TuneIn::default();
        tune.tip(now(0), A, true, WALL - 3_600_000_000, true);
        tune.tip(now(0), B, false, WALL - 3_600_000_000, false);
        assert_eq!(tune.verdict(now(2999)), Verdict::Wait(Some(now(3000).at)));
        assert!(matches!(
            tune.verdict(now(3000)),
            Verdict::StartUnconfirmed(_)
        ));
        tune.tip(now(2500), A, true, WALL, true);
        assert_eq!(tune.verdict(now(2500)), Verdict::Start);
    }
}
