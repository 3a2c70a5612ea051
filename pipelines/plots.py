#!/usr/bin/env python3
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""Draws what pipelines/bench.sh --json has measured: speed-delay.svg, speed-processor.svg and
speed-audience.svg, readable on light and on dark pages. A line goes through the medians of all
rounds; the thin bars go from the least to the most.

usage: plots.py FIGURES.json FOLDER
"""

import json
import math
import sys
from html import escape
from pathlib import Path

# Name, what it is called, colours on light and on dark, and how it is marked. The colours are told
# apart by who sees some of them only, and the marks by everybody.
CANDIDATES = [
    ("livetorrent", "livetorrent", "#0063a8", "#58b4f0", "circle"),
    ("srt", "SRT", "#c04f00", "#f08a4b", "square"),
    ("srt-20ms", "SRT, latency=20", "#8a6d00", "#e0c040", "diamond"),
    ("srt-aes", "SRT with AES", "#a03a78", "#e08cc0", "triangle"),
    ("tcp", "TCP", "#00755a", "#3fc9a0", "cross"),
    ("nothing", "fakesink", "#6b6b6b", "#a0a0a0", "bar"),
]
PANEL = (330, 250)
MARGIN = {"left": 62, "top": 44, "right": 18, "bottom": 50}


def style():
    """Colours by the page's scheme."""
    light = [f".{name}{{--c:{light}}}" for name, _, light, _, _ in CANDIDATES]
    dark = [f".{name}{{--c:{dark}}}" for name, _, _, dark, _ in CANDIDATES]
    return (
        "svg{--ink:#1c1c1c;--faint:#d4d4d4;--page:#ffffff}"
        + "".join(light)
        + "@media (prefers-color-scheme:dark){svg{--ink:#e8e8e8;--faint:#44484d;--page:#15181b}"
        + "".join(dark)
        + "}text{font:12px sans-serif;fill:var(--ink)}.title{font-size:14px;font-weight:600}"
        ".page{fill:var(--page)}.grid{stroke:var(--faint)}.axis{stroke:var(--ink)}"
        ".line{fill:none;stroke:var(--c);stroke-width:2}.thin{stroke:var(--c);stroke-width:1}"
        ".mark{fill:var(--c);stroke:var(--c);stroke-width:1.5}.end{text-anchor:end}.middle{text-anchor:middle}"
    )


def mark(kind, x, y):
    """A figure around a point."""
    shapes = {
        "circle": f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
        "square": f'<rect class="mark" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>',
        "diamond": f'<path class="mark" d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z"/>',
        "triangle": f'<path class="mark" d="M{x:.1f} {y - 5:.1f}l5 9h-10z"/>',
        "cross": f'<path class="mark" fill="none" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>',
        "bar": f'<path class="mark" d="M{x - 5:.1f} {y:.1f}h10"/>',
    }
    return shapes[kind]


class Scale:
    """From figures to places, by their logarithm."""

    def __init__(self, figures, low, high):
        self.least = math.log10(min(figures))
        self.span = math.log10(max(figures)) - self.least or 1
        self.low, self.high = low, high

    def __call__(self, figure):
        return self.low + (math.log10(figure) - self.least) / self.span * (self.high - self.low)


def ticks(least, most):
    """1, 2, 5, 10 … around what there is."""
    steps = [m * 10**e for e in range(-4, 7) for m in (1, 2, 5)]
    first = max(s for s in steps if s <= least)
    last = min(s for s in steps if s >= most)
    chosen = [s for s in steps if first <= s <= last]
    return chosen if len(chosen) <= 9 else [s for s in chosen if math.log10(s) % 1 == 0]


