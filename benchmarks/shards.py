"""Reading and writing shards: how far from what JPEG decoding alone costs, and against one file per frame.

    python benchmarks/shards.py --data shards/
    python benchmarks/shards.py --synthetic 6 --render-seconds 0.6

Unit: windows of T = 16 frames per second (more is better), RGB and the labels a mesh-recovery network needs. The
floor decodes the very same JPEGs, already in memory. One-file-per-frame is what a script would write: a JPEG and a .npz
of the same labels for every frame. All variants run in the same number of processes, rounds interleaved, medians taken.
The write cost is the wall time to label, encode, compress, checksum, sync and read back, as a share of rendering plus
writing; it is measured on synthetic frames, the rendering time comes from the manifest or the flag.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from synth.shards.manifest import Manifest, open_dataset
from synth.shards.read import decode_jpeg

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "shards"))
FIELDS = (
    "keypoints_2d",
    "visibility",
    "joints_camera",
    "bbox",
    "K",
    "smpl/body_pose",
    "smpl/betas",
    "smpl_camera/global_orient",
    "smpl_camera/transl",
)
T = 16
Places = list[tuple[int, int, int]]


def choose(folder: Path, count: int, seed: int) -> Places:
    """Random windows: (shard, view, first frame)."""
    entries = open_dataset(folder).entries
    if not any(entry.frames >= T for entry in entries):
        sys.exit(f"{folder}: no clip has {T} frames")
    rng = np.random.default_rng(seed)
    usable = [i for i, entry in enumerate(entries) if entry.frames >= T]
    chosen = []
    for shard in rng.choice(usable, count):
        entry = entries[shard]
        chosen.append((int(shard), int(rng.integers(entry.views)), int(rng.integers(entry.frames - T + 1))))
    return chosen


def explode(folder: Path, out: Path) -> None:
    """Write one JPEG and one npz per frame, with the same pictures and labels."""
    for shard, reader in enumerate(open_dataset(folder)):
        for view in range(reader.layout.views):
            place = out / f"{shard}_{view}"
            place.mkdir()
            for t in range(len(reader)):
                (place / f"{t:06d}.jpg").write_bytes(reader.jpeg(view, t))
                np.savez(
                    place / f"{t:06d}.npz", **{k.replace("/", "."): v for k, v in reader.frame(view, t, FIELDS).items()}
                )


def read_shards(folder: Path, _: Path, places: Places) -> Callable[[], None]:
    """Random windows through the reader."""
    shards = open_dataset(folder)
    fields = ("rgb", *FIELDS)

    def work() -> None:
        for shard, view, start in places:
            shards[shard].window(view, start, T, fields)

    return work


def decode_only(folder: Path, _: Path, places: Places) -> Callable[[], None]:
    """The floor: the same JPEGs from memory, nothing else."""
    shards = open_dataset(folder)
    windows = [
        ([shards[s].jpeg(v, t) for t in range(start, start + T)], (shards[s].layout.width, shards[s].layout.height))
        for s, v, start in places
    ]

    def work() -> None:
        for jpegs, size in windows:
            np.stack([decode_jpeg(jpeg, size) for jpeg in jpegs])

    return work


def read_files(folder: Path, exploded: Path, places: Places) -> Callable[[], None]:
    """One file per frame and kind."""
    shards = open_dataset(folder)
    sizes = [(shards[s].layout.width, shards[s].layout.height) for s, _, _ in places]

    def work() -> None:
        for (shard, view, start), size in zip(places, sizes, strict=True):
            place = exploded / f"{shard}_{view}"
            pictures, labels = [], []
            for t in range(start, start + T):
                pictures.append(decode_jpeg((place / f"{t:06d}.jpg").read_bytes(), size))
                with np.load(place / f"{t:06d}.npz") as frame:
                    labels.append({name: frame[name] for name in frame.files})
            np.stack(pictures)
            for name in labels[0]:
                np.stack([frame[name] for frame in labels])

    return work


VARIANTS = {"shards": read_shards, "decode floor": decode_only, "file per frame": read_files}


def _worker(name: str, folder: Path, exploded: Path, places: Places, barrier, times) -> None:
    work = VARIANTS[name](folder, exploded, places)
    work()  # warm: files are in the page cache for every variant
    barrier.wait()
    started = time.perf_counter()
    work()
    times.put((started, time.perf_counter()))


def measure(name: str, folder: Path, exploded: Path, places: Places, workers: int) -> float:
    """Windows per second of `workers` processes together."""
    context = get_context("spawn")
    barrier, times = context.Barrier(workers), context.Queue()
    shares = [places[k::workers] for k in range(workers)]
    processes = [context.Process(target=_worker, args=(name, folder, exploded, s, barrier, times)) for s in shares]
    for process in processes:
        process.start()
    spans = [times.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return len(places) / (max(end for _, end in spans) - min(start for start, _ in spans))


def measure_writing(clips: int, out: Path, frames: int) -> float:
    """Write synthetic shards with grain like a render's; seconds per image, drawing them not counted."""
    import shard_factory as factory

    from synth.body.model import load_named
    from synth.shards.write import Provenance, write_shard

    body, write = load_named("free", "neutral"), 0.0
    for seed in range(clips):
        clip = factory.make_clip(body, frames, dressed=True, seed=seed)
        cameras = factory.make_cameras(clip, 4)
        spec = factory.make_spec(clip, cameras, body, index=seed)
        drawn = [
            (v, t, factory.draw(clip, body, cameras[v], t, v, texture=6.0)) for v in range(4) for t in range(frames)
        ]
        path = out / f"{spec.clip_id}.h5"
        started = time.perf_counter()
        write_shard(path, spec=spec, clip=clip, body=body, cameras=cameras, frames=drawn, provenance=Provenance())
        Manifest(out).record(path)
        write += time.perf_counter() - started
    return write / (clips * frames * 4)


