"""Memory and speed of the discriminators' motion over an index as large as AMASS (40 hours), all of it made up here.

    python benchmarks/motions.py --hours 40

Writes 60 motions of random length at 120 Hz (7 s to 40 s, SMPL+H's 156 numbers a frame) and links them under other
names until the hours are full, as AMASS has some 11,000 files. Then it streams one round of windows and prints the
process's resident memory as it goes: the figure to look at is whether it rises.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from train.real.motions import MotionStream, MotionWindows


def make(folder: Path, hours: float, kinds: int, fps: float) -> int:
    """Write `kinds` motions and link them until they last `hours`; returns the number of files."""
    rng = np.random.default_rng(0)
    lengths, count, total = [], 0, 0.0
    (folder / "made").mkdir(parents=True)
    while total < hours * 3600:
        if count < kinds:
            seconds = float(np.exp(rng.uniform(np.log(7), np.log(40))))
            frames = int(seconds * fps)
            steps = rng.normal(0, 0.01, (frames, 159)).astype(np.float32).cumsum(axis=0)
            np.savez(
                folder / "made" / f"{count:05d}_poses.npz",
                poses=steps[:, :156],
                trans=steps[:, 156:],
                betas=np.zeros(16),
                gender=np.array("neutral"),
                mocap_framerate=fps,
            )
            lengths.append(frames / fps)
        else:
            os.link(folder / "made" / f"{count % kinds:05d}_poses.npz", folder / "made" / f"{count:05d}_poses.npz")
        total += lengths[count % kinds]
        count += 1
    return count


def resident() -> float:
    """Resident memory of the process [MB]."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=40.0)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--share", type=float, default=1.0, help="Part of a round to stream.")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = make(Path(name), given.hours, 60, 120.0)
        bare = resident()
        began = time.process_time()
        windows = MotionWindows(name, length=given.length, fps=given.fps)
        indexed, index_seconds = resident(), time.process_time() - began
        stream = MotionStream(windows, seed=0)
        count = int(stream.round * given.share)
        began, shown = time.process_time(), []
        for place in range(count):
            _ = stream[place]
            if place % max(1, count // 20) == max(1, count // 20) - 1:
                shown.append(round(resident(), 1))
        seconds = time.process_time() - began
    report = {
        "files": files,
        "hours": round(windows.hours, 2),
        "windows": count,
        "resident_before_mb": round(bare, 1),
        "resident_indexed_mb": round(indexed, 1),
        "resident_mb": shown,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
        "index_cpu_seconds": round(index_seconds, 1),
        "windows_per_cpu_second": round(count / seconds),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    if given.json:
        given.json.write_text(json.dumps(report) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
