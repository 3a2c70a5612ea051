// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The status page (PROTOCOL §8) without its sockets: what is known of a run, and every form in
//! which that is told.
//!
//! A [`Record`] takes the figures of a moment once a second and renders what is asked for: the page,
//! what changes on it, `/stats.json` and `/metrics`. What peers and broadcasters say about themselves
//! is text in all of these, and is escaped or quoted where it is put in.

mod chart;
mod figures;
mod history;
mod json;
mod metrics;
mod page;
mod qr;
#[cfg(test)]
mod testing;
mod view;
mod words;

use std::{cell::OnceCell, net::IpAddr, sync::Arc, time::Duration};

use self::{
    figures::{Figures, Meter},
    history::{History, Point},
    metrics::Format,
};
use super::{
    http::{Refusal, Request},
    metainfo::Metainfo,
    stats::{Stats, Way},
    time::Instant,
    uri,
};

/// What of a run does not change.
#[derive(Debug, Clone)]
pub struct About {
    /// Of the stream.
    pub name: String,
    /// In hex.
    pub infohash: String,
    /// Viewer or source.
    pub viewer: bool,
    /// `livetorrent:`.
    pub link: String,
    /// Most copies of the stream that are uploaded; 0: no limit.
    pub upload_budget: f64,
    /// Most bits of pieces uploaded in a second; 0: no limit.
    pub max_upload_rate: u64,
    /// Anybody may see where peers are.
    pub public: bool,
}

impl About {
    /// A source of this stream, or a viewer, without limits of what it uploads.
    #[must_use]
    pub fn new(metainfo: &Metainfo, viewer: bool) -> Self {
        Self {
            name: metainfo.info.name().to_owned(),
            infohash: metainfo.info.infohash().to_string(),
            viewer,
            link: uri::format(metainfo),
            upload_budget: 0.0,
            max_upload_rate: 0,
            public: false,
        }
    }

    const fn role(&self) -> &'static str {
        if self.viewer { "viewer" } else { "source" }
    }
}

/// What is shown to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// All of it.
    Whole,
    /// All but peers' addresses and ids.
    NoAddresses,
}

impl Sight {
    /// What is shown to who sends `request` from `asker`.
    ///
    /// A connection from this machine may be that of a browser in which a page of somebody else has had
    /// its own name point here (DNS rebinding): to the browser we are that page's own server, and it
    /// hands over what we say. Its requests bear that name as their host, so only a host that no name
    /// server answers for counts. What a proxy on this machine passes on is not from here either.
    ///
    /// # Errors
    /// A viewer answers nobody but its own machine; and there no request under another's name.
    pub fn of(about: &About, asker: IpAddr, request: &Request) -> Result<Self, Refusal> {
        use super::http::Host;
        if about.public {
            return Ok(Self::Whole);
        }
        let direct = asker.to_canonical().is_loopback() && !request.relayed;
        match request.host {
            None | Some(Host::Name) if direct => Err(Refusal::Misdirected),
            Some(host) if direct && host.is_loopback() => Ok(Self::Whole),
            _ if about.viewer => Err(Refusal::Forbidden),
            _ => Ok(Self::NoAddresses),
        }
    }
}

/// What there is to ask for that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The page, as it stands.
    Page,
    /// What changed on it since, an event of `/events`.
    Event,
    /// The figures for scripts.
    Json,
    /// The figures for Prometheus, in its own format.
    Prometheus,
    /// The same as OpenMetrics has it.
    OpenMetrics,
}

/// A thing of the page that never changes.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Where it is.
    pub path: &'static str,
    /// What it is.
    pub content_type: &'static str,
    /// It.
    pub body: &'static str,
}

/// What the page is made of besides itself.
pub const ASSETS: [Asset; 3] = [
    Asset {
        path: "/status.css",
        content_type: "text/css; charset=utf-8",
        body: include_str!("status/page/status.css"),
    },
    Asset {
        path: "/status.js",
        content_type: "text/javascript; charset=utf-8",
        body: include_str!("status/page/status.js"),
    },
    Asset {
        path: "/status.svg",
        content_type: "image/svg+xml",
        body: include_str!("status/page/status.svg"),
    },
];

