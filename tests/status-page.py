# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""Looks at status pages with Chromium, which is spoken to by its own protocol over a pipe, so that
nothing else is needed. Called by status-page.sh:

    status-page.py SOURCE_PORT VIEWER_PORT FOLDER PROMTOOL PICTURES
"""

import base64
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

PATIENCE = 30
# What a hostile peer calls itself; no more than 64 characters of it are kept.
SCRIPT = "<img src=x onerror=document.title='x'><script>alert(1)</script>"
# Beside the pages' own host, as a page of somebody else would have its name point here.
REBOUND = "attacker.example"


def check(condition, what):
    if not condition:
        raise SystemExit(f"status-page.py: {what}")


class Browser:
    """Chromium without a window."""

    def __init__(self, folder):
        commands, self.commands = os.pipe()
        self.events, events = os.pipe()
        words = [
            "chromium",
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}/chromium",
            f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--force-device-scale-factor=1",
        ]
        if os.geteuid() == 0:
            words.append("--no-sandbox")

        # The browser reads commands from file 3 and writes to 4.
        files = f"3<&{commands} 4>&{events}"
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" {files}', "bash", *words],
            pass_fds=(commands, events),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(events)
        self.read = b""
        self.number = 0
        self.pending = []

    def close(self):
        self.process.kill()
        self.process.wait()

    def next(self, deadline):
        """The next message, in the order in which they come."""
        while b"\0" not in self.read:
            left = max(0, deadline - time.monotonic())
            ready, _, _ = select.select([self.events], [], [], left)
            check(ready, "the browser says nothing")
            data = os.read(self.events, 1 << 20)
            check(data, "the browser has ended")
            self.read += data
        message, self.read = self.read.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.commands, data):]
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.next(deadline)
            if answer.get("id") == self.number:
                check("error" not in answer, f"{method}: {answer.get('error')}")
                return answer["result"]
            self.pending.append(answer)


class Page:
    """A tab, and what went wrong in it."""

    def __init__(self, browser):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        for domain in ["Page", "Runtime", "Log", "Network", "Audits", "Accessibility", "DOM"]:
            self.call(f"{domain}.enable")
        self.seen = 0

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def run(self, expression):
        """The value of an expression, or of its promise."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        check("exceptionDetails" not in result, f"{expression}: {result}")
        return result["result"].get("value")

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState == 'complete'")

    def until(self, expression):
        """Waits until it is true; its value."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.run(expression)):
            if time.monotonic() > deadline:
                check(False, f"never true: {expression}; {json.dumps(self.complaints())[:2000]}")
            time.sleep(0.05)
        return value

    def complaints(self):
        """What the console, the policy and the browser's own checks said."""
        found = []
        # Whatever was said before this has come by now.
        self.run("0")
        for event in self.browser.pending:
            if event.get("sessionId") != self.session:
                continue
            method, params = event.get("method"), event.get("params")
            if method in ("Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
                found.append(params)
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                found.append(params)
            elif method == "Log.entryAdded" and params["entry"]["level"] != "verbose":
                found.append(params)
            elif method == "Audits.issueAdded":
                found.append(params)
        return found

    def requests(self):
        """Hosts that it asked for something."""
        events = (e for e in self.browser.pending if e.get("method") == "Network.requestWillBeSent")
        return {e["params"]["request"]["url"].split("/")[2] for e in events}

    def key(self, key, **more):
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"Enter": "\r"}.get(key)
        for kind in ["keyDown", "keyUp"]:
            press = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, **more}
            if kind == "keyDown" and text:
                press["text"] = text
            self.call("Input.dispatchKeyEvent", **press)

    def width(self, pixels, mobile=True):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=pixels,
            height=800,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    def scheme(self, scheme):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, file):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        pathlib.Path(file).write_bytes(base64.b64decode(data))


