"""Load body models: the free body, SMPL, and the body part of SMPL+H and SMPL-X, all as 24 joints in SMPL's order."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from synth.assets import asset, sha256_of
from synth.body.joints import KEYPOINT_SETS
from synth.body.reduce import keypoints_of, reduce_to_body
from synth.body.unpickle import load_pickle
from synth.errors import SynthError
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["GENDERS", "find_bodies", "load_body", "load_named"]

GENDERS = ("neutral", "male", "female")
_FIELDS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_FAMILIES = {24: "smpl", 52: "smplh", 55: "smplx"}
_SHAPE_COMPONENTS = {"smplx": 300}
"""SMPL-X's later components are expressions of the face."""


def load_body(path: Path | str, gender: str | None = None, num_betas: int = 10) -> BodyModel:
    """Load a body model from a file.

    Args:
        path: .npz (never unpickled) or .pkl (restricted unpickler) of the free body, SMPL, SMPL+H or SMPL-X.
        gender: "neutral", "male" or "female"; None takes it from the file, else from its name.
        num_betas: Shape components to keep at most.

    Raises:
        SynthError: the file is missing, damaged or not a body model; names the file and the field.
    """
    path = Path(path).expanduser()
    digest = sha256_of(path)
    fields = _read_npz(path) if path.suffix.lower() == ".npz" else load_pickle(path, _FIELDS)
    if missing := [name for name in _FIELDS if name not in fields]:
        raise SynthError(f"{path}: field {missing[0]} is missing", "It does not look like a body model")
    arrays = _checked(path, fields)
    family = _FAMILIES[len(arrays["weights"].T)]
    name = str(fields["name"]) if "name" in fields else family
    arrays["shapedirs"] = arrays["shapedirs"][:, :, : min(num_betas, _SHAPE_COMPONENTS.get(family, num_betas))]
    arrays = reduce_to_body(arrays)
    # Files keep single precision; a sum off by 1e-7 moves the skin with the distance from the origin.
    arrays["weights"] = arrays["weights"] / arrays["weights"].sum(axis=1, keepdims=True)
    return BodyModel(
        name=name,
        gender=_gender(path, gender or (str(fields["gender"]) if "gender" in fields else None)),
        v_template=arrays["v_template"],
        shapedirs=arrays["shapedirs"],
        posedirs=arrays["posedirs"],
        J_regressor=arrays["J_regressor"],
        lbs_weights=arrays["weights"],
        parents=arrays["parents"],
        faces=arrays["f"],
        uv=_uv(path, fields, len(arrays["f"])),
        sha256=digest,
        keypoint_regressors=_stored_keypoints(path, fields, len(arrays["v_template"])) or keypoints_of(arrays),
    )


def load_named(name: str, gender: str, num_betas: int = 10) -> BodyModel:
    """Load a body by name.

    Args:
        name: "free", a model file, or a folder of files named for their gender (such as SMPL_MALE.pkl).
        gender: "neutral", "male" or "female".
        num_betas: Shape components to keep at most.

    Raises:
        SynthError: there is no such body, or its file is bad.
    """
    return load_body(find_bodies(name, (gender,))[gender], gender, num_betas)


def find_bodies(name: str, genders: tuple[str, ...] = GENDERS) -> dict[str, Path]:
    """Find the model file of each gender (see `load_named` for the names).

    Raises:
        SynthError: unknown gender, no such file or folder, no file or more than one for a gender.
    """
    if unknown := [gender for gender in genders if gender not in GENDERS]:
        raise SynthError(f"body: unknown gender {unknown[0]!r}", f"Genders: {', '.join(GENDERS)}")
    if name == "free":
        return {gender: asset(f"bodies/free_{gender}.npz") for gender in genders}
    path = Path(name).expanduser()
    if path.is_file():
        return dict.fromkeys(genders, path)
    if not path.is_dir():
        raise SynthError(f"body {name!r}: no such file or folder", 'Give "free", a model file or a folder of them')
    return {gender: _file_of_gender(path, gender) for gender in genders}


def _file_of_gender(folder: Path, gender: str) -> Path:
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in (".npz", ".pkl"))
    # The same model as .npz and .pkl is one model.
    found = {f.stem.lower(): f for f in files if _gender_in_name(f) == gender}
    if len(found) != 1:
        what = f"{len(found)} model files" if found else "no model file"
        raise SynthError(f"{folder}: {what} for gender {gender}", f"Give one file, such as SMPL_{gender.upper()}.pkl")
    return next(iter(found.values()))


