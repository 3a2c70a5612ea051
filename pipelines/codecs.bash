# shellcheck shell=bash
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

# What a broadcast that is encoded here is made of; sourced after lib.bash, never run.

# Pictures a second, and as many from one that a decoder can start with to the next.
readonly frame_rate=25

# NAME|bits of the picture a second|its size|what it is
readonly codecs=(
    "h264-aac|2000000|640x360|H.264 and AAC in MPEG-TS"
    "h265-aac|1500000|640x360|H.265 and AAC in MPEG-TS"
    "h264-opus|2000000|640x360|H.264 and Opus in MPEG-TS"
    "h264-mp3|2000000|640x360|H.264 and MP3 in MPEG-TS"
    "mpeg4-mp3|428288|320x240|MPEG-4 part 2 and MP3 (96 kbit/s, mono) in MPEG-TS"
    "mpeg4|428288|320x240|MPEG-4 part 2 in MPEG-TS, no sound"
    "mpeg2-mp2|2000000|640x360|MPEG-2 and MP2 in MPEG-TS"
    "mpeg1|1024000|320x240|MPEG-1 in an MPEG program stream, no sound"
    "aac|0|0x0|AAC in MPEG-TS, sound only"
    "vp8-vorbis|1500000|640x360|VP8 and Vorbis in WebM"
    "vp9-opus|1000000|640x360|VP9 and Opus in WebM"
    "av1-opus|1000000|640x360|AV1 and Opus in WebM"
)

# What the options of a script that encodes have chosen.
codec=h264-aac
codec_bits=

# encoder_option OPTION VALUE
encoder_option() {
    case $1 in
        --codec)
            codec=${2-}
            codec_row "$codec" >/dev/null || die "there is no codec '$codec'; --list-codecs lists them"
            ;;
        --bitrate)
            is_number "${2-}" 100000 || die "--bitrate needs a number of at least 100000"
            codec_bits=$2
            ;;
    esac
}

# The row of codec $1; fails where there is none.
codec_row() {
    local row
    for row in "${codecs[@]}"; do
        if [[ ${row%%|*} == "$1" ]]; then
            say "$row"
            return
        fi
    done
    return 1
}

list_codecs() {
    local row name bits what
    for row in "${codecs[@]}"; do
        IFS='|' read -r name bits _ what <<<"$row"
        printf '%-10s  %4d kbit/s  %s\n' "$name" $((bits / 1000)) "$what"
    done
}

# The first AAC encoder that is there, as a piece of pipeline.
aac_encoder() {
    local encoder
    for encoder in voaacenc avenc_aac fdkaacenc; do
        if gst-inspect-1.0 --exists "$encoder"; then
            say "$encoder"
            return
        fi
    done
    die "GStreamer has no AAC encoder here; ./pipelines/setup.sh installs one"
}

# The picture's encoder, as a piece of pipeline: picture_encoder CODEC BITS. Who tunes in later needs
# the parameters again, so each stands before every picture that a decoder can start with.
picture_encoder() {
    case $1 in
        h264-*) say "x264enc tune=zerolatency speed-preset=superfast bitrate=$(($2 / 1000))" \
            "key-int-max=$frame_rate ! video/x-h264,profile=main ! h264parse config-interval=-1" ;;
        h265-*) say "x265enc tune=zerolatency speed-preset=ultrafast bitrate=$(($2 / 1000))" \
            "key-int-max=$frame_rate ! video/x-h265,profile=main ! h265parse config-interval=-1" ;;
        vp8-*) say "vp8enc deadline=1 cpu-used=8 target-bitrate=$2 keyframe-max-dist=$frame_rate" ;;
        vp9-*) say "vp9enc deadline=1 cpu-used=8 target-bitrate=$2 keyframe-max-dist=$frame_rate" ;;
        av1-*) say "av1enc usage-profile=realtime cpu-used=10 lag-in-frames=0" \
            "target-bitrate=$(($2 / 1000)) keyframe-max-dist=$frame_rate ! av1parse" ;;
    esac
}

# The sound's encoder, as a piece of pipeline: nothing where the codec has no sound.
sound_encoder() {
    case $1 in
        *aac) say "audio/x-raw,rate=48000,channels=2 ! $(aac_encoder) ! aacparse" ;;
        *-opus) say "audio/x-raw,rate=48000,channels=2 ! opusenc ! opusparse" ;;
        *-vorbis) say "audio/x-raw,rate=48000,channels=2 ! vorbisenc" ;;
        *-mp3) say "audio/x-raw,rate=48000,channels=2" \
            "! lamemp3enc target=bitrate cbr=true bitrate=128 ! mpegaudioparse" ;;
    esac
}

# What puts them together.
container() {
    case $1 in
        vp8-* | vp9-* | av1-*) say "webmmux streamable=true" ;;
        *) say "mpegtsmux" ;;
    esac
}

raw_picture() { say "video/x-raw,format=I420,width=${1%x*},height=${1#*x},framerate=$frame_rate/1"; }