def hostile_peer(port, infohash):
    """A connection that shakes hands (BEP 3, BEP 10) under a name that is a script."""
    peer = socket.create_connection(("127.0.0.1", port), PATIENCE)
    reserved = bytes([0, 0, 0, 0, 0, 0x10, 0, 0x04])
    name = SCRIPT.encode()
    greeting = b"d4:livede1:md12:tstream_livei3ee1:pi0e4:reqqi256e1:v%d:%se" % (len(name), name)
    extended, have_none = b"\x14\x00" + greeting, b"\x0f"
    peer.sendall(b"\x13BitTorrent protocol" + reserved + bytes.fromhex(infohash) + os.urandom(20))
    for message in [extended, have_none]:
        peer.sendall(len(message).to_bytes(4, "big") + message)
    return peer


def luminance(colour):
    """Of `rgb(r, g, b)` (WCAG 2)."""
    parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def moves(page, texts):
    """These texts become others, in the document that was loaded."""
    page.run("window.loadedOnce = true")
    page.until("document.getElementById('state').textContent == '– live'")
    for text in texts:
        where = f"document.querySelector('[data-text={text}]').textContent"
        before = page.run(where)
        page.until(f"{where} != {json.dumps(before)}")
    points = "document.getElementById('connected').getAttribute('points')"
    before = page.run(points)
    page.until(f"{points} != {json.dumps(before)}")
    check(page.run("window.loadedOnce"), "the page was loaded again")


def readable(page):
    """In either scheme, and on a phone; what is hidden there is hidden in every row."""
    grounds = set()
    for scheme in ["light", "dark"]:
        page.scheme(scheme)
        colours = page.run(
            "[...document.querySelectorAll('h1, dt, dd, caption, figcaption, th, td, a, button, input, .key')]"
            ".map(e => { for (let at = e; at; at = at.parentElement) {"
            " const ground = getComputedStyle(at).backgroundColor;"
            " if (!ground.startsWith('rgba')) return [getComputedStyle(e).color, ground, e.outerHTML]; } })"
        )
        grounds.add(page.run("getComputedStyle(document.body).backgroundColor"))
        for text, ground, element in colours:
            ratio = contrast(text, ground)
            check(ratio >= 4.5, f"contrast {ratio:.1f} in {scheme}: {element}")
    check(len(grounds) == 2, "one scheme is like the other")
    for width in [320, 360, 768, 1280]:
        page.width(width, width < 1000)
        wide = page.run("document.documentElement.scrollWidth")
        check(wide <= width, f"{wide} pixels wide on a screen of {width}")
        shown = page.run(
            "[...document.querySelectorAll('#peer-table tr')].map(row =>"
            " [...row.children].filter(cell => cell.offsetWidth).length)"
        )
        check(len(set(shown)) == 1, f"cells of the rows at {width}: {shown}")
        inner = page.run(
            "(e => [e.scrollWidth, e.clientWidth])(document.querySelector('.scroll'))"
        )
        check(inner[0] <= inner[1], f"the table needs {inner} at {width}")


