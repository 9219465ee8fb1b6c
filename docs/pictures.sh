#!/usr/bin/env bash
# Makes the pictures of README.md, each from a real run of the program: docs/pictures.sh, after `cargo build --release`.
# Those of pages need Chromium and Node.js (`npm ci` in tests/report); that of an evaluation ../shared/data/fsdd, too.
set -eu
cd "$(dirname "$0")/.."
PERCEPT=${PERCEPT:-$PWD/target/release/percept}
OUT=$PWD/docs/pictures
WORK=$(mktemp -d)
trap 'rm -r "$WORK"' EXIT

"$PERCEPT" tag --preview "$WORK/gesture.png" assets/gesture/ > /dev/null
"$PERCEPT" tag --preview "$WORK/number.png" assets/number.wav > /dev/null
"$PERCEPT" features assets/number.wav --tag -o "$WORK/features.png" > /dev/null

# What is heard in the samples, as a page of results; the page of an evaluation, on a speaker's clips.
ln -s "$PWD/assets" "$WORK/calls"
(cd "$WORK" && "$PERCEPT" batch --task tag --frames calls/number.wav calls/gesture.mp4 -o results.jsonl &&
    "$PERCEPT" report results.jsonl -o report.html)
if [ -f ../shared/data/fsdd/manifest.csv ]; then
    "$PERCEPT" train --manifest ../shared/data/fsdd/manifest.csv --where speaker=nicolas --epochs 8 --hidden-size 32 --seed 1 \
        -o "$WORK/speaker.safetensors" --report "$WORK/training.html" > /dev/null
else
    echo "the picture of a training stays as it is: ../shared/data/fsdd is not there" >&2
fi

if [ -d tests/report/node_modules ] && command -v chromium > /dev/null; then
    node tests/report/screenshot.mjs "$WORK/report.html" "$WORK/report.png" 1180 820
    [ -f "$WORK/training.html" ] && node tests/report/screenshot.mjs "$WORK/training.html" "$WORK/training.png" 1180 1220
else
    echo "the pictures of pages stay as they are: chromium and 'npm ci' in tests/report are needed" >&2
fi
cp "$WORK"/*.png "$OUT"/
