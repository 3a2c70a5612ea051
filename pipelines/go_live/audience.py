# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""The audience in figures: how many watch, how far behind they are, what it costs."""

import collections
import statistics
import time

from gi.repository import Atk, Gtk

# Seconds that the curve goes back, at first and at most.
SHORT_SPAN, SPAN = 60, 300


def clock(seconds):
    """Hours, minutes and seconds."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _megabits(bits):
    return f"{bits / 1e6:.1f} Mbit/s"


class Audience(Gtk.Grid):
    """Looks once a second at what the sink tells."""

    ROWS = (
        ("behind", "Behind by"),
        ("time", "On air for"),
        ("stream", "Stream"),
        ("upload", "Upload"),
    )

    def __init__(self):
        super().__init__(column_spacing=18, row_spacing=6)
        self._values = {}
        self._past = collections.deque(maxlen=SPAN)
        self._began = self._seen = time.monotonic()
        self._bytes = 0
        self.attach(self._count(), 0, 0, 1, len(self.ROWS))
        for row, (name, title) in enumerate(self.ROWS):
            label = Gtk.Label(label=title, xalign=0)
            label.get_style_context().add_class("dim-label")
            value = Gtk.Label(xalign=0, width_chars=14)
            self.attach(label, 1, row, 1, 1)
            self.attach(value, 2, row, 1, 1)
            self._tell_name(value, title)
            self._values[name] = value
        self._curve = Gtk.DrawingArea(hexpand=True, width_request=120)
        self._curve.get_accessible().set_role(Atk.Role.CHART)
        self._curve.connect("draw", self._draw)
        self.attach(self._curve, 3, 0, 1, len(self.ROWS))
        self.begin()

    def begin(self):
        """A new broadcast."""
        self._past.clear()
        self._began = self._seen = time.monotonic()
        self._bytes = 0
        self._show(0, {name: "–" for name in self._values})

    def look(self, stats):
        """Once a second, with the sink's figures."""
        now = time.monotonic()
        viewers = stats.get_uint64("peers-connected")[1]
        received = stats.get_uint64("bytes-in")[1]
        rate = (received - self._bytes) * 8 / max(now - self._seen, 0.1)
        self._bytes, self._seen = received, now
        self._past.append(viewers)
        lags = sorted(self._lags(stats))
        behind = f"{statistics.median(lags):.2f} to {lags[-1]:.2f} s" if lags else "–"
        upload = stats.get_uint64("upload-rate")[1]
        self._show(
            viewers,
            {
                "behind": behind,
                "time": clock(int(now - self._began)),
                "stream": _megabits(rate),
                "upload": _megabits(upload),
            },
        )

    def _count(self):
        self._viewers = Gtk.Label()
        self._viewers.get_style_context().add_class("viewers")
        self._watch = Gtk.Label()
        self._watch.get_style_context().add_class("dim-label")
        box = Gtk.Box(
            orientation=Gtk.Orientation.VERTICAL, valign=Gtk.Align.CENTER, width_request=80
        )
        box.add(self._viewers)
        box.add(self._watch)
        return box

    @staticmethod
    def _lags(stats):
        """Seconds that viewers say they are behind; who holds nothing yet says nothing."""
        known, peers = stats.get_array("peers")
        for place in range(peers.n_values if known else 0):
            told, lag = peers.get_nth(place).get_uint64("lag")
            if told:
                yield lag / 1e9

    def _show(self, viewers, texts):
        self._set(self._viewers, str(viewers), "Viewers")
        self._watch.set_text("viewer" if viewers == 1 else "viewers")
        for name, title in self.ROWS:
            self._set(self._values[name], texts[name], title)
        most = max(self._past, default=0)
        told = f"Viewers in the last five minutes: {viewers} now, {most} at most"
        self._curve.get_accessible().set_name(told)
        self._curve.queue_draw()

    def _set(self, label, text, title):
        if label.get_text() != text:
            label.set_text(text)
            self._tell_name(label, title)

    @staticmethod
    def _tell_name(label, title):
        """What a screen reader says is what stands beside it, too."""
        label.get_accessible().set_name(f"{title}: {label.get_text()}")

    def _draw(self, area, context):
        width, height = area.get_allocated_width(), area.get_allocated_height()
        color = area.get_style_context().get_color(area.get_state_flags())
        most = max([*self._past, 1])
        context.set_source_rgba(color.red, color.green, color.blue, 0.2)
        context.rectangle(0.5, 0.5, width - 1, height - 1)
        context.set_line_width(1)
        context.stroke()
        span = max(len(self._past), SHORT_SPAN)
        points = []
        for place, viewers in enumerate(self._past):
            across = width - (len(self._past) - 1 - place) * width / span
            points.append((across, (height - 6) * (1 - viewers / most) + 3))
        if not points:
            return
        for point in points:
            context.line_to(*point)
        context.set_source_rgb(0.21, 0.52, 0.89)
        context.set_line_width(2)
        context.stroke_preserve()
        context.line_to(points[-1][0], height)
        context.line_to(points[0][0], height)
        context.set_source_rgba(0.21, 0.52, 0.89, 0.2)
        context.fill()
