#!/bin/sh
# The C++ compiler of `build.sh`: OpenH264 reads strangers' bytes too, so it is watched as Percept is. libFuzzer itself is not.
case $PWD in
    *openh264*) set -- -fsanitize="fuzzer-no-link${SANITIZER:+,$SANITIZER}" "$@" ;;
esac
exec clang++ "$@"
