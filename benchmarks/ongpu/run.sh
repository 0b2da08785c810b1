#!/bin/bash
# On a machine without network, after unpack.sh: the GPU benchmark or the learning run with the right two Pythons.
#   run.sh gpu FOLDER [arguments of benchmarks/gpu.py]            measurements go to FOLDER/gpu.jsonl and FOLDER/gpu.md
#   run.sh learning FOLDER [arguments of benchmarks/learning.py]  its results go to FOLDER
# What is to outlast the call is in FOLDER; measurements in FOLDER (or in KEEP) are not made again. RAIMENT_PREFIX
# (default /opt) is where things were unpacked; KEEP (default $RAIMENT_PREFIX/raiment.kept) lasts as long as the machine.
set -euo pipefail
what=${1:?gpu or learning}; out=${2:?a folder}; shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
prefix=${RAIMENT_PREFIX:-/opt}; keep=${KEEP:-$prefix/raiment.kept}
mkdir -p "$out" "$keep"
export PYTHONUNBUFFERED=1 LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/nvidia/lib64:/usr/local/nvidia/lib
blender="$prefix/raiment/run python"; torch=${TORCH_PYTHON:-python3}
finish() {
  [ -f "$keep/gpu.jsonl" ] && cp "$keep/gpu.jsonl" "$out/"
  for file in state.json results.json results.md; do [ -f "$keep/learning/$file" ] && cp "$keep/learning/$file" "$out/"; done
  return 0
}
trap finish EXIT
case $what in
  gpu)
    [ -f "$keep/gpu.jsonl" ] || { [ -f "$out/gpu.jsonl" ] && cp "$out/gpu.jsonl" "$keep/"; } || true
    "$torch" "$root/benchmarks/gpu.py" --blender "$blender" --torch "$torch" --out "$keep/gpu.jsonl" "$@" | tee "$out/gpu.log"
    "$torch" "$root/benchmarks/gpu.py" --report --out "$keep/gpu.jsonl" > "$out/gpu.md" ;;
  learning)
    "$torch" "$root/benchmarks/learning.py" --blender "$blender" --torch "$torch" --out "$keep/learning" "$@" | tee "$out/learning.log"
    (cd "$keep/learning" && find table -name '*.csv' -o -name 'measures.json' -o -name '*.png' | tar czf "$out/learning.tar.gz" -T - 2>/dev/null) || true ;;
  *) echo "usage: run.sh gpu|learning FOLDER ..." >&2; exit 2 ;;
esac
