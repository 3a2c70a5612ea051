// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

// Two trackers of the npm package bittorrent-tracker on loopback, one by IPv4 and one by IPv6, that by
// IPv4 over TLS too. Prints their announce URLs, one a line, and then of each announce of an event
// `EVENT PORT UPLOADED DOWNLOADED`; ends when its standard input does.
//
// usage: node tracker.mjs NODE_MODULES CERTIFICATE KEY

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { createServer } from 'node:tls'
import { pathToFileURL } from 'node:url'

const { default: Server } = await import(
  pathToFileURL(`${process.argv[2]}/bittorrent-tracker/server.js`)
)

// What comes by TLS goes on to the tracker as it is.
function encrypt (port) {
  const [cert, key] = process.argv.slice(3).map(file => readFileSync(file))
  const tls = createServer({ cert, key }, socket => {
    const tracker = connect(port, '127.0.0.1')
    socket.pipe(tracker).pipe(socket)
    socket.on('error', () => tracker.destroy())
    tracker.on('error', () => socket.destroy())
  })
  // Whoever does not trust the certificate goes away.
  tls.on('tlsClientError', () => {})
  tls.listen(0, '127.0.0.1', () => {
    console.log(`https://127.0.0.1:${tls.address().port}/announce`)
  })
}

for (const [udp, host, url] of [['udp', '127.0.0.1', '127.0.0.1'], ['udp6', '::1', '[::1]']]) {
  const server = new Server({ http: true, udp: true, ws: false, stats: false })
  server.on('error', error => { throw error })
  for (const event of ['start', 'stop', 'complete']) {
    server.on(event, (_, { port, uploaded, downloaded }) => {
      console.log(`${event} ${port} ${uploaded} ${downloaded}`)
    })
  }
  server.listen(0, { http: host, udp: '127.0.0.1', udp6: '::1' }, () => {
    console.log(`http://${url}:${server.http.address().port}/announce`)
    console.log(`udp://${url}:${server[udp].address().port}/announce`)
    if (udp === 'udp') encrypt(server.http.address().port)
  })
}
process.stdin.resume()
process.stdin.on('end', () => process.exit())
