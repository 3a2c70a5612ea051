# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""Drives the windows of pipelines/go-live.sh by what a screen reader has of them (AT-SPI) and by keys, while
real viewers watch. Called by go-live.sh, on an X server and a session bus of its own:

    go-live.py SCRIPT FOLDER PICTURES SCHEME
"""

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
from gi.repository import Atspi, Gdk, GLib, Gtk  # noqa: E402

del os.environ["NO_AT_BRIDGE"]

PATIENCE = 40
# Of what a viewer decodes.
WIDTH, HEIGHT = 80, 45
FRAME = WIDTH * HEIGHT * 3
# The test picture's bars at full strength: white, yellow, cyan, green, magenta, red, blue.
BARS = {(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)}
# What a user does something with.
ROLES = ("push button", "text", "combo box", "link")


def check(condition, what):
    if not condition:
        raise SystemExit(f"go-live.py: {what}")


def until(what, ask):
    """Waits until `ask` gives something, and gives that."""
    deadline = time.monotonic() + PATIENCE
    while not (found := ask()):
        for child in Child.running:
            child.check_lives()
        check(time.monotonic() < deadline, f"takes too long: {what() if callable(what) else what}")
        time.sleep(0.05)
    return found


class Child:
    """A process group, which Ctrl-C reaches as a whole."""

    running = []

    def __init__(self, name, words, folder):
        self.name = name
        self.log = pathlib.Path(folder, f"{name}.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
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

    def ends(self):
        """By itself, well, and in silence."""
        try:
            status = self.process.wait(PATIENCE)
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

    def __init__(self, name, script, folder, *options):
        options = ("--test", "--port", "0", "--public-address", "127.0.0.1", *options)
        super().__init__(name, [script, *options], folder)
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

    def choose(self, name, choice):
        """An entry of a list."""
        chooser = self.wait("combo box", name)
        menu = chooser.get_child_at_index(0)
        labels = [menu.get_child_at_index(i).get_name() for i in range(menu.get_child_count())]
        check(choice in labels, f"{name} lacks {choice}: {labels}")
        Atspi.Selection.select_child(chooser, labels.index(choice))
        until(
            f"{choice} as {name}",
            lambda: chooser.get_name() == choice or self.chosen(chooser) == choice,
        )
        return labels

    @staticmethod
    def chosen(chooser):
        child = Atspi.Selection.get_selected_child(chooser, 0)
        return child and child.get_name()

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


class Viewer(Child):
    """Decodes picture and sound into files until the broadcast ends."""

    def __init__(self, name, folder, location):
        self.picture, self.sound = (
            pathlib.Path(folder, f"{name}.{kind}") for kind in ("rgb", "s16")
        )
        super().__init__(
            name,
            f"gst-launch-1.0 --quiet livetorrentsrc location={location} ! decodebin name=decoder "
            f"decoder. ! queue ! videoconvertscale ! video/x-raw,format=RGB,width={WIDTH},height={HEIGHT} "
            f"! filesink buffer-mode=unbuffered location={self.picture} "
            "decoder. ! queue ! audioconvert ! audio/x-raw,format=S16LE,channels=1 "
            f"! filesink buffer-mode=unbuffered location={self.sound}".split(),
            folder,
        )

    def frames(self):
        return self.picture.stat().st_size // FRAME if self.picture.exists() else 0

    def sees(self, frames):
        until(f"{frames} pictures at {self.name}", lambda: self.frames() >= frames)

    def ends(self):
        """At the end of the stream, with the test picture and the test sound in hand."""
        super().ends()
        data = self.picture.read_bytes()[-FRAME:]
        row = [data[at : at + 3] for at in range(0, WIDTH * 3, 3)]
        colours = {tuple(int(part > 128) for part in pixel) for pixel in row}
        check(BARS <= colours, f"{self.name} has the colours {colours}")
        check(any(self.sound.read_bytes()), f"{self.name} has heard nothing")


def clipboard():
    text = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text()
    return text or ""


def picture(window, file, button):
    """What the window shows, when the button has been drawn, which is of a bright colour."""
    frame = window.application.get_child_at_index(0)

    def shot(node):
        box = Atspi.Component.get_extents(node, Atspi.CoordType.SCREEN)
        root = Gdk.get_default_root_window()
        return Gdk.pixbuf_get_from_window(root, box.x, box.y, box.width, box.height)

    def is_bright():
        colour = shot(window.wait("push button", button)).new_subpixbuf(20, 10, 1, 1).get_pixels()
        return max(colour[:3]) - min(colour[:3]) > 80

    until(f"the colour of {button}", is_bright)
    shot(frame).savev(file, "png", [], [])


def everything_has_a_name(window):
    for role, name, node in window.shown():
        check(
            role not in ROLES or name, f"a {role} without a name, in {node.get_parent().get_name()}"
        )


def first_broadcast(script, folder, pictures, scheme):
    """All of it: choices, wrong names, viewers, the link, a second one with the same key, the end."""
    window = Window("window", script, folder)
    window.wait("drawing area", "Your picture")
    everything_has_a_name(window)
    check(not window.is_alive("push button", "Go live"), "it goes live without a name")
    choices = window.choose("^Picture$", "Test picture")
    check(choices[-2:] == ["Screen", "Test picture"], f"to be seen: {choices}")
    window.choose("^Quality$", "Medium: 1280 × 720, 2.5 Mbit/s")
    window.choose("^Quality$", "Small: 640 × 360, 1 Mbit/s")

    for wrong, why in (("../talk", "letters, digits"), (".talk", "begins with")):
        type_in(window, wrong)
        window.reads(why)
        check(not window.is_alive("push button", "Go live"), f"it goes live as {wrong}")
        key("Return")
    type_in(window, "a talk")
    window.reads("Viewers will need .*/a talk.tstream")
    if pictures:
        picture(window, f"{pictures}/go-live-choices-{scheme}.png", "Go live")
    check(not list(folder.glob("*.tstream")), "a file is there before the broadcast")
    key("Return")

    # The button that copies the link has the focus.
    window.reads("^LIVE$")
    window.wait("push button", "Copy the link")
    everything_has_a_name(window)
    link = window.text("^Link$")
    check(link.startswith("livetorrent:?"), f"the link is {link}")
    check(window.text("^File$") == str(folder / "a talk.tstream"), window.text("^File$"))
    check((folder / "a talk.tstream").exists(), "the file is not there")
    until(
        lambda: f"the focus: {window.focused()}",
        lambda: "Copy the link" in (window.focused() or ""),
    )
    key("space")
    window.wait("push button", "The link is copied")
    until("the link in the clipboard", lambda: clipboard() == link)

    viewers = [Viewer("viewer", folder, link)]
    window.reads("^Viewers: 1$")
    viewers[0].sees(75)
    for figure in ("Stream: [0-9.]*[1-9]", "Upload: [0-9.]*[1-9]", "On air for: 0:00:[0-5]"):
        window.reads(f"^{figure}")
    window.reads("^Behind by: [0-9]")
    if pictures:
        viewers += [Viewer(f"viewer-{number}", folder, link) for number in (2, 3)]
        window.reads("^Viewers: 3$")
        viewers[-1].sees(250)
        picture(window, f"{pictures}/go-live-on-air-{scheme}.png", "Stop")

    second = Window("second", script, folder, "--name", "a talk")
    second.reads("Goes on with")
    second.press("Go live")
    second.reads("a talk.sauth is in use by another livetorrentsink")
    second.press("Go live")
    second.press("^Close$")
    second.ends()

    window.press("^Stop$")
    for viewer in viewers:
        viewer.ends()
    window.wait("push button", "^Go live$")
    window.reads("Goes on with")
    return window, link


def same_again(window, link, folder):
    """The same key goes on, and who closes the window ends the broadcast."""
    window.press("^Go live$")
    window.reads("^LIVE$")
    again = window.text("^Link$")
    infohash = re.search("xt=[^&]*", link).group()
    check(infohash in again, f"another stream: {again}")
    viewer = Viewer("later", folder, again)
    viewer.sees(25)
    window.press("^Close$")
    viewer.ends()
    window.ends()


def interrupted(script, folder):
    """Ctrl-C, on the air."""
    window = Window("interrupted", script, folder, "--name", "interrupted")
    window.press("^Go live$")
    window.reads("^LIVE$")
    viewer = Viewer("witness", folder, window.text("^Link$"))
    viewer.sees(25)
    window.signal(signal.SIGINT)
    viewer.ends()
    window.ends()


def main(script, folder, pictures, scheme):
    folder = pathlib.Path(folder)
    try:
        window, link = first_broadcast(script, folder, pictures, scheme)
        same_again(window, link, folder)
        interrupted(script, folder)
    finally:
        Child.kill_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