def reached_by_keys(page):
    """Tab leads to everything that does something, each shows it, and Enter copies."""
    page.run("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    reached = []
    for _ in range(20):
        page.key("Tab")
        where = page.run(
            "(e => e == document.body ? '' : [e.id || e.dataset.copy || e.textContent || e.className,"
            " getComputedStyle(e).outlineStyle])(document.activeElement)"
        )
        if not where:
            break
        check(where[1] != "none", f"focus cannot be seen on {where}")
        reached.append(where[0])
        if where[0] == "link" and len(reached) > 1 and reached[-2] == "link":
            page.key("Enter")
            page.until("document.getElementById('copied').textContent == 'Copied.'")
            copied = page.run("navigator.clipboard.readText()")
            check(copied.startswith("livetorrent:?"), f"copied: {copied}")
    expected = ["link", "link", "file", "file"]
    check([r for r in reached if r in expected] == expected, f"reached: {reached}")
    check(any("Download" in r for r in reached), f"reached: {reached}")
    return reached


def told(page):
    """What a screen reader is told: everything has a name."""
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {}
    for node in nodes:
        if node.get("ignored"):
            continue
        role = node.get("role", {}).get("value")
        roles.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    for role in ["button", "textbox", "link", "table", "image", "region", "heading"]:
        names = roles.get(role, [])
        check(names and all(names), f"{role} without a name: {names}")
    check(all(roles.get("meter", [])), "a meter without a name")
    check("status" in roles, "no status for what changes")
    check(len(roles["heading"]) >= 6, f"headings: {roles['heading']}")


def fetch(port, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


def look(page, port, texts, pictures, name):
    page.scheme("light")
    page.width(1280, mobile=False)
    page.open(f"http://127.0.0.1:{port}/")
    moves(page, texts)
    told(page)
    readable(page)
    page.width(1280, mobile=False)
    reached_by_keys(page)
    if pictures:
        for scheme in ["light", "dark"]:
            page.scheme(scheme)
            page.width(960, mobile=False)
            page.run(
                "document.activeElement.blur(); window.getSelection().removeAllRanges();"
                "document.getElementById('copied').textContent = ''"
            )
            page.picture(f"{pictures}/status-{name}-{scheme}.png")
        page.width(360)
        page.picture(f"{pictures}/status-{name}-phone.png")
    complaints = page.complaints()
    check(not complaints, f"complaints: {json.dumps(complaints)[:2000]}")


def main(source, viewer, folder, promtool, pictures):
    for port in [source, viewer]:
        if promtool:
            metrics = fetch(port, "/metrics")
            subprocess.run([promtool, "check", "metrics"], input=metrics, check=True)
        openmetrics = fetch(port, "/metrics", Accept="application/openmetrics-text")
        check(openmetrics.endswith(b"\n# EOF\n"), "OpenMetrics has no end")

    browser = Browser(folder)
    try:
        browser.call(
            "Browser.grantPermissions",
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
        )
        page = Page(browser)
        look(page, source, ["uptime", "sent", "bitrate", "upload"], pictures, "source")
        look(page, viewer, ["uptime", "received"], pictures, "viewer")

        # What a peer says is shown as it is, and nothing else.
        page.open(f"http://127.0.0.1:{source}/")
        infohash = json.loads(fetch(source, "/stats.json"))["infohash"]
        shown = (
            f"[...document.querySelectorAll('#peer-table td')].some(cell =>"
            f" cell.textContent == {json.dumps(SCRIPT)})"
        )
        with hostile_peer(source, infohash):
            # In an event, and in the page.
            page.until(shown)
            page.open(f"http://127.0.0.1:{source}/")
            page.until(shown)
            images = page.run("document.querySelectorAll('img, #peer-table td *').length")
            check(images == 0, "a peer's name has become an element")
            check(page.run("document.title") == "broadcast – livetorrent", "a peer's name ran")
        complaints = page.complaints()
        check(not complaints, f"complaints: {json.dumps(complaints)[:2000]}")
        hosts = page.requests()
        own = {f"127.0.0.1:{port}" for port in (source, viewer)}
        check(hosts == own, f"asked: {hosts}")

        # All of it is there without a script.
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.call("Page.navigate", url=f"http://127.0.0.1:{source}/")
        page.until("document.querySelectorAll('#peer-table tbody tr').length >= 3")
        page.call("Emulation.setScriptExecutionDisabled", value=False)

        # A name of somebody else that points here leads nowhere.
        for port in [source, viewer]:
            page.call("Page.navigate", url=f"http://{REBOUND}:{port}/stats.json")
            page.until("document.body?.textContent.startsWith('421 ')")
    finally:
        browser.close()


if __name__ == "__main__":
    _, source_port, viewer_port, *rest = sys.argv
    main(int(source_port), int(viewer_port), *rest)
