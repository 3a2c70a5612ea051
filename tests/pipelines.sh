#!/usr/bin/env bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# Runs each script of pipelines/ that broadcasts or watches, for real: files, programs and servers of every kind
# on one side, players and servers on the other, in between the swarm. What a viewer decodes is counted. Each
# script is ended by Ctrl-C and may leave no process. A verdict for each; status 0 when all are well.
#
# usage: pipelines.sh [CASE]... [--list] [--show] [--help]
#
#   CASE      only these
#   --list    print the cases
#   --show    print what the scripts of a case that failed have said

set -euo pipefail
# shellcheck source=pipelines/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../pipelines/lib.bash"

readonly cases=(
    file loop max-bitrate pipe listen fifo webm http fetch killed camera no-sound screen rtsp
    record window stdout hls srt udp rtmp encode
)
# Seconds that anything may take.
readonly patience=30

show=false
chosen=()
while (($#)); do
    case $1 in
        --list) printf '%s\n' "${cases[@]}"; exit ;;
        --show) show=true ;;
        -h | --help) usage; exit ;;
        *)
            [[ " ${cases[*]} " == *" $1 "* ]] || usage_error "$1"
            chosen+=("$1")
            ;;
    esac
    shift
done
((${#chosen[@]})) || chosen=("${cases[@]}")

"$project/pipelines/setup.sh" --check --with ffmpeg --with xvfb --with curl --with python3-gi \
    --with gir1.2-gst-rtsp-server-1.0 --with procps
"$project/tests/tools.sh"
use_plugin
# One process brings GStreamer's list of plugins up to date, not all of them at once.
gst-inspect-1.0 livetorrentsrc >/dev/null || die "GStreamer does not find the plugin"
readonly nginx=${CARGO_TARGET_DIR:-$project/target}/tools/nginx

dir=$(mktemp --directory)
export XDG_CACHE_HOME=$dir/cache XDG_RUNTIME_DIR=$dir
# Process groups that run, by name.
declare -A running=()
clean_up() {
    local name
    trap - EXIT
    trap '' INT TERM
    for name in "${!running[@]}"; do
        kill -KILL -- "-${running[$name]}" 2>/dev/null || true
    done
    wait
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed=false
fail() {
    say "    $*"
    well=false
    failed=true
}

# start NAME COMMAND...: in the background, as a terminal does it: a process group that Ctrl-C reaches.
start() {
    local name=$1
    shift
    : >"$dir/$name.log"
    set -m
    (cd "$dir" && exec "$@") >"$dir/$name.log" 2>&1 </dev/null &
    running[$name]=$!
    set +m
}

# script NAME SCRIPT ARGUMENT...
script() {
    local name=$1 script=$2
    shift 2
    start "$name" "$project/pipelines/$script.sh" "$@"
}

# broadcast NAME SCRIPT ARGUMENT...: done when the .tstream is there.
broadcast() {
    script "$@" --name "$1" --port 0 --public-address 127.0.0.1
    await "the start of $1" test -e "$dir/$1.tstream"
}

# await WHAT COMMAND...: until the command succeeds.
await() {
    local what=$1 deadline=$((SECONDS + patience))
    shift
    until "$@"; do
        if ((SECONDS > deadline)); then
            fail "$what takes too long"
            return 1
        fi
        read -r -t 0.05 -u "$nothing" || true
    done
}
exec {nothing}<> <(:)

said() { grep -qs -- "$2" "$dir/$1.log"; }
# Whether no process of the group runs; one that nobody has waited for yet does not.
gone() { ! pgrep --pgroup "$1" --runstates D,R,S,T,t,I >/dev/null; }

# stop NAME...: by Ctrl-C. The script ends by itself and well, and all that it started with it.
stop() {
    local name group status
    for name in "$@"; do
        group=${running[$name]}
        kill -INT -- "-$group" 2>/dev/null || true
        if ! await "the end of $name" gone "$group"; then
            ps -o pid=,args= -g "$group" | sed 's/^/    left: /'
            kill -KILL -- "-$group" 2>/dev/null || true
        fi
        status=0
        wait "$group" || status=$?
        unset "running[$name]"
        ((status == 0 || status == 130)) || fail "$name ends with status $status"
    done
}

# The end of what is no script of ours.
end() {
    local name
    for name in "$@"; do
        kill -TERM -- "-${running[$name]}" 2>/dev/null || true
        wait "${running[$name]}" 2>/dev/null || true
        unset "running[$name]"
    done
}

# port_in NAME EXPRESSION: the number that the sed expression finds in what NAME says.
port_in() { sed -n "$2" "$dir/$1.log" | head -n1; }

# A port that nobody has.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# decode WHAT FRAMES OPTION...: what ffmpeg makes of the input that the options name, so many pictures; fails
# unless there are as many, and sound for as long, which is no silence. OPTION may be --silent for what has none.
decode() {
    local what=$1 frames=$2 pictures sounds different sound=(-map 0:a:0)
    shift 2
    [[ $1 != --silent ]] || { sound=(); shift; }
    : >"$dir/crc"
    timeout --kill-after=5 "$patience" ffmpeg -nostdin -v warning -fflags nobuffer -analyzeduration 1000000 \
        "$@" -map 0:v:0 "${sound[@]}" -frames:v "$frames" -shortest -f framecrc "$dir/crc" -y \
        </dev/stdin 2>"$dir/ffmpeg.log" || true
    pictures=$(grep -c '^0,' "$dir/crc" || true)
    sounds=$(grep -c '^1,' "$dir/crc" || true)
    # Blocks that differ: there is no silence only.
    different=$(sed -n 's/^1,.*, //p' "$dir/crc" | sort -u | wc -l)
    ((pictures >= frames)) || fail "$what: $pictures of $frames pictures"
    ((${#sound[@]} == 0 || sounds >= frames && different > 2)) ||
        fail "$what: $sounds blocks of sound, $different of them different"
    seen="$pictures pictures, $sounds blocks of sound"
}

# view NAME FRAMES [--silent]: the same of what a viewer of the broadcast NAME writes for a player.
view() {
    local name=$1 frames=$2
    shift 2
    decode "$name" "$frames" "$@" -i - < <("$project/pipelines/stdout.sh" "$dir/$name.tstream" --latency 200 2>/dev/null)
}

# clip SECONDS FILE: with sound, a key frame a second.
clip() {
    timeout "$patience" ffmpeg -nostdin -v fatal -f lavfi -i "testsrc2=size=320x240:rate=25" \
        -f lavfi -i "sine=frequency=440:beep_factor=3:sample_rate=48000" -t "$1" \
        -codec:v libx264 -preset ultrafast -tune zerolatency -g 25 -b:v 600k -codec:a aac -f mpegts "$2" </dev/null
}

# television: a broadcast that the cases share which are about viewers.
television() {
    [[ -z ${running[television]-} ]] || return 0
    broadcast television broadcast-camera --test-picture
}

case_file() {
    broadcast file broadcast-file clip.ts
    view file 50
    stop file
}
case_loop() {
    broadcast loop broadcast-file short.ts --loop
    # The file has 50 pictures.
    view loop 120
    stop loop
}
case_max-bitrate() {
    local size
    size=$(stat --format=%s "$dir/short.ts")
    # Twice as fast as the file's own clock has it, and what comes at once.
    limited max-bitrate "$size" broadcast-file short.ts
    mkfifo "$dir/flood"
    start feeder bash -c "exec cat short.ts >flood"
    limited max-bitrate-live "$size" broadcast-pipe flood --live
    end feeder
}
# limited NAME SIZE SCRIPT ARGUMENT...: a broadcast of so many bytes takes a second, or more.
limited() {
    local name=$1 size=$2 began=${EPOCHREALTIME/[!0-9]/} took
    shift 2
    broadcast "$name" "$@" --max-bitrate $((size * 8))
    await "the end of the file" gone "${running[$name]}" || true
    took=$(((${EPOCHREALTIME/[!0-9]/} - began) / 1000))
    ((took >= 950)) || fail "$size bytes at $((size * 8)) bit/s took $took ms"
    seen+="${seen:+, }$size bytes in $took ms"
    stop "$name"
}
case_pipe() {
    start pipe bash -c "ffmpeg -nostdin -v fatal -re -i clip.ts -codec copy -f mpegts - |
        '$project/pipelines/broadcast-pipe.sh' --live --name pipe --port 0 --public-address 127.0.0.1"
    await "the start of pipe" test -e "$dir/pipe.tstream"
    view pipe 50
    stop pipe
}
# A program like OBS publishes, to the server that `broadcast-pipe.sh --help` names.
case_listen() {
    local port
    port=$(free_port)
    start listen bash -c "ffmpeg -nostdin -v fatal -listen 1 -i rtmp://127.0.0.1:$port/live/foo -codec copy -f mpegts - |
        '$project/pipelines/broadcast-pipe.sh' --live --name listen --port 0 --public-address 127.0.0.1"
    # Until the server is there.
    start publisher bash -c "until ffmpeg -nostdin -v fatal -re -i clip.ts -codec copy -bsf:a aac_adtstoasc \
        -f flv rtmp://127.0.0.1:$port/live/foo; do sleep 0.2; done"
    await "the start of listen" test -e "$dir/listen.tstream"
    view listen 50
    end publisher
    stop listen
}
case_fifo() {
    mkfifo "$dir/fifo"
    start feeder bash -c "exec cat clip.ts >fifo"
    broadcast fifo broadcast-pipe fifo
    view fifo 50
    stop fifo
    end feeder
}
case_webm() {
    start webm bash -c "ffmpeg -nostdin -v fatal -re -f lavfi -i testsrc2=size=320x240:rate=25 \
        -f lavfi -i sine=beep_factor=3:sample_rate=48000 -codec:v libvpx -deadline realtime -cpu-used 8 -g 25 \
        -codec:a libopus -cluster_time_limit 500 -live 1 -flush_packets 1 -f webm - |
        '$project/pipelines/broadcast-pipe.sh' --live --webm --name webm --port 0 --public-address 127.0.0.1"
    await "the start of webm" test -e "$dir/webm.tstream"
    view webm 50
    # One more, who comes amid the stream.
    view webm 50
    stop webm
}
# A server of the folder's files, at `port`.
serve() {
    start server python3 -u -m http.server --bind 127.0.0.1 0
    await "the server" said server Serving
    port=$(port_in server 's/.* port \([0-9]*\).*/\1/p')
}
case_http() {
    local port tries
    serve
    broadcast http broadcast-url "http://127.0.0.1:$port/short.ts" --wait 1
    # The file has 50 pictures, and is fetched again.
    view http 75
    end server
    await "the reconnecting" tries_at_least http 4
    start server python3 -u -m http.server --bind 127.0.0.1 "$port"
    await "the server's second start" said server Serving
    view http 50
    tries=$(grep -c "again in 1 s" "$dir/http.log")
    seen="$seen, after $tries tries"
    stop http
    end server
}
# By itself: the file again and again, until nobody reads any more.
case_fetch() {
    local port size
    serve
    size=$(stat --format=%s "$dir/short.ts")
    start fetch bash -c "'$project/pipelines/fetch.sh' http://127.0.0.1:$port/short.ts --wait 1 |
        head --bytes=$((size * 5 / 2)) >fetched.ts"
    await "the end of fetch" gone "${running[fetch]}" || true
    cmp --silent "$dir/fetched.ts" <(cat "$dir"/short.ts{,,} | head --bytes=$((size * 5 / 2))) ||
        fail "it wrote something else than the file"
    seen="$(stat --format=%s "$dir/fetched.ts") bytes of a file of $size"
    stop fetch
    end server
}
# Nothing outlives a script that cannot clean up: not who waits for the next try, nor who waits for a caller.
case_killed() {
    local port name
    port=$(free_port)
    broadcast waiting broadcast-url "http://127.0.0.1:$port/" --wait 600
    await "the first try" tries_at_least waiting 1 "again in 600 s"
    broadcast listening broadcast-url "srt://127.0.0.1:$port?mode=listener"
    for name in waiting listening; do
        kill -KILL "${running[$name]}"
        await "the end of all of $name" gone "${running[$name]}" || true
        wait "${running[$name]}" 2>/dev/null || true
        unset "running[$name]"
    done
    seen="nothing is left"
}
tries_at_least() { (($(grep -c "${3:-again in 1 s}" "$dir/$1.log" || true) >= $2)); }
case_camera() {
    television
    view television 50
}
case_no-sound() {
    broadcast no-sound broadcast-camera --test-picture --no-sound --codec h265-aac
    view no-sound 50 --silent
    stop no-sound
}
# A screen of ours, in `screen`.
open_screen() {
    start Xvfb Xvfb -displayfd 1 -screen 0 800x600x24 -nolisten tcp
    await "the X server" grep -qs '^[0-9]' "$dir/Xvfb.log"
    screen=:$(grep '^[0-9]' "$dir/Xvfb.log")
}
case_screen() {
    open_screen
    broadcast screen broadcast-screen --display "$screen" --no-sound
    view screen 50 --silent
    stop screen
    end Xvfb
}
case_rtsp() {
    local url
    cat >"$dir/rtsp.py" <<'EOT'
import gi
gi.require_version('Gst', '1.0')
gi.require_version('GstRtspServer', '1.0')
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address('127.0.0.1')
server.set_service('0')
factory = GstRtspServer.RTSPMediaFactory()
factory.set_shared(True)
factory.set_launch('''( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1
    ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0
    audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=48000 ! voaacenc ! rtpmp4gpay name=pay1 )''')
server.get_mount_points().add_factory('/television', factory)
server.attach(None)
print('port', server.get_bound_port(), flush=True)
GLib.MainLoop().run()
EOT
    # Debian's own Python has Debian's bindings.
    start server /usr/bin/python3 rtsp.py
    await "the server" said server port
    url=rtsp://127.0.0.1:$(port_in server 's/^port //p')/television
    broadcast rtsp broadcast-url "$url"
    view rtsp 50
    broadcast rtsp-again broadcast-url "$url" --codec h265-aac --no-sound
    view rtsp-again 50 --silent
    stop rtsp rtsp-again
    end server
}
case_record() {
    television
    script record record television.tstream record.ts --seconds 4
    await "the end of the recording" gone "${running[record]}" || true
    decode record 50 -i "$dir/record.ts"
    stop record
}
case_window() {
    television
    open_screen
    start watch env DISPLAY="$screen" "$project/pipelines/watch.sh" television.tstream
    await "the test picture on the screen" shows_bars || true
    stop watch
    end Xvfb
    seen="the test picture's bars, in a window"
}
# Whether the screen shows colours as the test picture has: of few pixels, each a byte of red, green and blue.
shows_bars() {
    timeout "$patience" gst-launch-1.0 -q ximagesrc display-name="$screen" num-buffers=1 ! videoconvertscale \
        ! video/x-raw,format=RGB,width=80,height=60 ! filesink location="$dir/shot" 2>/dev/null
    python3 - "$dir/shot" <<'EOT'
import sys
shot = open(sys.argv[1], 'rb').read()
rows = [shot[at:at + 240] for at in range(0, len(shot), 240)]
# 75 %: yellow, cyan, green, magenta, red, blue.
wanted = [(1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)]
pixels = {tuple(int(c > 95) for c in row[at:at + 3]) for row in rows for at in range(0, 240, 3)}
sys.exit(not all(colour in pixels for colour in wanted))
EOT
}
case_stdout() {
    television
    open_screen
    # ffplay stands for players. By Ctrl-C it ends with a status of its own.
    start stdout env DISPLAY="$screen" SDL_AUDIODRIVER=dummy bash -c \
        "trap : INT; '$project/pipelines/stdout.sh' television.tstream | ffplay -nostats -loglevel error - || true"
    await "the test picture on the screen" shows_bars || true
    stop stdout
    end Xvfb
    seen="the test picture's bars, in ffplay's window"
}
case_hls() {
    local port in_browser=
    television
    port=$(free_port)
    script hls hls television.tstream --http-port "$port"
    if command -v chromium >/dev/null; then
        browse "$port"
        in_browser=", and $(sed -n 's/.*frames-\([0-9]*\).*/\1/p' "$dir/hls.log" | tail -n1) pictures in Chromium"
    fi
    await "the playlist" curl --silent --fail --output "$dir/playlist.log" "http://127.0.0.1:$port/live.m3u8"
    curl --silent --fail "http://127.0.0.1:$port/" | grep -q '<video src="live.m3u8"' || fail "there is no page"
    decode hls 50 -i "http://127.0.0.1:$port/live.m3u8"
    seen+=$in_browser
    stop hls
    [[ -z $(find "$dir" -maxdepth 1 -name 'livetorrent-hls-*') ]] || fail "its folder is left"
}
# browse PORT: opens the page in Chromium before there is anything to see, until it shows 100 pictures. What it asks
# the server for tells how many.
browse() {
    local root=() page
    ((EUID != 0)) || root=(--no-sandbox)
    await "the page" curl --silent --fail --output "$dir/page.log" "http://127.0.0.1:$1/" || return 0
    page=$(find "$dir" -maxdepth 1 -name 'livetorrent-hls-*')/frames.html
    cat >"$page" <<'EOT'
<!doctype html>
<iframe src="./"></iframe>
<script>
  setInterval(() => {
    const video = document.querySelector("iframe").contentDocument.querySelector("video");
    fetch("frames-" + video.getVideoPlaybackQuality().totalVideoFrames);
  }, 500);
</script>
EOT
    start chromium chromium --headless=new "${root[@]}" --user-data-dir="$dir/chromium" --no-first-run --disable-gpu \
        --disable-dev-shm-usage --remote-debugging-port=0 "http://127.0.0.1:$1/frames.html"
    await "pictures in Chromium" grep -q 'GET /frames-[0-9]\{3\}' "$dir/hls.log" || true
    end chromium
}
# relayed URL-OF-RELAY URL-OF-BROADCASTER: out of one stream by one protocol and into another.
relayed() {
    television
    script "$1-relay" relay television.tstream "$2"
    broadcast "$1" broadcast-url "$3" --wait 1
    view "$1" 50
    stop "$1" "$1-relay"
}
case_srt() {
    local port
    port=$(free_port)
    relayed srt "srt://:$port?mode=listener" "srt://127.0.0.1:$port"
    # Who calls and who listens, the other way round.
    relayed srt-call "srt://127.0.0.1:$port" "srt://127.0.0.1:$port?mode=listener"
}
case_udp() {
    local port
    port=$(free_port)
    relayed udp "udp://127.0.0.1:$port" "udp://127.0.0.1:$port"
}
# A server of RTMP, at `port`.
open_nginx() {
    port=$(free_port)
    cat >"$dir/nginx.conf" <<EOT
load_module $nginx/usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/nginx.log notice;
events { }
rtmp { server { listen 127.0.0.1:$port; application live { live on; wait_key on; } } }
EOT
    rm -f "$dir/nginx.pid"
    start nginx "$nginx/usr/sbin/nginx" -p "$dir" -e "$dir/nginx.log" -c "$dir/nginx.conf"
    await "nginx" test -s "$dir/nginx.pid"
}
case_rtmp() {
    local port
    open_nginx
    relayed rtmp "rtmp://127.0.0.1:$port/live/television" "rtmp://127.0.0.1:$port/live/television"
    end nginx
}
# What browsers and RTMP do not know, encoded again for them.
case_encode() {
    local port first
    broadcast strange broadcast-test --codec h265-aac
    port=$(free_port)
    script encode-hls hls strange.tstream --encode --http-port "$port"
    await "the playlist" curl --silent --fail --output "$dir/playlist.log" "http://127.0.0.1:$port/live.m3u8"
    decode encode-hls 50 -i "http://127.0.0.1:$port/live.m3u8"
    first=$seen
    stop encode-hls
    open_nginx
    script encode-relay relay strange.tstream "rtmp://127.0.0.1:$port/live/strange" --encode
    decode encode-relay 50 -i "rtmp://127.0.0.1:$port/live/strange"
    seen="HLS: $first; RTMP: $seen"
    stop encode-relay strange
    end nginx
}

clip 8 "$dir/clip.ts"
clip 2 "$dir/short.ts"
for name in "${chosen[@]}"; do
    well=true
    seen=
    began=$SECONDS
    "case_$name" || fail "it was given up"
    if $well; then
        printf '%-12s OK      %s (%d s)\n' "$name" "$seen" $((SECONDS - began))
        continue
    fi
    printf '%-12s FAILED  %s (%d s)\n' "$name" "$seen" $((SECONDS - began))
    ! $show || tail -n 40 "$dir"/*.log
done
[[ -z ${running[television]-} ]] || stop television
if $failed; then
    say "FAILED"
    exit 1
fi
say "OK"