/// What goes before every answer of the page's: nothing in it may run or load what is not ours, no
/// other site may frame or read it, and nobody keeps it.
pub const HEADERS: &str = "\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Referrer-Policy: no-referrer\r\n\
    Cache-Control: no-store\r\n";

impl Document {
    /// What is at `path`, for who takes OpenMetrics or does not.
    #[must_use]
    pub fn at(path: &[u8], takes_openmetrics: bool) -> Option<Self> {
        match path {
            b"/" => Some(Self::Page),
            b"/events" => Some(Self::Event),
            b"/stats.json" => Some(Self::Json),
            b"/metrics" if takes_openmetrics => Some(Self::OpenMetrics),
            b"/metrics" => Some(Self::Prometheus),
            _ => None,
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Page => "text/html; charset=utf-8",
            Self::Event => "text/event-stream",
            Self::Json => "application/json",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What is known of a run.
#[derive(Debug)]
pub struct Record {
    about: About,
    began: Instant,
    meter: Meter,
    history: History,
    figures: Figures,
    /// The part of the page that changes with the link only.
    join: OnceCell<String>,
}

impl Record {
    /// Nothing yet, `began` just now.
    #[must_use]
    pub fn new(about: About, began: Instant) -> Self {
        Self {
            about,
            began,
            meter: Meter::default(),
            history: History::new(),
            figures: Figures::default(),
            join: OnceCell::new(),
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// The stream has another link.
    pub fn renew(&mut self, link: String) {
        self.about.link = link;
        self.join = OnceCell::new();
    }

    /// Takes in how things are now: `published` bytes of the stream by a source, and `announced`
    /// viewers, as its tracker knows; and what
    /// came of each way to peers.
    pub fn note(
        &mut self,
        now: Instant,
        stats: Arc<Stats>,
        published: u64,
        announced: Option<u64>,
        ways: Vec<Way>,
    ) {
        let streamed = if self.about.viewer {
            stats.bytes_out
        } else {
            published
        };
        self.figures = Figures {
            uptime: now.since(self.began),
            streamed,
            bitrate: self.meter.rate(now, streamed),
            announced,
            stats,
            ways,
            ..Figures::default()
        };
        self.figures.upload_limit = self.upload_limit();
        self.history.push(Point {
            at: self.figures.uptime,
            peers: self.figures.stats.peers_connected,
            announced: announced.unwrap_or_default(),
            upload_rate: self.figures.stats.upload_rate,
            bitrate: self.figures.bitrate,
        });
    }

    /// Bits per second; none: no limit.
    fn upload_limit(&self) -> Option<u64> {
        let About {
            upload_budget,
            max_upload_rate,
            ..
        } = self.about;
        let budget = (upload_budget * self.figures.bitrate as f64) as u64;
        let budget = (upload_budget > 0.0).then_some(budget);
        let most = (max_upload_rate > 0).then_some(max_upload_rate);
        budget.into_iter().chain(most).min()
    }

    /// A document as it is now, for who sees so much.
    #[must_use]
    pub fn render(&self, document: Document, sight: Sight) -> String {
        match document {
            Document::Page => {
                let join = self.join.get_or_init(|| page::join(&self.about));
                page::html(&self.about, &self.view(sight), join)
            }
            Document::Event => format!("data: {}\n\n", self.view(sight).to_json()),
            Document::Json => json::stats(&self.about, &self.figures, self.history.points(), sight),
            Document::Prometheus => metrics::text(&self.about, &self.figures, Format::Prometheus),
            Document::OpenMetrics => metrics::text(&self.about, &self.figures, Format::OpenMetrics),
        }
    }

    fn view(&self, sight: Sight) -> view::View {
        view::View::new(&self.about, &self.figures, self.history.points(), sight)
    }
}

/// `duration` in whole nanoseconds.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::testing::{about, hostile_peer, stats, way};

    fn sight(about: &About, asker: &str, headers: &str) -> Result<Sight, Refusal> {
        let head = format!("GET /stats.json HTTP/1.1\r\n{headers}\r\n");
        let request = Request::parse(head.as_bytes()).unwrap().unwrap();
        Sight::of(about, asker.parse().unwrap(), &request)
    }

    #[test]
    fn this_machine_sees_addresses_under_its_own_names() {
        for viewer in [false, true] {
            for asker in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
                for host in ["localhost:7764", "127.0.0.1", "[::1]:7764"] {
                    let seen = sight(&about(viewer), asker, &format!("Host: {host}\r\n"));
                    assert_eq!(seen, Ok(Sight::Whole), "{host}");
                }
            }
        }
    }

    #[test]
    fn a_page_that_has_its_name_point_here_is_refused() {
        for headers in ["Host: attacker.example:7764\r\n", "Host: \r\n", ""] {
            for viewer in [false, true] {
                let seen = sight(&about(viewer), "127.0.0.1", headers);
                assert_eq!(seen, Err(Refusal::Misdirected), "{headers}");
            }
        }
    }

    #[test]
    fn others_and_who_comes_through_a_relay_see_no_addresses_and_nothing_of_a_viewer() {
        let here = "Host: 127.0.0.1:7764\r\n";
        let relayed = format!("{here}X-Forwarded-For: 127.0.0.1\r\n");
        let outside = "Host: 203.0.113.1:7764\r\n";
        for (asker, headers) in [
            ("192.0.2.1", here),
            ("192.0.2.1", "Host: tv.example\r\n"),
            ("127.0.0.1", &relayed),
            // Somebody's port, forwarded to this one.
            ("127.0.0.1", outside),
        ] {
            let seen = sight(&about(false), asker, headers);
            assert_eq!(seen, Ok(Sight::NoAddresses), "{asker} {headers}");
            let seen = sight(&about(true), asker, headers);
            assert_eq!(seen, Err(Refusal::Forbidden), "{asker} {headers}");
        }
    }

    #[test]
    fn everybody_sees_them_where_the_user_says_so() {
        let about = About {
            public: true,
            ..about(false)
        };
        for asker in ["192.0.2.1", "127.0.0.1"] {
            let seen = sight(&about, asker, "Host: tv.example\r\n");
            assert_eq!(seen, Ok(Sight::Whole));
        }
    }

    #[test]
    fn no_document_shows_where_peers_are_to_who_may_not_see_it() {
        const DOCUMENTS: [Document; 5] = [
            Document::Page,
            Document::Event,
            Document::Json,
            Document::Prometheus,
            Document::OpenMetrics,
        ];
        for viewer in [false, true] {
            let mut record = Record::new(about(viewer), Instant::default());
            record.note(
                Instant::default(),
                stats(vec![hostile_peer(Some(900))]),
                0,
                Some(7),
                vec![way()],
            );
            for document in DOCUMENTS {
                let text = record.render(document, Sight::NoAddresses);
                assert!(!text.contains("192.0.2.7"), "{text}");
                assert!(!text.contains("LV0100"), "{text}");
            }
            for document in [Document::Page, Document::Event, Document::Json] {
                let text = record.render(document, Sight::Whole);
                assert!(text.contains("192.0.2.7"), "{text}");
            }
        }
    }

    #[test]
    fn the_page_shows_another_link_as_soon_as_there_is_one() {
        let mut record = Record::new(about(false), Instant::default());
        let page = |record: &Record| record.render(Document::Page, Sight::Whole);
        let before = page(&record);
        record.renew("livetorrent:?xt=urn:btih:mapped".to_owned());
        let after = page(&record);
        assert!(!before.contains("urn:btih:mapped") && after.contains("urn:btih:mapped"));
    }

    #[test]
    fn the_upload_is_limited_by_the_budget_or_the_rate_whichever_is_less() {
        let limit = |budget, rate, published| {
            let about = About {
                upload_budget: budget,
                max_upload_rate: rate,
                ..about(false)
            };
            let mut record = Record::new(about, Instant::default());
            record.note(Instant::default(), stats(Vec::new()), 0, None, Vec::new());
            let later = Instant::from_micros(1_000_000);
            record.note(later, stats(Vec::new()), published, None, Vec::new());
            record.figures.upload_limit
        };
        assert_eq!(limit(0.0, 0, 1000), None);
        assert_eq!(limit(3.0, 0, 1000), Some(24_000));
        assert_eq!(limit(3.0, 20_000, 1000), Some(20_000));
        assert_eq!(limit(0.0, 20_000, 1000), Some(20_000));
    }
}