def render_seconds(folder: Path) -> float | None:
    """Seconds of rendering per image that the manifest noted."""
    done = [entry for entry in open_dataset(folder).entries if "render" in entry.seconds]
    images = sum(entry.frames * entry.views for entry in done)
    return sum(entry.seconds["render"] for entry in done) / images if images else None


def main() -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of shards [default: make synthetic ones]")
    parser.add_argument("--synthetic", type=int, default=4, metavar="CLIPS", help="clips to make [4]")
    parser.add_argument("--frames", type=int, default=32, help="frames of a synthetic clip [32]")
    parser.add_argument("--windows", type=int, default=60, help="random windows per round [60]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--render-seconds", type=float, help="seconds of rendering an image [default: the manifest's]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run(options, Path(scratch))


def run(options: argparse.Namespace, scratch: Path) -> None:
    """All measurements, with files under `scratch`."""
    made, exploded = scratch / "made", scratch / "exploded"
    exploded.mkdir()
    write = measure_writing(options.synthetic, made, options.frames)
    folder = options.data or made
    explode(folder, exploded)
    places = choose(folder, options.windows, seed=0)
    rates: dict[tuple[str, int], float] = {}
    for workers in (1, 2):
        rounds = {name: [] for name in VARIANTS}
        for _ in range(options.rounds):
            for name in VARIANTS:
                rounds[name].append(measure(name, folder, exploded, places, workers))
        for name, values in rounds.items():
            rates[name, workers] = statistics.median(values)
            print(f"{name:<16} {workers} workers: {rates[name, workers]:8.1f} windows/s   rounds {np.round(values, 1)}")
    entries = open_dataset(folder).entries
    images = sum(entry.frames * entry.views for entry in entries)
    shard_bytes = sum(entry.bytes for entry in entries) / images
    file_bytes = sum(path.stat().st_size for path in exploded.rglob("*") if path.is_file()) / images
    jpeg_bytes = sum(path.stat().st_size for path in exploded.rglob("*.jpg")) / images
    print(f"bytes an image: {shard_bytes:.0f} (all labels, meshes), of which JPEG {jpeg_bytes:.0f}; "
          f"one file per frame {file_bytes:.0f} (only {len(FIELDS)} small labels)")  # fmt: skip
    render = options.render_seconds or render_seconds(folder)
    print(f"writing: {write * 1000:.1f} ms an image; rendering: {'not known' if render is None else f'{render:.3f} s'}")
    found = {
        "windows_per_s": round(rates["shards", 1], 1),
        "share_of_decode_floor": round(rates["shards", 1] / rates["decode floor", 1], 3),
        "bytes_per_image": round(shard_bytes),
        "write_share": None if render is None else round(write / (render + write), 4),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
