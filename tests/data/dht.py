# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""A DHT of libtorrent sessions on one address of loopback. Prints the port of each when all know
others. Each line of its standard input is an infohash, a node's port and a peer's port. A new session,
which knows that node alone, looks for peers of that stream until the one at that port is among them;
the answer is a line of those that it found. Ends when its standard input does.

usage: python3 dht.py ADDRESS SESSIONS
"""

import re
import socket
import sys
import time

import libtorrent as lt

PATIENCE = 60


def session(address):
    host = f"[{address}]" if ":" in address else address
    return lt.session({
        "listen_interfaces": f"{host}:0",
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "dht_bootstrap_nodes": "",
        # On loopback all have one address.
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_ignore_dark_internet": False,
        "dht_block_ratelimit": 10_000,
        "dht_upload_rate_limit": 10_000_000,
        "alert_mask": lt.alert.category_t.dht_operation_notification,
    })


def wait_until_it_knows_others(address, port):
    query = b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node2:roi1e1:t2:aa1:y1:qe"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    end = time.monotonic() + PATIENCE
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.settimeout(0.2)
        while time.monotonic() < end:
            asker.sendto(query, (address, port))
            try:
                answer = asker.recv(1500)
            except TimeoutError:
                continue
            if re.search(rb"5:nodes[1-9]|6:nodes6[1-9]", answer):
                return
            time.sleep(0.2)
    sys.exit("libtorrent's nodes do not find each other")


def port_of(one):
    while not one.listen_port():
        one.wait_for_alert(100)
        one.pop_alerts()
    return one.listen_port()


def peers_of(address, infohash, port, wanted):
    asker = session(address)
    port_of(asker)
    asker.add_dht_node((address, port))
    target = lt.sha1_hash(bytes.fromhex(infohash))
    found = set()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (address, wanted) not in found:
        asker.dht_get_peers(target)
        asker.wait_for_alert(1000)
        for alert in asker.pop_alerts():
            if isinstance(alert, lt.dht_get_peers_reply_alert):
                found.update(alert.peers())
    return [f"{host}:{port}" for host, port in found]


def main(address, count):
    sessions = [session(address) for _ in range(int(count))]
    ports = [port_of(one) for one in sessions]
    for one in sessions:
        for port in ports:
            one.add_dht_node((address, port))
    for port in ports:
        wait_until_it_knows_others(address, port)
    print(*ports, flush=True)
    for line in sys.stdin:
        infohash, port, wanted = line.split()
        print(*peers_of(address, infohash, int(port), int(wanted)), flush=True)


main(*sys.argv[1:])
