"""A wrong field in any form of file is said in one line that names the file and the field."""

import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pytest
import real_formats as formats
from real_database_forms import example, record_bytes
from real_video_forms import write_cdf
from scipy.io import savemat
from test_real_fuzz import FILES

from synth.errors import SynthError
from train.real import open_source
from train.real.matlab import mat_fields
from train.real.pickled import load

FIELDS = {
    "3dpw": ("trans", r"trans\.0: expected shape \(4, 3\)"),
    "emdb": ("kp2d", r"kp2d: expected shape \(4, 24, 2\)"),
    "coco": ("annotations.0.keypoints", r"annotations\[0\]\.keypoints"),
    "eft": ("data.0.parm_pose", r"data\[0\]\.parm_pose"),
    "3dhp": ("annot3", r"annot3"),
    "3dhp-test": ("univ_annot3", r"univ_annot3: expected shape \(4, 1, 17, 3\)"),
    "h36m": ("Pose", r"Pose: expected rows of 96"),
    "h36m-json": ("images.0.cam_idx", r"images\[0\]\.cam_idx: expected"),
    "mpii": ("RELEASE", r"RELEASE\.annolist: expected a list"),
    "mpii-json": ("0.joints", r"people\[0\]\.joints: expected"),
    "lsp": ("joints", r"joints: expected shape \(3, 14, \*\)"),
    "lspet": ("joints", r"joints: expected shape \(14, 3, \*\)"),
    "penn": ("x", r"x: expected shape \(4, 13\)"),
    "posetrack": ("annotations.0.bbox", r"annotations\[0\]\.bbox: expected"),
    "insta": ("image/xys", r"image/xys: expected shape \(112\)"),
    "amass": ("trans", r"trans: expected \(60, 3\)"),
    "vibe": ("pose", r"pose: expected shape \(8, 72\)"),
    "vibe-insta": ("features", r"one length.*features \(2, 5\)"),
    "vibe-penn": ("bbox", r"bbox: expected shape \(4, 4\)"),
    "spin": ("S", r"S: expected shape \(4, 24, 4\)"),
}
"""Field to spoil, and what must be said of it."""
WRONG = np.zeros((2, 5))


def spoil(form: str, file: Path, field: str) -> None:
    """Put something of another shape in the place of a field."""
    if form == "h36m":
        write_cdf(file, field, np.zeros((formats.FRAMES, 90)))
    elif form == "insta":
        held: dict[str, Any] = {"meta/N": np.array([4]), "image/encoded": [b"x"] * 4, field: np.zeros(7)}
        file.write_bytes(record_bytes(example(held)))
    elif form == "mpii":
        savemat(file, {field: {"img_train": np.ones((1, 1)), "annolist": np.zeros((1, 1))}})
    elif file.suffix == ".json":
        content = target = json.loads(file.read_text())
        *steps, last = field.split(".")
        for step in steps:
            target = target[int(step) if step.isdigit() else step]
        target[last] = [1.0, 2.0]
        file.write_text(json.dumps(content))
    elif file.suffix == ".npz":
        np.savez(file, **dict(np.load(file)) | {field: WRONG})
    elif form in ("3dhp-test", "vibe-insta"):
        with h5py.File(file, "a") as opened:
            del opened[field]
            opened[field] = WRONG
    elif file.suffix == ".mat":
        fields = {n: formats.cell(v) if isinstance(v, list) else v for n, v in mat_fields(file).content.items()}
        savemat(file, fields | {field: formats.cell([WRONG] * 14) if form == "3dhp" else WRONG})
    else:
        content = load(file)
        content[field] = [WRONG, WRONG] if form == "3dpw" else WRONG
        file.write_bytes(pickle.dumps(content)) if file.suffix == ".pkl" else joblib.dump(content, file)


@pytest.mark.parametrize("form", formats.WRITERS)
def test_messages_name_file_and_field(form: str, tmp_path: Path) -> None:
    name, split, write = formats.WRITERS[form]
    path = write(tmp_path / "data")
    field, said = FIELDS[form]
    file = tmp_path / "data" / FILES[form]
    spoil(form, file, field)
    with pytest.raises(SynthError) as caught:
        list(open_source(name, path, split))
    assert file.name in caught.value.problem
    assert "\n" not in caught.value.problem
    caught.match(said)
