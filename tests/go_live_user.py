# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""A user of the windows of pipelines/go-live.sh, who has what a screen reader has of them (AT-SPI), and a
keyboard; and viewers, who decode."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import gi

# This process reads the clipboard, and shows nothing.
os.environ["NO_AT_BRIDGE"] = "1"
gi.require_version("Atspi", "2.0")
gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Atspi, Gdk, GdkPixbuf, GLib, Gtk  # noqa: E402

del os.environ["NO_AT_BRIDGE"]
# A window that is slow to answer is not gone (ms; libatspi's own is 800).
Atspi.set_timeout(60_000, 60_000)

# Seconds for all that this does: no step of it has a time of its own.
ALLOWED = 140
DEADLINE = time.monotonic() + ALLOWED
# Of what a viewer decodes.
WIDTH, HEIGHT = 80, 45
FRAME = WIDTH * HEIGHT * 3
# The test picture's bars at full strength: white, yellow, cyan, green, magenta, red, blue.
BARS = {
    tuple(part == "1" for part in colour)
    for colour in ("111", "110", "011", "010", "101", "100", "001")
}
# What a user does something with.
ROLES = ("push button", "text", "combo box", "link")


def check(condition, what):
    if not condition:
        raise SystemExit(f"go-live.py: {what}")


def left():
    """Seconds until all should be over."""
    return max(DEADLINE - time.monotonic(), 0)


def until(what, ask):
    """Waits until `ask` gives something, and gives that."""
    while not (found := ask()):
        for child in Child.running:
            child.check_lives()
        check(left(), f"takes too long: {what() if callable(what) else what}")
        time.sleep(0.05)
    return found


