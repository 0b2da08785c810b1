"""A contact sheet: one picture of every clip with its labels laid over it, to be looked at by a person."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from synth.files import replacing
from synth.labels.keypoints import project_points, to_camera
from synth.labels.visibility import Visibility
from synth.shards.drawing import triangles_of
from synth.shards.manifest import Entry, open_dataset
from synth.shards.read import ShardReader

Array = np.ndarray

__all__ = [
    "COLUMNS",
    "Block",
    "assemble",
    "clip_block",
    "depth_colours",
    "draw_sheet",
    "flow_colours",
    "garment_colours",
    "normal_colours",
    "part_colours",
    "wireframe",
    "with_joints",
]

COLUMNS = ("picture", "joints", "wireframe", "parts", "garments", "depth [m]", "normals", "flow [px]")
_BACK, _TEXT, _FAINT = (24, 26, 30), (232, 232, 232), (150, 154, 160)
_LEFT, _RIGHT, _MIDDLE = (255, 146, 43), (51, 173, 255), (240, 240, 240)
_GAP, _HEAD = 6, 46
_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
_SIDES = "mlrmlrmlrmlrmlrmlrlrlrlr"
"""Left, right or middle of each of SMPL's joints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One clip's part of a sheet."""

    entry: Entry
    caption: str
    rows: list[list[UInt8[Array, "H W 3"]]]
    notes: list[str]


def draw_sheet(folder: Path, out: Path, clips: int = 8, views: int = 4, frame: float = 0.6) -> int:
    """Draw the sheet.

    Args:
        folder: The folder of shards.
        out: PNG to write, all or nothing.
        clips: Number of clips at most, spread evenly over the folder.
        views: Number of views of each clip at most.
        frame: Which frame, as a share of the clip's length.

    Returns:
        Number of clips drawn.

    Raises:
        SynthError: no manifest, or a shard is damaged.
    """
    shards = open_dataset(folder)
    chosen = np.unique(np.linspace(0, len(shards) - 1, min(clips, len(shards))).astype(int)) if len(shards) else []
    blocks = []
    for index in chosen:
        reader, entry = shards[int(index)], shards.entries[int(index)]
        blocks.append(clip_block(reader, entry, min(views, entry.views), int(frame * (entry.frames - 1))))
        reader.close()
    sheet = assemble(blocks)
    with replacing(out) as part:
        sheet.save(part, format="PNG")
    return len(blocks)


def clip_block(reader: ShardReader, entry: Entry, views: int, t: int) -> Block:
    """Draw the first views of frame t of one clip."""
    about = entry.attributes
    facts = [entry.clip_id, f"{about['motion']} ({about['kind']})", f"{about['gender']} {about['body']} body"]
    caption = "   |   ".join([*facts, str(about["outfit"]), f"frame {t} of {entry.frames}"])
    rows, notes = [], []
    for view in range(views):
        maps = reader.frame(view, t)
        shown = maps["depth"] > 0
        rows.append(
            [
                maps["rgb"],
                with_joints(maps["rgb"], maps["keypoints_2d"], maps["visibility"], maps["bbox"]),
                wireframe(reader, view, t, maps["rgb"]),
                _over(maps["rgb"], part_colours()[maps["parts"]], shown),
                _over(maps["rgb"], garment_colours()[maps["garments"] % 8], maps["garments"] > 0),
                depth_colours(maps["depth"], shown),
                normal_colours(maps["normal"], shown),
                flow_colours(maps["flow"], shown),
            ]
        )
        far, quick = maps["depth"][shown], np.linalg.norm(maps["flow"][shown], axis=1)
        numbers = f"{far.min():.2f}-{far.max():.2f} m, flow to {quick.max():.1f} px" if shown.any() else "nobody seen"
        notes.append(f"view {view}: {numbers}")
    return Block(entry=entry, caption=caption, rows=rows, notes=notes)


def part_colours() -> UInt8[Array, "25 3"]:
    """A colour for each part (0 is black): hues by the golden ratio, left parts lighter than right ones."""
    hue = np.arange(25) * 0.618034 % 1.0
    value = np.array([0.0, *({"l": 1.0, "r": 0.62, "m": 0.82}[side] for side in _SIDES)])
    return (_hsv(hue, np.full(25, 0.65), value) * 255).astype(np.uint8)


def garment_colours() -> UInt8[Array, "8 3"]:
    """A colour for each garment, from 1; they repeat after seven."""
    return (_hsv(np.arange(8) * 0.38 % 1.0, np.full(8, 0.75), np.full(8, 0.95)) * 255).astype(np.uint8)


def _hsv(hue: Float[Array, "*N"], saturation: Float[Array, "*N"], value: Float[Array, "*N"]) -> Float[Array, "*N 3"]:
    """Colours 0-1 of hue, saturation and value 0-1."""
    turned = (hue[..., None] * 6 + np.array([5.0, 3.0, 1.0])) % 6
    return value[..., None] * (1 - saturation[..., None] * np.clip(np.minimum(turned, 4 - turned), 0, 1))


def flow_colours(flow: Float[Array, "H W 2"], shown: Bool[Array, "H W"]) -> UInt8[Array, "H W 3"]:
    """Flow as colour: the hue is the direction (red to the right, green down), the brightness the speed."""
    speed = np.linalg.norm(flow, axis=-1)
    top = max(float(np.percentile(speed[shown], 98)) if shown.any() else 0.0, 1e-6)
    hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1.0
    share = np.clip(speed / top, 0, 1)
    colours = _hsv(hue, np.full_like(hue, 0.85), 0.25 + 0.75 * share)
    return np.where(shown[..., None], colours * 255, 26).astype(np.uint8)


def depth_colours(depth: Float[Array, "H W"], shown: Bool[Array, "H W"]) -> UInt8[Array, "H W 3"]:
    """Depth as a ramp from yellow (near) to blue (far), over the person's own range."""
    low, high = (float(depth[shown].min()), float(depth[shown].max())) if shown.any() else (0.0, 1.0)
    share = np.clip((depth - low) / max(high - low, 1e-6), 0, 1)
    stops = np.array([[253, 231, 37], [94, 201, 98], [33, 145, 140], [59, 82, 139], [48, 18, 84]], dtype=np.float64)
    colours = np.stack([np.interp(share, np.linspace(0, 1, 5), stops[:, c]) for c in range(3)], axis=-1)
    return np.where(shown[..., None], colours, 26).astype(np.uint8)


