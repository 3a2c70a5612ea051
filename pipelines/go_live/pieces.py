# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""Pieces that the window is put together from."""

from gi.repository import Atk, Gdk, GLib, GObject, Gtk, Pango

# How long a button says that it has copied, in ms.
COPIED = 2000
# Characters that a line of the window has room for.
SHORT = 70


class Chooser(Gtk.ComboBoxText):
    """A list of choices, each with a `label` and a `key`."""

    # Another one is chosen, by the user or because the old one has gone.
    __gsignals__ = {"chosen": (GObject.SignalFlags.RUN_LAST, None, ())}

    def __init__(self):
        super().__init__(hexpand=True)
        self._choices = []
        self._key = None
        self._filling = False
        self.connect("changed", lambda _: self._changed())

    @property
    def choice(self):
        """What is chosen."""
        return self._choices[self.get_active()]

    def fill(self, choices, wanted=None):
        """What was chosen stays chosen while it is there, and then it is the last one, which is harmless;
        `wanted` is the key of what it is to be instead."""
        wanted = wanted or self._key
        keys = [choice.key for choice in choices]
        self._filling = True
        self.remove_all()
        for choice in choices:
            self.append_text(choice.label)
        self._choices = choices
        self.set_active(keys.index(wanted if wanted in keys else keys[-1]))
        self._filling = False
        self._changed()

    def _changed(self):
        if not self._filling and self.choice.key != self._key:
            self._key = self.choice.key
            self.emit("chosen")


class Copied(Gtk.Box):
    """A text to give away, with a button that copies it."""

    def __init__(self, what):
        super().__init__(spacing=6)
        self.entry = Gtk.Entry(editable=False, hexpand=True)
        self.entry.set_width_chars(20)
        self._what = what
        self._later = 0
        self._button = Gtk.Button(width_request=90)
        self._button.connect("clicked", lambda _: self._copy())
        self._say(False)
        self.add(self.entry)
        self.add(self._button)

    def show_text(self, text):
        """Another text."""
        self.entry.set_text(text)
        self._say(False)

    def focus(self):
        """To the button."""
        self._button.grab_focus()

    def _copy(self):
        Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).set_text(self.entry.get_text(), -1)
        self._say(True)
        if self._later:
            GLib.source_remove(self._later)
        self._later = GLib.timeout_add(COPIED, self._forget)

    def _forget(self):
        self._later = 0
        self._say(False)
        return GLib.SOURCE_REMOVE

    def _say(self, copied):
        self._button.set_label("Copied" if copied else "Copy")
        told = f"The {self._what} is copied" if copied else f"Copy the {self._what}"
        self._button.get_accessible().set_name(told)


class Hint(Gtk.Label):
    """A line below a field, which is told with it."""

    def __init__(self, field):
        super().__init__(xalign=0, ellipsize=Pango.EllipsizeMode.MIDDLE)
        relations = field.get_accessible().ref_relation_set()
        relations.add_relation_by_type(Atk.RelationType.DESCRIBED_BY, self.get_accessible())

    def say(self, text, is_wrong=False):
        """What it says, and whether something must be done about it."""
        self.set_text(text)
        self.set_tooltip_text(text if len(text) > SHORT else None)
        style = self.get_style_context()
        for name, shown in (("error", is_wrong), ("dim-label", not is_wrong)):
            (style.add_class if shown else style.remove_class)(name)


def form(*rows):
    """Fields below one another, each with its title, which Alt and its letter lead from; a row without
    title is a remark on the one above."""
    grid = Gtk.Grid(column_spacing=12, row_spacing=6)
    for row, (title, widget) in enumerate(rows):
        grid.attach(widget, 1, row, 1, 1)
        if title is None:
            continue
        label = Gtk.Label(label=title, use_underline=True, xalign=1)
        label.get_style_context().add_class("dim-label")
        field = widget.entry if isinstance(widget, Copied) else widget
        label.set_mnemonic_widget(field)
        field.get_accessible().set_name(title.replace("_", ""))
        grid.attach(label, 0, row, 1, 1)
    return grid
