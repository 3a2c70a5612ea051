#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Whether pipelines/bench.sh still measures, and pipelines/plots.py draws: a short run in a debug build, of which each
# figure must be there, whatever it is.
#
# usage: speed.sh [--help]

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

no_options "$@"

"$project/pipelines/setup.sh" --check
dir=$(mktemp --directory)
trap 'rm -rf "$dir"' EXIT
cd "$project"
cargo build --locked --quiet --lib --example side-by-side
export LIVETORRENT_PLUGIN_DIR=${CARGO_TARGET_DIR:-$project/target}/debug
if ! pipelines/bench.sh --quick --only livetorrent,srt --bitrates 4 --audiences 2 \
    --json "$dir/figures.json" --plots "$dir" >"$dir/said" 2>&1; then
    cat "$dir/said"
    die "nothing was measured"
fi
python3 - "$dir" <<'PYTHON'
import json, sys, xml.dom.minidom
from pathlib import Path

folder = Path(sys.argv[1])
report = json.loads((folder / "figures.json").read_text())
names = "first delay50 delay99 processor memory got lost".split()
sides = ["sink-processor", "sink-memory", "sink-made", "sink-upload"] + [f"source-{name}" for name in names]
rows = report["hops"] + report["audience"]
assert sorted(row["candidate"] for row in rows) == ["livetorrent", "livetorrent", "srt", "srt"], rows
for row in rows:
    missing = [name for name in sides if row.get(name, {}).get("median") is None]
    assert not missing, (row["candidate"], missing)
for name in ("delay", "processor", "audience"):
    drawing = (folder / f"speed-{name}.svg").read_text()
    xml.dom.minidom.parseString(drawing)
    assert "livetorrent" in drawing and "nan" not in drawing, name
PYTHON
say "ok: measured, and drawn"
