"""Small files in exactly the form that each data set is distributed in, all of one figure that faces the camera."""

from collections.abc import Callable
from pathlib import Path

from real_database_forms import write_amass, write_insta, write_spin, write_vibe, write_vibe_insta, write_vibe_penn
from real_figure import (
    FRAMES,
    ORDERS,
    SIDE,
    K,
    both_49,
    cell,
    figure_2d,
    figure_3d,
    picture,
    smpl_numbers,
    to_world,
    world_camera,
)
from real_still_forms import write_coco, write_eft, write_lsp, write_lspet, write_mpii, write_mpii_json
from real_video_forms import (
    write_3dhp,
    write_3dhp_test,
    write_3dpw,
    write_emdb,
    write_h36m,
    write_h36m_json,
    write_penn,
    write_posetrack,
)

__all__ = [
    "FRAMES", "ORDERS", "SIDE", "WRITERS", "K", "both_49", "cell", "figure_2d", "figure_3d", "picture",
    "smpl_numbers", "to_world", "world_camera", "write_3dhp", "write_3dhp_test", "write_3dpw", "write_amass",
    "write_coco", "write_eft", "write_emdb", "write_h36m", "write_h36m_json", "write_insta", "write_lsp",
    "write_lspet", "write_mpii", "write_mpii_json", "write_penn", "write_posetrack", "write_spin", "write_vibe",
    "write_vibe_insta", "write_vibe_penn",
]  # fmt: skip

WRITERS: dict[str, tuple[str, str | None, Callable[[Path], Path]]] = {
    "3dpw": ("3dpw", None, write_3dpw),
    "emdb": ("emdb", "emdb1", write_emdb),
    "coco": ("coco", None, write_coco),
    "eft": ("eft", None, write_eft),
    "3dhp": ("3dhp", None, write_3dhp),
    "3dhp-test": ("3dhp", "test", write_3dhp_test),
    "h36m": ("h36m", None, write_h36m),
    "h36m-json": ("h36m", None, write_h36m_json),
    "mpii": ("mpii", None, write_mpii),
    "mpii-json": ("mpii", None, write_mpii_json),
    "lsp": ("lsp", None, write_lsp),
    "lspet": ("lspet", None, write_lspet),
    "penn": ("penn", None, write_penn),
    "posetrack": ("posetrack", None, write_posetrack),
    "insta": ("insta", None, write_insta),
    "amass": ("amass", None, write_amass),
    "vibe": ("vibe", None, write_vibe),
    "vibe-insta": ("vibe", None, write_vibe_insta),
    "vibe-penn": ("vibe", None, write_vibe_penn),
    "spin": ("spin", None, write_spin),
}
"""Source, split and writer by the name of the form."""
