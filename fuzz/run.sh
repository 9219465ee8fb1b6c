#!/bin/bash
# run.sh TARGET SECONDS: fuzzes one target, on from where it was. What it did goes to logs/TARGET; what went wrong lies in
# artifacts/TARGET. `build.sh` and `seeds.sh` come first.
set -eu
cd "$(dirname "$0")"
target=$1
case $target in
    model | model_header | npy | results | worker) dictionary=json.dict ;;
    labels | manifest) dictionary=labels.dict ;;
    *) dictionary=$target.dict ;;
esac
case $target in
    audio) longest=16384 ;;
    pictures | video | model) longest=32768 ;;
    *) longest=8192 ;;
esac
mkdir -p "corpus/$target" "artifacts/$target" logs
# No ffmpeg program, which a decoder of ours would hand a file on to; one thread, whose time is counted.
export PATH= RAYON_NUM_THREADS=1
# A sanitizer keeps for a while what is freed, shadows all, and looks at every access: then half of both is its own.
memory=1024 seconds=${FUZZ_TIMEOUT:-10}
[ -z "${SANITIZER:-}" ] || memory=2048 seconds=$((2 * seconds))
exec "target${SANITIZER:+/$SANITIZER}/x86_64-unknown-linux-gnu/release/$target" "corpus/$target" -dict=$dictionary -max_len=$longest \
    -max_total_time="$2" -timeout="$seconds" -rss_limit_mb=$memory -malloc_limit_mb=1024 \
    -artifact_prefix="artifacts/$target/" -print_final_stats=1 -reload=0 -verbosity=1 >> "logs/$target" 2>&1