def panel(at, title, across, up, lines):
    """One diagram: `lines` of (candidate, [(x, least, median, most)])."""
    left, top = at[0] + MARGIN["left"], at[1] + MARGIN["top"]
    right, bottom = at[0] + PANEL[0] - MARGIN["right"], at[1] + PANEL[1] - MARGIN["bottom"]
    places = sorted({point[0] for _, points in lines for point in points})
    figures = [figure for _, points in lines for point in points for figure in point[1:]]
    rows = ticks(min(figures), max(figures))
    x = Scale(places, left + 14, right - 14)
    y = Scale([rows[0], rows[-1], *figures], bottom, top)
    out = [f'<text class="title" x="{left}" y="{at[1] + 26}">{escape(title)}</text>']
    for row in rows:
        out.append(f'<path class="grid" d="M{left} {y(row):.1f}H{right}"/>')
        out.append(f'<text class="end" x="{left - 6}" y="{y(row) + 4:.1f}">{row:g}</text>')
    out.append(f'<path class="axis" d="M{left} {bottom}H{right}"/>')
    for place in places:
        out.append(f'<text class="middle" x="{x(place):.1f}" y="{bottom + 18}">{place:g}</text>')
    middle = (left + right) / 2
    out.append(f'<text class="middle" x="{middle}" y="{bottom + 38}">{escape(across)}</text>')
    turned = f"rotate(-90 {at[0] + 16} {(top + bottom) / 2})"
    out.append(
        f'<text class="middle" x="{at[0] + 16}" y="{(top + bottom) / 2}" transform="{turned}">{escape(up)}</text>'
    )
    for (name, _, _, _, kind), points in lines:
        out.append(f'<g class="{name}">')
        path = "L".join(f"{x(place):.1f} {y(median):.1f}" for place, _, median, _ in points)
        out.append(f'<path class="line" d="M{path}"/>')
        for place, least, median, most in points:
            out.append(f'<path class="thin" d="M{x(place):.1f} {y(least):.1f}V{y(most):.1f}"/>')
            out.append(mark(kind, x(place), y(median)))
        out.append("</g>")
    return out


def lines_of(rows, across, figure, names, scale=lambda row: 1):
    """The figure of each candidate over what goes across; what is 0 has no place on a logarithm."""
    lines = []
    for candidate in CANDIDATES:
        points = []
        for row in rows:
            value = row.get(figure)
            if row["candidate"] == candidate[0] and candidate[0] in names and value:
                if value["least"] > 0:
                    by = scale(row)
                    points.append(
                        (across(row), value["least"] * by, value["median"] * by, value["most"] * by)
                    )
        if points:
            lines.append((candidate, sorted(points)))
    return lines


def drawing(title, panels):
    """Diagrams side by side, with one legend."""
    panels = [panel for panel in panels if panel[3]]
    width, height = PANEL[0] * len(panels), PANEL[1] + 34
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title><style>{style()}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
    ]
    for number, (name, across, up, lines) in enumerate(panels):
        out += panel((number * PANEL[0], 0), name, across, up, lines)
    shown = [c for c in CANDIDATES if any(c == line[0] for p in panels for line in p[3])]
    place = 24
    for name, called, _, _, kind in shown:
        out.append(f'<g class="{name}">{mark(kind, place, PANEL[1] + 12)}</g>')
        out.append(f'<text x="{place + 10}" y="{PANEL[1] + 16}">{escape(called)}</text>')
        place += 34 + 7 * len(called)
    return "\n".join([*out, "</svg>", ""])


def main():
    if len(sys.argv) != 3 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if "--help" in sys.argv or "-h" in sys.argv else 2
    report = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    hops, audience = report["hops"], report["audience"]
    every = [name for name, *_ in CANDIDATES]
    sent = [name for name in every if name != "nothing"]

    def megabits(row):
        return row["bitrate"] / 1e6

    def viewers(row):
        return row["viewers"]

    def per_megabit(row):
        return 100 / megabits(row)

    rate = "stream, Mbit/s"
    drawings = {
        "speed-delay.svg": (
            "Delay of one hop",
            [
                ("Half of the packets within", rate, "ms", lines_of(hops, megabits, "source-delay50", sent)),
                ("99 % within", rate, "ms", lines_of(hops, megabits, "source-delay99", sent)),
            ],
        ),
        "speed-processor.svg": (
            "Processor time",
            [
                (
                    "Broadcaster",
                    rate,
                    "% of a core for each Mbit/s",
                    lines_of(hops, megabits, "sink-processor", every, per_megabit),
                ),
                (
                    "Viewer",
                    rate,
                    "% of a core for each Mbit/s",
                    lines_of(hops, megabits, "source-processor", sent, per_megabit),
                ),
            ],
        ),
        "speed-audience.svg": (
            "A broadcaster of 2 Mbit/s",
            [
                (
                    "Its processor",
                    "viewers",
                    "% of a core",
                    lines_of(audience, viewers, "sink-processor", sent, lambda row: 100),
                ),
                (
                    "Its upload",
                    "viewers",
                    "Mbit/s",
                    lines_of(audience, viewers, "sink-upload", sent, lambda row: 1e-6),
                ),
            ],
        ),
    }
    for name, (title, panels) in drawings.items():
        if any(lines for *_, lines in panels):
            (folder / name).write_text(drawing(title, panels))
            print(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