class Child:
    """A process group, which Ctrl-C reaches as a whole."""

    running = []

    def __init__(self, name, words, folder, **environment):
        self.name = name
        self.log = pathlib.Path(folder, f"{name}.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(self)

    def check_lives(self):
        """Whoever has ended of itself has done so well."""
        if self.process.poll():
            check(False, f"{self.name} ended with {self.process.poll()}: {self.log.read_text()}")

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def end(self):
        """Of what goes on until it is told."""
        self.process.terminate()
        self.process.wait(left())
        self.running.remove(self)

    def ends(self):
        """By itself, well, and in silence."""
        try:
            status = self.process.wait(left())
        except subprocess.TimeoutExpired:
            check(False, f"{self.name} does not end")
        self.running.remove(self)
        said = self.log.read_text()
        check(status == 0, f"{self.name} ends with status {status}: {said}")
        check(not said, f"{self.name} says: {said}")

    @classmethod
    def kill_all(cls):
        for child in cls.running:
            if child.process.poll() is None:
                child.signal(signal.SIGKILL)
                child.process.wait()


class Window(Child):
    """A window of go-live.sh, as a screen reader has it."""

    def __init__(self, name, words, folder, *options, **environment):
        words = [*words, "--public-address", "127.0.0.1", *options]
        super().__init__(name, words, folder, **environment)
        self.pid = self.process.pid
        self.application = until(f"the window {name}", self._find)

    def _find(self):
        desktop = Atspi.get_desktop(0)
        for place in range(desktop.get_child_count()):
            application = desktop.get_child_at_index(place)
            # The script becomes the program.
            if application and application.get_process_id() == self.pid:
                if application.get_child_count():
                    return application
        return None

    def shown(self):
        """Everything that is on the screen: its role, its name and itself."""
        waiting, found = [self.application], []
        while waiting:
            node = waiting.pop()
            # What goes away while it is looked at is no more.
            try:
                for place in range(node.get_child_count()):
                    if child := node.get_child_at_index(place):
                        waiting.append(child)
                if node.get_state_set().contains(Atspi.StateType.SHOWING):
                    found.append((node.get_role_name(), node.get_name() or "", node))
            except GLib.Error:
                continue
        return found

    def seen(self):
        """The same, to read."""
        return [f"{role} {name!r}" for role, name, _ in self.shown() if name]

    def find(self, role, name):
        """What has this role and a name that fits."""
        for found, called, node in self.shown():
            if found == role and re.search(name, called):
                return node
        return None

    def wait(self, role, name):
        return until(
            lambda: f"{role} '{name}' in {self.name}, where there is {self.seen()}",
            lambda: self.find(role, name),
        )

    def reads(self, name):
        return self.wait("label", name)

    def is_alive(self, role, name):
        state = self.wait(role, name).get_state_set()
        return state.contains(Atspi.StateType.SENSITIVE)

    def press(self, name):
        button = self.wait("push button", name)
        until(f"button '{name}'", lambda: self.is_alive("push button", name))
        Atspi.Action.do_action(button, 0)

    def text(self, name):
        field = self.wait("text", name)
        return Atspi.Text.get_text(field, 0, Atspi.Text.get_character_count(field))

    def choices(self, name):
        """What a list has to choose from."""
        menu = self.wait("combo box", name).get_child_at_index(0)
        children = [menu.get_child_at_index(place) for place in range(menu.get_child_count())]
        return [child.get_name() for child in children if child]

    def choose(self, name, choice):
        """An entry of a list."""
        choices = until(
            lambda: f"{choice} in {name}, which has {self.choices(name)}",
            lambda: choice in (found := self.choices(name)) and found,
        )
        Atspi.Selection.select_child(self.wait("combo box", name), choices.index(choice))
        self.has_chosen(name, choice)

    def has_chosen(self, name, choice):
        def chosen():
            child = Atspi.Selection.get_selected_child(self.wait("combo box", name), 0)
            return child and child.get_name()

        until(lambda: f"{choice} as {name}, which is {chosen()}", lambda: chosen() == choice)

    def focus(self, role, name):
        node = self.wait(role, name)
        Atspi.Component.grab_focus(node)
        focused = Atspi.StateType.FOCUSED
        until(f"focus on {name}", lambda: node.get_state_set().contains(focused))

    def focused(self):
        for role, name, node in self.shown():
            if role in ROLES and node.get_state_set().contains(Atspi.StateType.FOCUSED):
                return f"{role} {name}"
        return None


def key(name, modifier=None):
    """A key of the keyboard, with another one held."""
    held = (
        modifier
        and Gdk.Keymap.get_for_display(Gdk.Display.get_default()).get_entries_for_keyval(
            Gdk.keyval_from_name(modifier)
        )[1][0]
    )
    if held:
        Atspi.generate_keyboard_event(held.keycode, None, Atspi.KeySynthType.PRESS)
    Atspi.generate_keyboard_event(Gdk.keyval_from_name(name), None, Atspi.KeySynthType.SYM)
    if held:
        Atspi.generate_keyboard_event(held.keycode, None, Atspi.KeySynthType.RELEASE)


def type_in(window, text):
    """In place of the name that is there."""
    window.focus("text", "^Name$")
    key("a", "Control_L")
    names = {"/": "slash", ".": "period", " ": "space"}
    for letter in text:
        key(names.get(letter, letter))
    until(f"'{text}' as the name", lambda: window.text("^Name$") == text)


def reached_by_tab(window):
    """What Tab leads to, once around."""
    reached = []
    while (focused := window.focused()) not in reached:
        reached.append(focused)
        key("Tab")
        until(f"the focus after {focused}", lambda: window.focused() not in (None, focused))
    return reached


class Viewer(Child):
    """Decodes picture and sound into files until the broadcast ends."""

    def __init__(self, name, folder, location):
        self.picture = pathlib.Path(folder, f"{name}.rgb")
        self.sound = pathlib.Path(folder, f"{name}.s16")
        super().__init__(
            name,
            f"gst-launch-1.0 --quiet livetorrentsrc location={location} ! decodebin name=decoder "
            "decoder. ! queue ! videoconvertscale "
            f"! video/x-raw,format=RGB,width={WIDTH},height={HEIGHT} "
            f"! filesink buffer-mode=unbuffered location={self.picture} "
            "decoder. ! queue ! audioconvert ! audio/x-raw,format=S16LE,channels=1 "
            f"! filesink buffer-mode=unbuffered location={self.sound}".split(),
            folder,
        )

    def frames(self):
        return self.picture.stat().st_size // FRAME if self.picture.exists() else 0

    def sees(self, more):
        """So many pictures more."""
        wanted = self.frames() + more
        until(lambda: f"{wanted} pictures, {self.frames()} now", lambda: self.frames() >= wanted)

    def ends(self):
        """At the end of the stream, with the test picture and sound in hand."""
        super().ends()
        colours = colours_of(self.picture.read_bytes()[-FRAME:])
        check(BARS <= colours, f"{self.name} has the colours {colours}")
        check(any(self.sound.read_bytes()), f"{self.name} has heard nothing")


def colours_of(pixels):
    """Which of red, green and blue is strong in each of the upper third."""
    upper = pixels[: len(pixels) // 9 * 3]
    return {tuple(part > 128 for part in upper[at : at + 3]) for at in range(0, len(upper), 3)}


def clipboard():
    text = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text()
    return text or ""


def shot(node):
    """What is on the screen where this is."""
    box = Atspi.Component.get_extents(node, Atspi.CoordType.SCREEN)
    root = Gdk.get_default_root_window()
    return Gdk.pixbuf_get_from_window(root, box.x, box.y, box.width, box.height)


def seen_in(window):
    """Pixels of what the window shows of the camera, or what else there is."""
    view = shot(window.wait("drawing area", "Your picture"))
    small = view.scale_simple(WIDTH, HEIGHT, GdkPixbuf.InterpType.NEAREST)
    return small.read_pixel_bytes().get_data()


def shows_bars(window):
    """The test picture, in the window."""

    def colours():
        return colours_of(seen_in(window))

    until(lambda: f"the test picture, in place of {colours()}", lambda: BARS <= colours())


def shows_screen(window):
    """What is less wide than a picture: black at the sides, where the test picture is white or blue."""

    def is_screen():
        pixels = seen_in(window)
        rows = [
            pixels[at : at + WIDTH * 3]
            for at in range(WIDTH * 3 * 3, len(pixels) - WIDTH * 9, WIDTH * 3)
        ]
        return all(max(row[6:9] + row[-9:-6]) < 40 for row in rows) and max(pixels) > 128

    until("the screen", is_screen)


def picture(window, file, button):
    """What the window shows, when the button has been drawn, which is of a bright colour."""

    def is_bright():
        inside = shot(window.wait("push button", button)).new_subpixbuf(20, 10, 1, 1)
        colour = inside.read_pixel_bytes().get_data()
        return max(colour[:3]) - min(colour[:3]) > 80

    until(f"the colour of {button}", is_bright)
    shot(window.application.get_child_at_index(0)).savev(file, "png", [], [])
