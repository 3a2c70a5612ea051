// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

// Keeps the page up to date. What comes is text and goes in as text, never as markup.

'use strict';

/** Between two tries when the source has no place for one more listener, in milliseconds. */
const RETRY = 10000;

const byId = (id) => document.getElementById(id);

/** Leaves alone what is the same, for who has selected it or has it read out. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** As many children as there are items, each filled with its item. */
function fill(parent, items, make, show) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(document.createElement(make));
  items.forEach((item, at) => show(parent.children[at], item));
}

function show(view) {
  for (const element of document.querySelectorAll('[data-text]')) {
    put(element, view.texts[element.dataset.text] ?? '');
  }
  const upload = byId('upload');
  upload.hidden = view.uploadLimit === null;
  upload.max = view.uploadLimit ?? view.upload;
  upload.value = view.upload;
  byId('connected').setAttribute('points', view.connected);
  byId('announced').setAttribute('points', view.announced);
  const most = Math.max(1, ...view.delays);
  byId('delays').tBodies[0].querySelectorAll('td').forEach((cell, at) => {
    put(cell.querySelector('span'), String(view.delays[at]));
    const meter = cell.querySelector('meter');
    meter.max = most;
    meter.value = view.delays[at];
  });
  fill(byId('peer-table').tBodies[0], view.peers, 'tr', (row, cells) => fill(row, cells, 'td', put));
}

let events = null;
let retry = 0;

function hangUp() {
  clearTimeout(retry);
  events?.close();
  events = null;
}

function listen() {
  hangUp();
  events = new EventSource('events');
  events.onopen = () => put(byId('state'), '– live');
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => {
    put(byId('state'), '– no connection, trying again');
    if (events.readyState === EventSource.CLOSED) retry = setTimeout(listen, RETRY);
  };
}

/** The clipboard is for pages that nobody can have changed on the way; others let the user do it. */
async function copy(input) {
  try {
    await navigator.clipboard.writeText(input.value);
    put(byId('copied'), 'Copied.');
  } catch {
    input.select();
    put(byId('copied'), 'Selected; copy it with Ctrl+C.');
  }
}

byId('file').value = new URL(byId('file').value, location.href).href;
for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', () => copy(byId(button.dataset.copy)));
}
// A page that nobody sees gives its place to others.
document.addEventListener('visibilitychange', () => (document.hidden ? hangUp() : listen()));
listen();
