"""Pictures of fitted motions for the documentation: from the front and the side, every half second.

python benchmarks/fit_pictures.py sheet.png assets/motions/cmu/01_01.npz fitted/02_01.npz ...
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from synth.body.lbs import posed
from synth.body.model import load_named
from synth.motion import amass
from synth.motion.catalog import USABLE, _usable

Array = np.ndarray

WIDTH, HEIGHT, SCALE = 84, 168, 72.0
"""Of a figure [px]; pixels a metre."""
EVERY, MOST = 0.5, 14
FLOOR = 14
LIGHT = np.array([0.3, 0.4, 0.85])


def figure(points: Array, faces: Array) -> Image.Image:
    """A body seen along -z (x right, y up), farthest faces first."""
    picture = Image.new("L", (WIDTH, HEIGHT), 255)
    pen = ImageDraw.Draw(picture)
    pixels = np.stack([WIDTH / 2 + points[:, 0] * SCALE, HEIGHT - FLOOR - points[:, 1] * SCALE], axis=-1)
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    shades = np.clip(60 + 170 * (normals @ LIGHT), 40, 235).astype(int)
    for k in np.argsort(corners[..., 2].mean(axis=1)):
        if normals[k, 2] > 0:
            pen.polygon([tuple(at) for at in pixels[faces[k]]], fill=int(shades[k]))
    pen.line([(0, HEIGHT - FLOOR), (WIDTH, HEIGHT - FLOOR)], fill=120)
    return picture


def strip(path: Path) -> Image.Image:
    """One motion: two rows, the person kept in the middle; frames that are not sampled are left out."""
    recording = amass.read(path)
    motion, body = recording.motion, load_named("free", recording.gender)
    stretches = _usable(path.parent).get(path.stem, ((0, len(motion)),)) if (path.parent / USABLE).is_file() else None
    frames = [round(k * EVERY * motion.fps) for k in range(int(len(motion) / motion.fps / EVERY) + 1)]
    frames = [f for f in frames if any(a <= f < b for a, b in stretches or ((0, len(motion)),))][:MOST]
    vertices, _ = posed(
        body, recording.betas, motion.global_orient[frames], motion.body_pose[frames], motion.transl[frames]
    )
    sheet = Image.new("L", (WIDTH * MOST, 2 * HEIGHT + 14), 255)
    ImageDraw.Draw(sheet).text(
        (4, 1), f"{path.stem}, {frames[0] / motion.fps:g} to {frames[-1] / motion.fps:g} s", fill=0
    )
    for k, skin in enumerate(vertices):
        x, y, z = (skin - skin.mean(axis=0) * [1, 1, 0]).T
        for row, seen in enumerate((np.stack([x, z, -y], -1), np.stack([y, z, x], -1))):
            sheet.paste(figure(seen, body.faces), (k * WIDTH, 14 + row * HEIGHT))
    return sheet


def main() -> None:
    """Draw one under the other."""
    out, *paths = map(Path, sys.argv[1:])
    strips = [strip(path) for path in paths]
    sheet = Image.new("L", (strips[0].width, sum(s.height for s in strips)), 255)
    at = 0
    for one in strips:
        sheet.paste(one, (0, at))
        at += one.height
    sheet.quantize(16).save(out, optimize=True)


if __name__ == "__main__":
    main()