# encoded CODEC BITS SIZE PICTURE SOUND: a pipeline that ends with the container's bytes. PICTURE and
# SOUND are pieces of pipeline that give raw video and audio; an empty SOUND is none.
encoded() {
    local picture sound
    picture=$(picture_encoder "$1" "$2")
    sound=$(sound_encoder "$1")
    [[ -z $picture ]] ||
        say "$4 ! videoconvertscale ! videorate ! $(raw_picture "$3") ! queue ! $picture ! queue ! mux."
    [[ -z $sound || -z $5 ]] || say "$5 ! audioconvert ! audioresample ! queue ! $sound ! queue ! mux."
    say "$(container "$1") name=mux"
}

# Whether ffmpeg encodes this one: with FFmpeg 5 the encoders of gst-libav 1.22 refuse MPEG-1 and MPEG-2, and
# give MPEG-4's pictures no times.
is_ffmpeg_codec() { [[ $1 == mpeg* ]]; }

# ffmpeg_encoded CODEC BITS SIZE PICTURE SOUND: the same, as bytes on standard output.
ffmpeg_encoded() {
    local raw encoder=(-b:v "$2" -g "$frame_rate") rate=48000 channels=2 sound=true
    case $1 in
        mpeg4) encoder+=(-codec:v mpeg4 -f mpegts) sound=false ;;
        mpeg4-mp3) encoder+=(-codec:v mpeg4 -codec:a libmp3lame -b:a 96k -f mpegts) rate=44100 channels=1 ;;
        mpeg2-mp2) encoder+=(-codec:v mpeg2video -codec:a mp2 -b:a 192k -f mpegts) ;;
        mpeg1) encoder+=(-codec:v mpeg1video -minrate "$2" -maxrate "$2" -bufsize "$2" -f mpeg) sound=false ;;
    esac
    raw="$4 ! videoconvertscale ! videorate ! $(raw_picture "$3") ! queue ! mux."
    if $sound && [[ -n $5 ]]; then
        raw+=" $5 ! audioconvert ! audioresample"
        raw+=" ! audio/x-raw,format=S16LE,rate=$rate,channels=$channels ! queue ! mux."
    fi
    # shellcheck disable=SC2086 # the pipeline is words
    gst-launch-1.0 -q $raw matroskamux name=mux streamable=true ! fdsink fd=4 4>&1 >&2 |
        ffmpeg -nostdin -hide_banner -loglevel fatal -fflags nobuffer -f matroska -i - \
            "${encoder[@]}" -flush_packets 1 -
}

readonly test_video="videotestsrc is-live=true pattern=smpte"
readonly test_audio="audiotestsrc is-live=true wave=ticks"

# The test picture with sound as a transport stream of $1 bit/s video: live, one random access
# point a second.
test_picture() { encoded h264-aac "$1" 640x360 "$test_video" "$test_audio"; }

# broadcast_encoded NAME PICTURE SOUND: broadcasts by the codec and the properties that options have chosen.
broadcast_encoded() {
    local bits size
    IFS='|' read -r _ bits size _ <<<"$(codec_row "$codec")"
    bits=${codec_bits:-$bits}
    if is_ffmpeg_codec "$codec"; then
        command -v ffmpeg >/dev/null || "$project/pipelines/setup.sh" --check --with ffmpeg
        # What comes is live already.
        exec 3< <(ffmpeg_encoded "$codec" "$bits" "$size" "$2" "$3")
        exec gst-launch-1.0 -e fdsrc fd=3 ! livetorrentsink sync=false name="$1" "${sink[@]}"
    fi
    # shellcheck disable=SC2046 # the pipeline is words
    exec gst-launch-1.0 -e $(encoded "$codec" "$bits" "$size" "$2" "$3") \
        ! livetorrentsink name="$1" "${sink[@]}"
}

# broadcast_device OPTION ARGUMENT...: what a script does with its arguments that broadcasts a device and a
# microphone. It sets `name` and `device`, for which OPTION names another one, and has a function
# `picture_of DEVICE` that says the piece of pipeline, or dies.
broadcast_device() {
    local option=$1 picture='' sound=autoaudiosrc
    shift
    while (($#)); do
        case $1 in
            "$option") device=${2-}; shift ;;
            --no-sound) sound= ;;
            --test-picture) picture=$test_video sound=${sound:+$test_audio} ;;
            --codec | --bitrate) encoder_option "$1" "${2-}"; shift ;;
            --name) name=${2-}; shift ;;
            --port | --public-address) sink_option "$1" "${2-}"; shift ;;
            --list-codecs) list_codecs; exit ;;
            -h | --help) usage; exit ;;
            *) usage_error "$1" ;;
        esac
        shift || die "an option lacks its value"
    done
    if [[ -z $picture ]]; then
        [[ $device != *[[:space:]]* ]] || die "$option must have no spaces"
        picture=$(picture_of "$device")
    fi

    use_plugin
    say "Viewers tune in with $PWD/$name.tstream; Ctrl-C ends the broadcast"
    broadcast_encoded "$name" "$picture" "$sound"
}
