"""How fast verify checks a shard: every label of every picture, on one core.

    python benchmarks/verify.py --data shards/
    python benchmarks/verify.py --frames 30 --views 4

Unit: frames (pictures: frames x views) per second of CPU time of one process, more is better. Everything that
`synth verify` does counts: checksums, posing, projecting, drawing, comparing all maps, decoding the pictures. CPU time
is taken because it is less moved by what else runs than the clock is; caches and memory are shared all the same, so the
best of the rounds is the number, the median is printed beside it. Without --data a dressed clip is made by the tests'
factory (no Blender), with grain so that its JPEGs have a usual size.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from synth.shards.verify import verify_shard

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "shards"))


def measure(path: Path, rounds: int) -> tuple[int, list[float]]:
    """Pictures of a shard, and CPU seconds of each round; the first, that loads the body model, is not counted."""
    report = verify_shard(path)
    # the factory's cloth is the skin moved outwards, which goes into the body where that bends
    if faults := [fault for fault in report.faults if fault.name != "penetration"]:
        sys.exit(f"{path}: {faults[0]}")
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        verify_shard(path)
        seconds.append(time.process_time() - started)
    return report.images, seconds


def main() -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of shards [default: make one]")
    parser.add_argument("--frames", type=int, default=30, help="of a made clip [30]")
    parser.add_argument("--views", type=int, default=4, help="of a made clip [4]")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.data is None:
            from shard_factory import make_shard

            make_shard(Path(scratch), frames=options.frames, views=options.views, dressed=True, texture=6.0)
        paths = sorted((options.data or Path(scratch)).glob("*.h5"))
        if not paths:
            sys.exit(f"{options.data}: no shards")
        images, best, middle = 0, 0.0, 0.0
        for path in paths:
            count, seconds = measure(path, options.rounds)
            images, best = images + count, best + min(seconds)
            middle += statistics.median(seconds)
            print(f"{path.name}: {count} frames, {count / min(seconds):.1f}/s best of {options.rounds}")
    print(f"median of the rounds: {images / middle:.1f}/s")
    print(json.dumps({"frames_per_s_per_core": round(images / best, 1)}))


if __name__ == "__main__":
    main()
