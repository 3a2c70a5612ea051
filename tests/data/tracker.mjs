// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

// Two trackers of the npm package bittorrent-tracker on loopback, one by IPv4 and one by IPv6. Prints
// their announce URLs, one a line, and ends when its standard input does.
//
// usage: node tracker.mjs NODE_MODULES

import { pathToFileURL } from 'node:url'

const { default: Server } = await import(
  pathToFileURL(`${process.argv[2]}/bittorrent-tracker/server.js`)
)

for (const [udp, host, url] of [['udp', '127.0.0.1', '127.0.0.1'], ['udp6', '::1', '[::1]']]) {
  const server = new Server({ http: true, udp: true, ws: false, stats: false })
  server.on('error', error => { throw error })
  server.listen(0, { http: host, udp: '127.0.0.1', udp6: '::1' }, () => {
    console.log(`http://${url}:${server.http.address().port}/announce`)
    console.log(`udp://${url}:${server[udp].address().port}/announce`)
  })
}
process.stdin.resume()
process.stdin.on('end', () => process.exit())
