#!/bin/sh
# Builds all fuzzers, as `cargo fuzz build -O --sanitizer none` does, but with several units of code, which is faster here, and
# with OpenH264 watched too where there is clang. `SANITIZER=address` finds what unsafe code does to memory, and takes twice the time.
set -e
cd "$(dirname "$0")"
flags='--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
 -Cllvm-args=-sanitizer-coverage-trace-compares'
[ -z "$SANITIZER" ] || flags="$flags -Zsanitizer=$SANITIZER"
if command -v clang++ > /dev/null; then
    export SANITIZER CXX="$PWD/cxx.sh"
fi
CARGO_INCREMENTAL=1 RUSTFLAGS=$(echo $flags) cargo +nightly build --release --target x86_64-unknown-linux-gnu \
    --target-dir "target${SANITIZER:+/$SANITIZER}" "$@"
