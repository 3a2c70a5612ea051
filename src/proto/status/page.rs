// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The page. All of it is there without a script; `status.js` keeps it up to date.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    About,
    chart::{HEIGHT, WIDTH},
    qr,
    view::{View, classes},
};

/// Unreserved characters stand for themselves (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `text` as content of an element or of an attribute in quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The page of this moment, with what [`join`] made once.
pub(super) fn html(about: &About, view: &View, join: &str) -> String {
    let name = escaped(&about.name);
    let what = if about.viewer {
        "A viewer of this broadcast"
    } else {
        "A broadcast"
    };
    let sections = [
        now(about, view),
        over_time(about, view),
        delays(view),
        join.to_owned(),
        peers(view),
    ];
    let sections = sections.concat();
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name} – livetorrent</title>
<link rel="icon" href="status.svg">
<link rel="stylesheet" href="status.css">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<script src="status.js" defer></script>
</head>
<body>
<header>
<h1><bdi>{name}</bdi></h1>
<p>{what} <span id="state" role="status"></span></p>
</header>
<main>
{sections}</main>
</body>
</html>
"#
    )
}

/// A section with a heading.
fn section(id: &str, heading: &str, content: &str) -> String {
    format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{content}</section>\n"
    )
}

/// An element for a text of the view that changes.
fn live(view: &View, element: &str, name: &str) -> String {
    let text = escaped(view.text(name));
    format!("<{element} data-text=\"{name}\">{text}</{element}>")
}