def _gender_in_name(path: Path) -> str | None:
    """Gender in a file's name: SMPL_MALE, basicModel_f_lbs_..., free_neutral, or its folder's (AMASS: male/model)."""
    words = path.stem.lower().replace("-", "_").split("_")
    for gender, marks in (("female", {"female", "f"}), ("male", {"male", "m"}), ("neutral", {"neutral", "n"})):
        if marks & set(words):
            return gender
    return path.parent.name.lower() if path.stem == "model" and path.parent.name.lower() in GENDERS else None


def _gender(path: Path, gender: str | None) -> str:
    gender = gender or _gender_in_name(path) or "neutral"
    if gender not in GENDERS:
        raise SynthError(f"{path}: unknown gender {gender!r}", f"Genders: {', '.join(GENDERS)}")
    return gender


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    optional = ["name", "gender", "uv"] + [
        f"keypoints_{s}_{part}" for s in KEYPOINT_SETS for part in ("rows", "weights")
    ]
    fields, name = {}, ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in (*_FIELDS, *optional):
                if name in archive.files:
                    fields[name] = archive[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        where = f"field {name}: " if name else ""
        raise SynthError(
            f"{path}: {where}cannot be read ({error})", "It may be cut short; get the file again"
        ) from error
    return fields


def _checked(path: Path, fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Check kind, shape and content of the model's arrays; returns them as float64 and int64, and `parents`."""
    arrays = {name: _numeric(path, name, fields[name]) for name in _FIELDS}
    V, J = len(arrays["v_template"]), arrays["weights"].shape[-1]

    def need(condition: bool, name: str, problem: str) -> None:
        if not condition:
            raise SynthError(f"{path}: field {name}: {problem}", "Use the original file of the model")

    need(J in _FAMILIES, "weights", f"{J} joints; known are 24 (SMPL), 52 (SMPL+H), 55 (SMPL-X)")
    arrays["posedirs"] = (
        arrays["posedirs"].reshape(V, 3, -1) if arrays["posedirs"].size == V * 27 * (J - 1) else arrays["posedirs"]
    )
    shapes = {"v_template": (V, 3), "shapedirs": (V, 3, None), "posedirs": (V, 3, 9 * (J - 1)), "J_regressor": (J, V),
              "weights": (V, J), "kintree_table": (2, J), "f": (None, 3)}  # fmt: skip
    for name, shape in shapes.items():
        got = arrays[name].shape
        fits = len(got) == len(shape) and all(w is None or w == n for w, n in zip(shape, got, strict=True))
        need(fits, name, f"expected {tuple('*' if n is None else n for n in shape)}, got {got}")
    for name, array in arrays.items():
        need(bool(np.isfinite(array).all()), name, "holds values that are not finite")
    need(bool(arrays["f"].min() >= 0 and arrays["f"].max() < V), "f", f"points outside the {V} vertices")
    need(bool((np.abs(arrays["weights"].sum(1) - 1) < 1e-2).all()), "weights", "skin weights do not sum to 1")
    need(bool((np.abs(arrays["J_regressor"].sum(1) - 1) < 1e-2).all()), "J_regressor", "rows do not sum to 1")
    parents = arrays.pop("kintree_table").astype(np.int64)[0]
    parents[0] = -1
    need(bool(((parents[1:] >= 0) & (parents[1:] < np.arange(1, J))).all()), "kintree_table", "not a tree of joints")
    arrays["f"] = arrays["f"].astype(np.int64)
    return arrays | {"parents": parents}


def _numeric(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu" or array.ndim < 2:
        raise SynthError(f"{path}: field {name}: expected an array of numbers, got {array.dtype} {array.shape}")
    return array.astype(np.float64)


def _uv(path: Path, fields: dict[str, np.ndarray], faces: int) -> np.ndarray:
    uv = fields.get("uv", np.zeros((faces, 3, 2)))
    if uv.shape != (faces, 3, 2) or uv.dtype.kind != "f":
        raise SynthError(f"{path}: field uv: expected ({faces}, 3, 2), got {uv.shape}")
    return uv.astype(np.float64)


def _stored_keypoints(path: Path, fields: dict[str, np.ndarray], vertices: int) -> dict[str, np.ndarray]:
    """Regressors kept in the file as (keypoint, vertex) pairs with their weights."""
    regressors = {}
    for name, chosen in KEYPOINT_SETS.items():
        if f"keypoints_{name}_rows" not in fields:
            continue
        rows, weights = fields[f"keypoints_{name}_rows"].astype(np.int64), fields.get(f"keypoints_{name}_weights")
        limit = np.array([len(chosen.names), vertices])
        if weights is None or rows.shape != (len(weights), 2) or rows.min() < 0 or (rows >= limit).any():
            raise SynthError(f"{path}: field keypoints_{name}_rows: does not fit the model", "Get the file again")
        regressors[name] = np.zeros(limit)
        np.add.at(regressors[name], (rows[:, 0], rows[:, 1]), weights)
    return regressors
