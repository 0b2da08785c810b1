#!/bin/bash
# What pack.py packed, on the machine without network.
#   unpack.sh add FOLDER...   keep the pieces in these folders
#   unpack.sh finish          put all pieces together, unpack, say what is there
# RAIMENT_PREFIX (default /opt) is where it goes.
set -euo pipefail
prefix=${RAIMENT_PREFIX:-/opt}
parts=$prefix/raiment.parts
case ${1:-} in
  add)
    shift; mkdir -p "$parts"
    for folder in "$@"; do cp "$folder"/piece.* "$parts/"; done
    echo "pieces here: $(cd "$parts" && echo piece.*)" ;;
  finish)
    cd "$parts"
    count=0
    for piece in piece.*; do
      [ "$piece" = "$(printf 'piece.%02d' $count)" ] || { echo "$(printf 'piece.%02d' $count) is missing" >&2; exit 1; }
      count=$((count + 1))
    done
    if command -v xz >/dev/null; then cat piece.* | xz -dc -T0 | tar x -C "$prefix"
    else cat piece.* | python3 -c 'import lzma, sys, tarfile
tarfile.open(fileobj=lzma.open(sys.stdin.buffer), mode="r|").extractall(sys.argv[1])' "$prefix"; fi
    "$prefix/raiment/run" python -c 'import bpy, os; print("Blender", bpy.app.version_string, flush=True); os._exit(0)' ;;
  *) echo "usage: unpack.sh add FOLDER... | finish" >&2; exit 2 ;;
esac