def normal_colours(normal: Float[Array, "H W 3"], shown: Bool[Array, "H W"]) -> UInt8[Array, "H W 3"]:
    """Normals in the usual colours: red to the right, green up, blue towards the camera."""
    return np.where(shown[..., None], (normal * [0.5, -0.5, -0.5] + 0.5) * 255, 26).astype(np.uint8)


def _over(rgb: UInt8[Array, "H W 3"], colours: UInt8[Array, "H W 3"], where: Bool[Array, "H W"]) -> Array:
    """Lay colours over a darkened picture where `where`."""
    grey = rgb.mean(axis=-1, keepdims=True) * 0.45
    return np.where(where[..., None], 0.25 * rgb + 0.75 * colours, grey).astype(np.uint8)


def with_joints(
    rgb: UInt8[Array, "H W 3"], points: Float[Array, "24 2"], visibility: UInt8[Array, " 24"], bbox: Float[Array, " 4"]
) -> UInt8[Array, "H W 3"]:
    """Skeleton and box over the picture: left orange, right blue; hollow joints are hidden."""
    scale = 3  # drawn larger and scaled down, for smooth lines
    height, width = rgb.shape[:2]
    image = Image.fromarray((rgb * 0.7).astype(np.uint8)).resize((width * scale, height * scale))
    pen = ImageDraw.Draw(image)
    colours = [{"l": _LEFT, "r": _RIGHT, "m": _MIDDLE}[side] for side in _SIDES]
    at = points * scale
    usable = np.isfinite(at).all(axis=1) & (np.abs(at) < 1e5).all(axis=1)
    for child, parent in enumerate(_PARENTS):
        if parent >= 0 and usable[child] and usable[parent]:
            pen.line([*at[parent], *at[child]], fill=colours[child], width=scale)
    for j in np.flatnonzero(usable).tolist():
        x, y, r = *at[j], 1.7 * scale
        seen = visibility[j] == Visibility.VISIBLE
        pen.ellipse(
            [x - r, y - r, x + r, y + r], fill=colours[j] if seen else (30, 30, 30), outline=colours[j], width=2
        )
    if np.isfinite(bbox).all():
        pen.rectangle((bbox * scale).tolist(), outline=(90, 220, 120), width=scale - 1)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def wireframe(reader: ShardReader, view: int, t: int, rgb: UInt8[Array, "H W 3"]) -> UInt8[Array, "H W 3"]:
    """Edges of the triangles that face the camera, over the darkened picture: the body white, garments in colour."""
    scale = 3
    height, width = rgb.shape[:2]
    image = Image.fromarray((rgb * 0.5).astype(np.uint8)).resize((width * scale, height * scale))
    pen = ImageDraw.Draw(image)
    pose, K = reader.clip(f"views/{view}/T_camera_world", t, 1)[0], reader.clip(f"views/{view}/K")
    meshes = [(reader.clip("vertices_world", t, 1)[0], reader.clip("faces"), (225, 225, 225))]
    for index, (name, _, _) in enumerate(reader.layout.garments):
        triangles, _ = triangles_of(reader.clip(f"garments/{name}/faces"))
        colour = tuple(garment_colours()[(index + 1) % 8].tolist())
        meshes.append((reader.clip(f"garments/{name}/vertices_world", t, 1)[0], triangles, colour))
    for vertices, faces, colour in meshes:
        at = project_points(to_camera(vertices.astype(np.float64), pose), K) * scale
        a, b, c = (at[faces[:, i]] for i in range(3))
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        fronts = faces[area < 0]
        edges = np.unique(np.sort(fronts[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
        for line in at[edges].reshape(-1, 4).tolist():
            pen.line(line, fill=colour)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def assemble(blocks: list[Block]) -> Image.Image:
    """Put the clips below each other."""
    cells = [row[0].shape[:2] for block in blocks for row in block.rows] or [(80, 80)]
    height, width = (max(size[axis] for size in cells) for axis in (0, 1))
    line = height + _GAP + 14
    total = sum(_HEAD + len(block.rows) * line for block in blocks) + _GAP
    sheet = Image.new("RGB", (len(COLUMNS) * (width + _GAP) + _GAP, max(total, 60)), _BACK)
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(15), ImageFont.load_default(11)
    y = _GAP
    if not blocks:
        pen.text((_GAP, y), "no finished clips", _TEXT, font)
    for block in blocks:
        pen.text((_GAP, y), block.caption, _TEXT, font)
        for column, title in enumerate(COLUMNS):
            pen.text((_GAP + column * (width + _GAP), y + 24), title, _FAINT, small)
        y += _HEAD - _GAP
        for row, note in zip(block.rows, block.notes, strict=True):
            for column, cell in enumerate(row):
                sheet.paste(Image.fromarray(cell), (_GAP + column * (width + _GAP), y))
            pen.text((_GAP, y + height + 1), note, _FAINT, small)
            y += line
        y += _GAP
    return sheet
