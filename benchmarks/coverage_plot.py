"""What clips between contrasting poses add to pose space: a picture for the documentation.

    python benchmarks/coverage_plot.py docs/pictures/coverage.png

Left: every pose of 24 originals and of 24 clips between contrasting poses, in the originals' two widest directions.
Right: how many poses at least 1 rad apart there are as clips are added, for originals alone, half of them interpolated
(drawn, mined), and originals with as many interpolated clips beside them.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from synth.body.model import load_named
from synth.geometry.rotations import canonical_rotvec
from synth.motion import catalog, mining, sampler
from synth.motion.clips import realise

Array = np.ndarray

CLIPS = 24
SIDE, MARGIN = 420, 50
COLOURS = {"originals": (60, 60, 60), "half drawn": (214, 96, 30), "half mined": (40, 110, 180), "added": (30, 140, 70)}


def clips(share: float, pairs: str, count: int) -> list[Array]:
    """Body poses of each clip of a plan."""
    body = load_named("free", "neutral")
    plan = sampler.plan_motions(
        catalog.find("cmu"),
        seed=0,
        clips=count,
        interpolated_share=share,
        frames=30,
        fps=30.0,
        body=body,
        pairs=pairs,
    )
    return [realise(spec, body, np.zeros(10))[0].body_pose for spec in plan]


def main() -> None:
    """Plan, count, draw."""
    originals, mixed = clips(0.0, "drawn", CLIPS), clips(0.5, "drawn", 2 * CLIPS)
    made = mixed[1::2]
    curves = {
        "originals": counted(originals),
        "half drawn": counted(mixed[:CLIPS]),
        "half mined": counted(clips(0.5, "mined", CLIPS)),
        "added": counted(mixed)[1::2],
    }
    sheet = Image.new("RGB", (2 * (SIDE + 2 * MARGIN), SIDE + 2 * MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    scatter(pen, np.concatenate(mixed[::2]), np.concatenate(made))
    lines(pen, curves)
    sheet.quantize(32).save(Path(sys.argv[1]), optimize=True)
    print({name: curve[-1] for name, curve in curves.items()})


def counted(chosen: list[Array]) -> list[int]:
    """Poses at least 1 rad apart among the first 1, 2, ... clips."""
    return [mining.coverage(np.concatenate(chosen[: k + 1])) for k in range(len(chosen))]


def scatter(pen: ImageDraw.ImageDraw, plain: Array, made: Array) -> None:
    """Poses in the plane of the originals' two widest directions."""
    flat = canonical_rotvec(plain).reshape(len(plain), -1)
    middle = flat.mean(axis=0)
    axes = np.linalg.svd(flat - middle, full_matrices=False)[2][:2]
    both = [(canonical_rotvec(poses).reshape(len(poses), -1) - middle) @ axes.T for poses in (made, plain)]
    low, high = np.concatenate(both).min(axis=0), np.concatenate(both).max(axis=0)
    for points, colour in zip(both, (COLOURS["half drawn"], COLOURS["originals"]), strict=True):
        for x, y in MARGIN + (points - low) / (high - low).max() * SIDE:
            pen.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=colour)
    pen.text((MARGIN, 8), f"poses of {CLIPS} originals (grey) and of {CLIPS} clips between contrasting poses", fill=0)
    pen.text((MARGIN, 22), f"two widest directions, {(high - low)[0]:.1f} x {(high - low)[1]:.1f} rad", fill=0)


def lines(pen: ImageDraw.ImageDraw, curves: dict[str, list[int]]) -> None:
    """Poses 1 rad apart against clips."""
    left, top = SIDE + 3 * MARGIN, MARGIN
    highest = max(max(curve) for curve in curves.values())
    pen.line([(left, top), (left, top + SIDE), (left + SIDE - 90, top + SIDE)], fill=0)
    for k in range(0, highest + 1, 20):
        y = top + SIDE * (1 - k / highest)
        pen.text((left - 24, y - 6), str(k), fill=0)
        pen.line([(left - 4, y), (left, y)], fill=0)
    names = {
        "originals": "originals",
        "half drawn": "half interpolated, drawn",
        "half mined": "half interpolated, mined",
        "added": "originals and as many drawn",
    }
    for row, (name, curve) in enumerate(curves.items()):
        at = [
            (left + (SIDE - 90) * (k + 1) / len(curve), top + SIDE * (1 - count / highest))
            for k, count in enumerate(curve)
        ]
        pen.line(at, fill=COLOURS[name], width=2)
        pen.text((left + 12, top + 16 * row), f"{names[name]}: {curve[-1]}", fill=COLOURS[name])
    pen.text((left, 8), f"poses at least 1 rad apart; clips 1 to {CLIPS} (the last: of each kind)", fill=0)


if __name__ == "__main__":
    main()
