// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Places for connections that have not yet shown what they are: bounded in all and by address,
//! the oldest gives way. Whoever connects and stays silent holds a place only until others come.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};

use crate::proto::address::network;

/// Places of one kind.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    limits: Limits,
    entries: Arc<Mutex<Entries>>,
}

/// How many places there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// In all.
    pub(super) total: usize,
    /// For one address (IPv6: one /64, which is what a host gets).
    pub(super) per_address: usize,
    /// For loopback, where all of a test or a relay's neighbours share one address.
    pub(super) loopback: usize,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    held: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    address: IpAddr,
    /// Dropping it revokes the ticket.
    _hold: Sender<()>,
}

/// One place; free again when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    hold: Receiver<()>,
    entries: Arc<Mutex<Entries>>,
}

impl Admission {
    /// All places free.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: Arc::default(),
        }
    }

    /// Gives a place, if need be that of the oldest at this address or of the oldest of all.
    pub(super) fn admit(&self, address: IpAddr) -> Ticket {
        let most = if address.is_loopback() {
            self.limits.loopback
        } else {
            self.limits.per_address
        };
        let address = network(address);
        let (hold, is_held) = async_channel::bounded(1);
        let mut entries = lock(&self.entries);
        let held = &mut entries.held;
        let same = |entry: &Entry| entry.address == address;
        if held.iter().filter(|entry| same(entry)).count() >= most {
            let oldest = held.iter().position(same);
            oldest.and_then(|oldest| held.remove(oldest));
        } else if held.len() >= self.limits.total {
            held.pop_front();
        }
        let number = entries.next;
        entries.next += 1;
        entries.held.push_back(Entry {
            number,
            address,
            _hold: hold,
        });
        Ticket {
            number,
            hold: is_held,
            entries: Arc::clone(&self.entries),
        }
    }
}

impl Ticket {
    /// Waits until the place was given to another.
    pub(super) async fn revoked(&self) {
        // Nothing is ever sent.
        let _ = self.hold.recv().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.entries)
            .held
            .retain(|entry| entry.number != self.number);
    }
}

fn lock(entries: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often each address called of late. Who is hung up on may come back at once, so without this
/// a limit on what a connection may do would be none.
#[derive(Debug, Clone)]
pub(super) struct Callers {
    limits: CallLimits,
    calls: Arc<Mutex<Calls>>,
}

/// How often an address may call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallLimits {
    /// Calls of one address in [`Self::span`].
    pub(super) per_address: u32,
    /// The same for loopback.
    pub(super) loopback: u32,
    /// Addresses that are told apart; all others count as one.
    pub(super) addresses: usize,
    pub(super) span: Duration,
}

#[derive(Debug)]
struct Calls {
    since: Instant,
    of: HashMap<IpAddr, u32>,
}

impl Callers {
    /// Nobody has called.
    pub(super) fn new(limits: CallLimits) -> Self {
        let calls = Calls {
            since: Instant::now(),
            of: HashMap::new(),
        };
        Self {
            limits,
            calls: Arc::new(Mutex::new(calls)),
        }
    }

    /// Counts a call; whether it may be taken.
    pub(super) fn may_call(&self, address: IpAddr) -> bool {
        /// Stands for the addresses that are not told apart.
        const OTHERS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let most = if address.is_loopback() {
            self.limits.loopback
        } else {
            self.limits.per_address
        };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.since.elapsed() >= self.limits.span {
            calls.since = Instant::now();
            calls.of.clear();
        }
        let address = network(address);
        let known = calls.of.contains_key(&address) || calls.of.len() < self.limits.addresses;
        let count = calls.of.entry(if known { address } else { OTHERS });
        let count = count.or_default();
        *count = count.saturating_add(1);
        *count <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use futures_lite::future;

    const LIMITS: Limits = Limits {
        total: 4,
        per_address: 2,
        loopback: 3,
    };

    fn is_revoked(ticket: &Ticket) -> bool {
        future::block_on(future::poll_once(ticket.revoked())).is_some()
    }

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_oldest_at_the_address_gives_way_before_anybody_else() {
        let places = Admission::new(LIMITS);
        let other = places.admit(at(1));
        let first = places.admit(at(2));
        let second = places.admit(at(2));
        assert!(!is_revoked(&first));
        let third = places.admit(at(2));
        assert!(is_revoked(&first));
        assert!(![&other, &second, &third].into_iter().any(is_revoked));
    }

    #[test]
    fn the_oldest_of_all_gives_way_when_all_places_are_taken() {
        let places = Admission::new(LIMITS);
        let tickets: Vec<_> = (0..5).map(|last| places.admit(at(last))).collect();
        assert_eq!(
            tickets.iter().map(is_revoked).collect::<Vec<_>>(),
            [true, false, false, false, false]
        );
    }

    #[test]
    fn a_dropped_ticket_frees_its_place() {
        let places = Admission::new(LIMITS);
        let first = places.admit(at(1));
        drop(places.admit(at(1)));
        drop(places.admit(at(1)));
        assert!(!is_revoked(&first));
    }

    #[test]
    fn loopback_has_more_places_and_a_64_network_is_one_address() {
        let places = Admission::new(LIMITS);
        let loopback: Vec<_> = (0..3)
            .map(|_| places.admit(IpAddr::from([127, 0, 0, 1])))
            .collect();
        assert!(!loopback.iter().any(is_revoked));
        drop(loopback);
        let within: Vec<_> = [
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8::3",
            "2001:db8:0:1::1",
        ]
        .map(|address| places.admit(address.parse().unwrap()))
        .into();
        assert_eq!(
            within.iter().map(is_revoked).collect::<Vec<_>>(),
            [true, false, false, false]
        );
    }

    const CALLS: CallLimits = CallLimits {
        per_address: 2,
        loopback: 3,
        addresses: 2,
        span: Duration::from_secs(3600),
    };

    #[test]
    fn who_calls_too_often_is_not_let_in_and_others_are() {
        let callers = Callers::new(CALLS);
        let may = |address: IpAddr, calls: usize| -> usize {
            let taken = (0..calls).filter(|_| callers.may_call(address));
            taken.count()
        };
        assert_eq!(may(at(1), 5), 2);
        assert_eq!(may(IpAddr::from([127, 0, 0, 1]), 5), 3);
        // Two are told apart; all the rest share what one may.
        assert_eq!(may(at(2), 1) + may(at(3), 5), 2);
    }

    #[test]
    fn a_new_span_forgets_all_calls() {
        let span = Duration::ZERO;
        let callers = Callers::new(CallLimits { span, ..CALLS });
        assert!((0..9).all(|_| callers.may_call(at(1))));
    }
}