fn now(about: &About, view: &View) -> String {
    const SOURCE: [(&str, &str); 5] = [
        ("On the air for", "uptime"),
        ("Stream", "bitrate"),
        ("Viewers", "peers"),
        ("Upload", "upload"),
        ("Sent", "sent"),
    ];
    const VIEWER: [(&str, &str); 11] = [
        ("Watching for", "uptime"),
        ("Stream", "bitrate"),
        ("Behind the source", "distance"),
        ("Buffered", "buffer"),
        ("Peers", "peers"),
        ("Upload", "upload"),
        ("Sent", "sent"),
        ("Received", "received"),
        ("Time to join", "join"),
        ("Stalls", "stalls"),
        ("Pieces left out", "skipped"),
    ];
    let figures: &[_] = if about.viewer { &VIEWER } else { &SOURCE };
    let mut content = "<dl>\n".to_owned();
    for (term, name) in figures {
        let text = live(view, "span", name);
        let meter = match *name {
            "upload" => upload(view),
            _ => String::new(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(content, "<div><dt>{term}</dt><dd>{text}{meter}</dd></div>");
    }
    content.push_str("</dl>\n");
    section("now", "Now", &content)
}

/// How much of what may be uploaded is.
fn upload(view: &View) -> String {
    let (rate, limit) = view.upload;
    let hidden = if limit.is_none() { " hidden" } else { "" };
    format!(
        " <meter id=\"upload\" aria-label=\"Upload against its limit\" min=\"0\" max=\"{}\" \
         value=\"{rate}\"{hidden}></meter>",
        limit.unwrap_or(rate)
    )
}

fn over_time(about: &About, view: &View) -> String {
    let chart = &view.chart;
    let announced = if about.viewer {
        ""
    } else {
        ", <span class=\"key announced\">known to the tracker</span>"
    };
    let content = format!(
        "<figure>\n<svg class=\"chart\" role=\"img\" aria-labelledby=\"over-time summary\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\">\
         <polyline id=\"announced\" class=\"announced\" points=\"{}\"/>\
         <polyline id=\"connected\" class=\"connected\" points=\"{}\"/></svg>\n\
         <figcaption><span id=\"summary\" data-text=\"chart\">{}</span> \
         <span class=\"keys\" aria-hidden=\"true\"><span class=\"key connected\">connected</span>{announced}</span>\
         </figcaption>\n</figure>\n",
        chart.announced,
        chart.connected,
        escaped(view.text("chart")),
    );
    let heading = if about.viewer {
        "Peers over time"
    } else {
        "Viewers over time"
    };
    section("over-time", heading, &content)
}

fn delays(view: &View) -> String {
    let mut content = format!(
        "{}\n<table id=\"delays\">\n<caption>How old pieces are when they reach connected viewers, as these say</caption>\n\
         <thead><tr><th scope=\"col\">Delay</th><th scope=\"col\">Viewers</th></tr></thead>\n<tbody>\n",
        live(view, "p", "delay")
    );
    let most = view.delays.iter().max().copied().unwrap_or_default().max(1);
    for (class, viewers) in classes().iter().zip(view.delays) {
        let _ = writeln!(
            content,
            "<tr><th scope=\"row\">{class}</th><td><span>{viewers}</span> \
             <meter aria-hidden=\"true\" min=\"0\" max=\"{most}\" value=\"{viewers}\"></meter></td></tr>"
        );
    }
    content.push_str("</tbody>\n</table>\n");
    section("delay", "Delay", &content)
}

fn peers(view: &View) -> String {
    let heads = view.columns.iter();
    let heads = heads.map(|column| format!("<th scope=\"col\">{column}</th>"));
    let rows = view.peers.iter().map(|cells| {
        let cells = cells
            .iter()
            .map(|cell| format!("<td>{}</td>", escaped(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    });
    // A phone has room for fewer of them where addresses are among them.
    let class = if view.columns.contains(&"Address") {
        " class=\"addresses\""
    } else {
        ""
    };
    let content = format!(
        // Who has no mouse scrolls it by keys.
        "<div class=\"scroll\" role=\"region\" aria-labelledby=\"peers\" tabindex=\"0\">\n\
         <table id=\"peer-table\"{class}>\n{}\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table>\n</div>\n",
        live(view, "caption", "listed"),
        heads.collect::<String>(),
        rows.collect::<String>(),
    );
    section("peers", "Peers", &content)
}

/// How others come to watch, which never changes.
pub(super) fn join(about: &About) -> String {
    let file = utf8_percent_encode(&format!("{}.tstream", about.name), RESERVED).to_string();
    let name = escaped(&about.name);
    let link = escaped(&about.link);
    let code = qr::svg(&about.link, "QR code of the link").map_or_else(String::new, |svg| {
        format!("<figure>{svg}<figcaption>The link as a QR code</figcaption></figure>\n")
    });
    let content = format!(
        "<div class=\"copy\"><label for=\"link\">Link</label>\
         <input id=\"link\" readonly value=\"{link}\">\
         <button type=\"button\" data-copy=\"link\">Copy<span class=\"hidden\"> the link</span></button></div>\n\
         <div class=\"copy\"><label for=\"file\">File</label>\
         <input id=\"file\" readonly value=\"./{file}\">\
         <button type=\"button\" data-copy=\"file\">Copy<span class=\"hidden\"> the file’s address</span></button></div>\n\
         <p><a href=\"{link}\">Open the link</a> <a href=\"./{file}\" download>Download <bdi>{name}.tstream</bdi></a></p>\n\
         <p id=\"copied\" role=\"status\"></p>\n{code}"
    );
    section("join", "Watch", &content)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Sight,
            figures::Figures,
            testing::{SCRIPT, about, hostile_peer, stats},
        },
        *,
    };

    fn page(viewer: bool, name: &str) -> String {
        let about = About {
            name: name.to_owned(),
            link: format!("livetorrent:?dn={name}"),
            ..about(viewer)
        };
        let figures = Figures {
            stats: stats(vec![hostile_peer(Some(900))]),
            announced: (!viewer).then_some(3),
            ..Figures::default()
        };
        let view = View::new(&about, &figures, &[], Sight::Whole);
        html(&about, &view, &join(&about))
    }

    /// Names of the elements of a page, as they begin.
    fn elements(html: &str) -> Vec<&str> {
        let begins = html.split('<').skip(1);
        begins
            .filter(|tag| !tag.starts_with(['/', '!']))
            .map(|tag| {
                let end = tag.find(|c: char| !c.is_ascii_alphanumeric());
                &tag[..end.unwrap_or(tag.len())]
            })
            .collect()
    }

    #[test]
    fn nothing_that_others_say_is_an_element_or_leaves_its_attribute() {
        for viewer in [false, true] {
            let tame = page(viewer, "foo");
            let wild = page(viewer, SCRIPT);
            assert_eq!(elements(&tame).len(), elements(&wild).len());
            let scripts = elements(&wild).into_iter().filter(|name| *name == "script");
            assert_eq!(scripts.count(), 1);
            assert!(!wild.contains("alert(\""), "{wild}");
            assert!(!wild.contains("href=\"javascript:"));
        }
    }

    #[test]
    fn there_is_nothing_that_the_policy_forbids() {
        for viewer in [false, true] {
            let page = page(viewer, "foo");
            for forbidden in [" style=", "<style", " on", "http-equiv=\"Content", "//"] {
                let at = page.find(forbidden);
                // The link to what is broadcast names addresses.
                let line = at.map(|at| page[at..].lines().next().unwrap());
                assert!(
                    line.is_none_or(|line| line.starts_with(" on") && !line[..8].contains('=')),
                    "{line:?}"
                );
            }
        }
    }

    #[test]
    fn every_id_is_there_once_and_every_reference_leads_to_one() {
        for viewer in [false, true] {
            let page = page(viewer, "foo");
            let after = |attribute: &str| -> Vec<String> {
                let begin = format!(" {attribute}=\"");
                let parts = page.split(&begin).skip(1);
                parts
                    .flat_map(|part| part.split('"').next().unwrap().split(' '))
                    .map(str::to_owned)
                    .collect()
            };
            let mut ids = after("id");
            let all = ids.len();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), all);
            for attribute in ["aria-labelledby", "for", "data-copy"] {
                for id in after(attribute) {
                    assert!(ids.contains(&id), "{attribute}={id}");
                }
            }
        }
    }

    #[test]
    fn a_viewer_shows_how_it_plays_and_a_source_who_watches() {
        assert!(page(true, "foo").contains("Behind the source"));
        let source = page(false, "foo");
        assert!(!source.contains("Behind the source") && source.contains("Viewers over time"));
        assert!(source.contains("./foo.tstream"));
    }
}
