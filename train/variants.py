"""The tables of the papers as lists of variants: a model, the options that differ, what is done to its output."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TABLES", "Variant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One line of a table."""

    name: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    one_euro: bool = False
    trained_as: str = ""
    """Another line whose training is used (its output only treated otherwise)."""


def _losses(**factors: float) -> dict[str, Any]:
    return {"weights": factors}


_NO_2D, _NO_3D, _NO_SMPL = {"keypoints_2d": 0.0}, {"joints_3d": 0.0}, {"pose": 0.0, "shape": 0.0}

TABLES: dict[str, tuple[Variant, ...]] = {
    "mviper": (  # tables 2 and 3 of MVIPER
        Variant(name="hmr", model="hmr"),
        Variant(name="hmr, trained on", model="hmr"),
        Variant(name="hmr, trained on + one-euro", model="hmr", one_euro=True, trained_as="hmr, trained on"),
        Variant(name="mviper", model="mviper"),
    ),
    "mviper-losses": (  # its table 4
        Variant(name="L2D", model="mviper", options=_losses(**_NO_3D, **_NO_SMPL)),
        Variant(name="L2D + L3D", model="mviper", options=_losses(**_NO_SMPL)),
        Variant(name="L2D + LSMPL", model="mviper", options=_losses(**_NO_3D)),
        Variant(name="L3D + LSMPL", model="mviper", options=_losses(**_NO_2D)),
        Variant(name="all", model="mviper"),
    ),
    "mviper-parts": (
        Variant(name="mviper", model="mviper"),
        Variant(name="without attention", model="mviper", options={"attention": False}),
        Variant(name="without smoothness", model="mviper", options={"smoothness": 0.0}),
        Variant(name="without previous", model="mviper", options={"previous": False}),
    ),
    "hpof": (  # its table 1, and VIBE of table 3
        Variant(name="vibe", model="vibe"),
        Variant(name="transformer", model="hpof", options={"temporal": "transformer"}),
        Variant(name="GRU, 2 layers", model="hpof", options={"temporal": "gru"}),
        Variant(name="GRU, 3 layers", model="hpof", options={"temporal": "gru", "layers": 3}),
        Variant(name="without flow", model="hpof", options={"flow": 0.0}),
        Variant(name="without B_s", model="hpof", options={"shape": "frame"}),
        Variant(name="hpof", model="hpof"),
    ),
    "hpof-blocks": (  # its table 2, without flow as there
        Variant(name="1 block", model="hpof", options={"blocks": 1, "flow": 0.0}),
        Variant(name="2 blocks", model="hpof", options={"blocks": 2, "flow": 0.0}),
        Variant(name="3 blocks", model="hpof", options={"blocks": 3, "flow": 0.0}),
    ),
    "hpof-acceleration": (  # its figure 6, and the shape that streaming can know
        Variant(name="hpof", model="hpof"),
        Variant(name="without acceleration loss", model="hpof", options={"acceleration": 0.0}),
        Variant(name="running shape", model="hpof", options={"shape": "running"}),
    ),
    "spsnet": (  # tables 2 to 4 of SPS-Net
        Variant(name="spsnet", model="spsnet"),
        Variant(name="without camera", model="spsnet", options={"camera": 0.0}),
        Variant(name="without mask", model="spsnet", options={"mask": 0.0}),
        Variant(
            name="without occlusion",
            model="spsnet",
            options={
                "occlusion": {"keypoints_2d": 0.0, "joints_3d": 0.0, "pose": 0.0, "shape": 0.0},
                "occlusion_camera": 0.0,
            },
        ),
        Variant(name="without adversary", model="spsnet", options={"adversarial": 0.0}),
        Variant(name="without attention", model="spsnet", options={"temporal": "none"}),
        Variant(name="without forecast", model="spsnet", options={"forecast": False}),
        Variant(name="GRU", model="spsnet", options={"temporal": "gru"}),
    ),
    "spsnet-length": tuple(  # its table 5
        Variant(name=f"{frames} frames", model="spsnet", options={"window": frames}) for frames in (8, 16, 32, 48)
    ),
    "tar": (  # tables 3 to 5 of TAR
        Variant(name="tar", model="tar"),
        Variant(name="without refinement", model="tar", options={"refine": False}),
        Variant(name="global only", model="tar", options={"encoders": "global"}),
        Variant(name="local only", model="tar", options={"encoders": "local"}),
        Variant(name="3 local frames", model="tar", options={"local": 3, "window": 9}),
        Variant(name="7 local frames", model="tar", options={"local": 7, "window": 9}),
        Variant(name="9 local frames", model="tar", options={"local": 9, "window": 9}),
    ),
    "tar-states": tuple(  # its table S3: sides of the ConvGRUs' states at crops of 256 pixels
        Variant(name=f"{64 // shrink} x {64 // shrink}", model="tar", options={"shrink": shrink})
        for shrink in (1, 2, 4, 8)
    ),
    "comparison": (
        Variant(name="hmr", model="hmr"),
        Variant(name="hmr, trained on", model="hmr"),
        Variant(name="hmr, trained on + one-euro", model="hmr", one_euro=True, trained_as="hmr, trained on"),
        Variant(name="hmr + smoothnet", model="smoothnet"),
        Variant(name="vibe", model="vibe"),
        Variant(name="tcmr", model="tcmr"),
        Variant(name="mviper", model="mviper"),
        Variant(name="hpof", model="hpof"),
        Variant(name="spsnet", model="spsnet"),
        Variant(name="tar", model="tar"),
    ),
}
"""Tables by name."""
