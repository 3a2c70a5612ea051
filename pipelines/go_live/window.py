# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""What the user sees."""

from gi.repository import Gdk, GLib, Gtk

from .audience import Audience
from .broadcast import Broadcast
from .devices import TEST_PICTURE, TEST_SOUND, Devices
from .pieces import Chooser, Copied, Hint, form
from .stream import LONGEST_NAME, QUALITIES, Stream, name_problem
from .worker import Worker

# Longest wait for devices and pipelines when the window is closed, in ms: a stuck one is left behind.
CLOSING = 8000
# The sound's level is shown from here, in dB.
QUIET = -60
# How many times the stream's rate the sink uploads at most, as it comes.
UPLOAD = 3

STYLE = b"""
.picture { background: black; border-radius: 6px; }
.live { background: #c01c28; color: white; font-weight: bold; border-radius: 4px; padding: 2px 8px; }
.viewers { font-size: 32px; font-weight: bold; }
"""


class Window(Gtk.Window):
    """The picture, the choices, one button, and the audience while there is a broadcast."""

    def __init__(self, arguments):
        super().__init__(title="Go live", default_width=600, default_height=636)
        self._arguments = arguments
        # "off", "beginning", "live" or "ending".
        self._state = "off"
        self._closing = False
        self._listed = False
        # Whether a broadcast has failed and nothing was seen since.
        self._lost = False
        self._worker = Worker()
        self._broadcast = Broadcast(self._worker)
        style = Gtk.CssProvider()
        style.load_from_data(STYLE)
        Gtk.StyleContext.add_provider_for_screen(
            Gdk.Screen.get_default(), style, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION
        )
        self._lay_out()
        self._show_state("off")
        self._broadcast.connect("ready", self._ready)
        self._broadcast.connect("loudness", self._loudness)
        self._broadcast.connect("warned", lambda _, text: self._say(text, Gtk.MessageType.WARNING))
        self._broadcast.connect("failed", self._failed)
        self._broadcast.connect("ended", lambda _: self._off_air())
        self.connect("delete-event", lambda *_: self.close_soon())
        GLib.timeout_add_seconds(1, self._look)
        # The first list comes when the devices are known.
        self._devices = Devices(self._worker, self._fill)

    def close_soon(self):
        """Closes at once, or when the viewers have the end of the broadcast; asked again, now."""
        again, self._closing = self._closing, True
        if not again:
            GLib.timeout_add(CLOSING, Gtk.main_quit)
        if self._state == "off":
            if not again:
                self._broadcast.close(self._leave)
        else:
            self._stop(now=again)
        # For a signal: keep the handler; for the window: do not close yet.
        return True

    def _leave(self):
        # What was copied outlives the window where somebody keeps it.
        Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).store()
        self._devices.stop(self._worker)
        self._worker.do(lambda: None, lambda _: Gtk.main_quit())

    def _lay_out(self):
        self._bar = Gtk.HeaderBar(title="Go live", show_close_button=True)
        self._badge = Gtk.Label(label="LIVE", no_show_all=True, valign=Gtk.Align.CENTER)
        self._badge.get_style_context().add_class("live")
        self._bar.pack_start(self._badge)
        self.set_titlebar(self._bar)

        self._message = Gtk.Label(wrap=True, xalign=0, selectable=True, max_width_chars=60)
        self._info = Gtk.InfoBar(no_show_all=True)
        self._again = self._info.add_button("Try again", Gtk.ResponseType.OK)
        self._info.add_button("Dismiss", Gtk.ResponseType.CLOSE).show()
        self._info.get_content_area().add(self._message)
        self._info.connect("response", self._answered)

        self._pages = Gtk.Stack(transition_type=Gtk.StackTransitionType.CROSSFADE)
        self._pages.add_named(self._choices(), "choices")
        self._pages.add_named(self._on_air(), "on-air")
        self._button = Gtk.Button(can_default=True, use_underline=True, halign=Gtk.Align.CENTER)
        self._button.set_size_request(160, 40)
        self._button.connect("clicked", lambda _: self._pressed())

        page = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=12, border_width=12)
        for part in (self._info, self._seen(), self._loud, self._pages, self._button):
            page.add(part)
        self.add(page)
        self.set_default(self._button)
        keys = Gtk.AccelGroup()
        for letter in ("q", "w"):
            accelerator = (Gdk.keyval_from_name(letter), Gdk.ModifierType.CONTROL_MASK)
            keys.connect(*accelerator, Gtk.AccelFlags.VISIBLE, lambda *_: self.close_soon())
        self.add_accel_group(keys)

    def _seen(self):
        view = self._broadcast.view.get_property("widget")
        view.set_size_request(480, 270)
        view.set_property("expand", True)
        view.set_can_focus(False)
        view.get_accessible().set_name("Your picture")
        picture = Gtk.Box()
        picture.get_style_context().add_class("picture")
        picture.add(view)
        self._loud = Gtk.LevelBar(min_value=0, max_value=-QUIET)
        for name in (
            Gtk.LEVEL_BAR_OFFSET_LOW,
            Gtk.LEVEL_BAR_OFFSET_HIGH,
            Gtk.LEVEL_BAR_OFFSET_FULL,
        ):
            self._loud.remove_offset_value(name)
        self._loud.get_accessible().set_name("Loudness of your sound")
        return picture

    def _choices(self):
        self._picture, self._sound, self._quality = Chooser(), Chooser(), Chooser()
        self._quality.fill(QUALITIES, QUALITIES[0].key)
        for chooser in (self._picture, self._sound, self._quality):
            chooser.connect("chosen", lambda _: self._choose())
        self._name = Gtk.Entry(activates_default=True)
        self._name.set_max_length(LONGEST_NAME)
        self._name.set_text(self._arguments.name)
        self._name.set_placeholder_text("What viewers know the stream by")
        self._name.connect("changed", lambda _: self._named())
        self._hint, self._cost = Hint(self._name), Hint(self._quality)
        return form(
            ("_Picture", self._picture),
            ("_Sound", self._sound),
            ("_Quality", self._quality),
            (None, self._cost),
            ("_Name", self._name),
            (None, self._hint),
        )

    def _on_air(self):
        self._link, self._file = Copied("link"), Copied("file's path")
        self._audience = Audience()
        page = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=18)
        page.add(form(("_Link", self._link), ("_File", self._file)))
        page.pack_end(self._audience, True, True, 0)
        return page

    def _fill(self):
        """The lists of devices. At first a camera and a microphone are chosen, where there are some."""
        pictures, sounds = self._devices.pictures(), self._devices.sounds()
        picture = sound = None
        if not self._listed:
            self._listed = True
            is_test = self._arguments.test or not pictures[0].is_device
            picture = TEST_PICTURE.key if is_test else pictures[0].key
            sound = TEST_SOUND.key if is_test else sounds[0].key if sounds[0].is_device else None
        self._sound.fill(sounds, sound)
        self._picture.fill(pictures, picture)
        self._named()

    def _chosen(self):
        return self._picture.choice, self._sound.choice, self._quality.choice

    def _choose(self):
        """Another choice: what was wrong with the one before is no more."""
        self._lost = False
        if self._again.get_visible():
            self._info.hide()
        self._preview()

    def _preview(self):
        rate = self._quality.choice.nominal * UPLOAD / 1e6
        self._cost.say(f"Uploads up to {rate:.1f} Mbit/s, however many watch")
        if self._state == "off" and not self._closing and self._picture.get_active() >= 0:
            self._loud.set_value(0)
            self._broadcast.preview(*self._chosen())

    def _stream(self):
        arguments = self._arguments
        name = self._name.get_text().strip()
        return Stream(name, arguments.folder.absolute(), arguments.port, arguments.public_address)

    def _named(self):
        """A name was typed."""
        stream = self._stream()
        problem = name_problem(stream.name)
        may_stop = self._state in ("beginning", "live")
        may_start = self._state == "off" and self._picture.get_active() >= 0 and not problem
        self._button.set_sensitive(may_stop or may_start)
        if problem:
            # Who has not typed yet has done nothing wrong.
            self._hint.say(problem, is_wrong=bool(stream.name))
        elif stream.was_there_before:
            self._hint.say(f"Goes on with {stream.location}: the file that viewers have stays good")
        else:
            self._hint.say(f"Viewers will need {stream.location}")

    def _pressed(self):
        if self._state == "off":
            self._start()
        else:
            self._stop()

    def _start(self):
        self._info.hide()
        self._audience.begin()
        self._show_state("beginning")
        self._broadcast.start(*self._chosen(), self._stream())

    def _stop(self, now=False):
        self._show_state("ending")
        self._broadcast.stop(now)

    def _ready(self, _, location, uri):
        self._file.show_text(location)
        self._link.show_text(uri)
        if self._state == "beginning":
            self._show_state("live")
            self._link.focus()

    def _failed(self, _, text, was_live):
        if was_live and self._state == "live":
            text = f"{text.rstrip('.')}. The broadcast has stopped; viewers wait for it to go on"
        # Where the picture fails after the broadcast, what has ended that is the news.
        if was_live or not self._lost:
            self._say(text, Gtk.MessageType.ERROR)
        self._again.set_visible(not was_live)
        self._lost = was_live
        self._off_air(preview=was_live)

    def _off_air(self, preview=True):
        was_off = self._state == "off"
        self._show_state("off")
        if self._closing:
            # Without a broadcast it leaves as soon as it is asked to.
            if not was_off:
                self._leave()
        elif preview:
            self._preview()

    def _show_state(self, state):
        self._state = state
        is_off = state == "off"
        self._pages.set_visible_child_name("on-air" if state in ("live", "ending") else "choices")
        self._pages.get_child_by_name("choices").set_sensitive(is_off)
        self._button.set_label("_Go live" if is_off else "_Stop")
        style = self._button.get_style_context()
        for name, shown in (("destructive-action", not is_off), ("suggested-action", is_off)):
            (style.add_class if shown else style.remove_class)(name)
        self._badge.set_visible(state == "live")
        name = self._name.get_text().strip()
        subtitles = {"beginning": "Beginning…", "live": f"{name} is on air", "ending": "Ending…"}
        self._bar.set_subtitle(subtitles.get(state))
        self._named()

    def _look(self):
        stats = self._broadcast.stats() if self._state == "live" else None
        if stats:
            self._audience.look(stats)
        return GLib.SOURCE_CONTINUE

    def _loudness(self, _, decibels):
        self._loud.set_value(max(decibels - QUIET, 0))

    def _answered(self, _bar, answer):
        self._info.hide()
        if answer == Gtk.ResponseType.OK:
            self._choose()

    def _say(self, text, kind):
        self._again.hide()
        self._message.set_text(text)
        self._info.set_message_type(kind)
        self._message.show()
        self._info.show()
