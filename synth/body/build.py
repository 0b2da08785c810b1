"""Build the free body from MakeHuman's CC0 data: three files in SMPL's format with one topology.

    base mesh -> visible surface -> adults drawn -> T-pose -> decimated once -> per gender: principal components,
    joint regressor, pose blend shapes, keypoints -> .npz

The same seed and the same versions of NumPy, SciPy and Blender give the same bytes.
"""

import io
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from synth.body import correctives, fit, landmarks, makehuman, tpose
from synth.body.joints import JOINT_NAMES, PAIRS, PARENTS
from synth.body.population import draw_adults
from synth.rng import generator
from synth.types import BodyModel

Array = np.ndarray
Decimate = Callable[[Array, Array, Array, Array, int], tuple[Array, Array, Array]]

__all__ = ["VERTICES", "build_bodies"]

log = logging.getLogger(__name__)

VERTICES = 6850
"""At most this many vertices: about as many as SMPL has, but not as many, so that none is taken for the other."""
_FIGURES = 800
_BETAS = 10
_BATCH = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Source:
    """MakeHuman's data, read once."""

    mesh: makehuman.BaseMesh
    surface: makehuman.Surface
    traits: list[tuple[str, ...]]
    targets: Float[Array, "M N 3"]
    weights: Float[Array, "S 26"]
    """Of the surface's points."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Topology:
    """What the three bodies share."""

    points: scipy.sparse.csr_matrix
    """Each vertex as a mean of the surface's points, (V, S)."""
    faces: Int[Array, "F 3"]
    uv: Float[Array, "F 3 2"]
    weights: Float[Array, "V 24"]
    partner: Int[Array, " V"]
    eyes: Array


def build_bodies(data: Path, out: Path, decimate: Decimate, seed: int = 0, figures: int = _FIGURES) -> list[Path]:
    """Build the neutral, male and female body.

    Args:
        data: MakeHuman's folder (see `makehuman.find_data`).
        out: Folder for free_neutral.npz, free_male.npz and free_female.npz.
        decimate: `synth.blender.decimate.decimate`; handed in, because this layer does not know Blender.
        seed: Of the population and the poses.
        figures: Number of adults to draw for each body.

    Returns:
        The files written.

    Raises:
        SynthError: MakeHuman's data is not as expected.
    """
    source = _read(data)
    topology: _Topology | None = None
    paths = []
    for gender in ("neutral", "male", "female"):
        surface, joints, stature = _draw_figures(source, generator(seed, "body", gender), gender, figures)
        if topology is None:
            topology = _make_topology(source, surface.mean(axis=0), decimate)
        vertices = np.stack([topology.points @ figure for figure in surface])
        del surface
        arrays = _fit_body(generator(seed, "correctives", gender), topology, vertices, joints)
        arrays |= {"name": np.array("free"), "gender": np.array(gender)}
        arrays |= {"population_stature": np.array([stature.mean(), stature.std(ddof=1)])}
        paths.append(_write(out / f"free_{gender}.npz", arrays))
    return paths


def _read(data: Path) -> _Source:
    mesh = makehuman.read_base_mesh(data)
    surface = makehuman.skin_surface(mesh)
    traits, targets = makehuman.morph_targets(data, len(mesh.vertices))
    weights = tpose.group_weights(makehuman.rig_weights(data), len(mesh.vertices))
    log.info("%d targets, %d points on the surface", len(traits), len(surface.eyes))
    return _Source(mesh=mesh, surface=surface, traits=traits, targets=targets, weights=surface.points @ weights)


def _draw_figures(
    source: _Source, rng: np.random.Generator, gender: str, count: int
) -> tuple[Float[Array, "S P 3"], Float[Array, "S 24 3"], Float[Array, " S"]]:
    """Surface and joints of drawn adults in the T-pose, scaled to their stature, and the stature [m]."""
    adults = draw_adults(rng, count, gender, source.traits)
    flat = source.targets.reshape(-1, 3 * len(source.mesh.vertices))
    points, joints = [], []
    for start in range(0, count, _BATCH):
        batch = slice(start, start + _BATCH)
        strengths = adults.strengths[batch].astype(np.float32)
        figures = source.mesh.vertices + (strengths @ flat).reshape(len(strengths), -1, 3).astype(np.float64)
        surface = np.stack([source.surface.points @ figure for figure in figures])
        posed, places = tpose.to_t_pose(surface, source.weights, tpose.rest_joints(source.mesh, figures))
        # Stature is measured upright; MakeHuman's own pose stoops.
        scale = (adults.stature[batch] / np.ptp(posed[..., 1], axis=1))[:, None, None]
        posed, places = (scale * (place - tpose.PELVIS) + tpose.PELVIS for place in (posed, places))
        points.append(posed.astype(np.float32))
        joints.append(places)
    return np.concatenate(points), np.concatenate(joints), adults.stature


def _make_topology(source: _Source, mean: Array, decimate: Decimate) -> _Topology:
    """Thin out the mean surface; more at the toes, less at the face."""
    surface, weights = source.surface, source.weights
    joint = {name: i for i, name in enumerate(JOINT_NAMES)}
    feet = weights[:, [joint["left_foot"], joint["right_foot"]]].sum(axis=1)
    thinning = np.clip(0.5 + 0.35 * feet - 0.1 * weights[:, joint["head"]], 0.02, 1.0)
    exact = fit.symmetric(mean.astype(np.float64), fit.mirror_map(mean.astype(np.float64))[0])
    vertices, faces, uv = decimate(exact, surface.faces, surface.uv, thinning, VERTICES)
    partner, apart = fit.mirror_map(vertices)
    log.info("%d vertices, %d faces, mirror images %.2g m apart", len(vertices), len(faces), apart)
    points = fit.on_surface(fit.symmetric(vertices, partner), exact, surface.triangles)
    merged = tpose.merge_groups(points @ weights)
    swap = np.arange(24)
    for left, right in PAIRS:
        swap[[left, right]] = right, left
    merged = tpose.four_largest((merged + merged[partner][:, swap]) / 2)
    return _Topology(
        points=points, faces=faces, uv=uv, weights=merged, partner=partner,
        eyes=points @ surface.eyes.astype(float) > 0.5,
    )  # fmt: skip


def _fit_body(
    rng: np.random.Generator, topology: _Topology, vertices: Float[Array, "S V 3"], joints: Float[Array, "S 24 3"]
) -> dict[str, Array]:
    """The arrays of one body's file."""
    vertices = fit.symmetric(vertices.astype(np.float64), topology.partner)
    mean, components, betas, explained = fit.shape_components(vertices, topology.faces, _BETAS)
    middle = joints.mean(axis=0)
    some = rng.permutation(len(vertices))[:160]
    regressor = fit.fit_regressor(vertices[some], joints[some], topology.weights, topology.partner, mean, middle)
    error = 1e3 * np.linalg.norm(regressor @ vertices - joints, axis=-1).mean(axis=0)
    worst = int(error.argmax())
    log.info("joint regressor: %.1f mm off in the mean, %s %.1f mm", error.mean(), JOINT_NAMES[worst], error[worst])
    log.info("%d betas hold %.2f %% of the variance", _BETAS, 100 * explained.sum())
    litres = 1e3 * fit.volume(vertices, topology.faces)
    log.info("volume %.1f l, standard deviation %.1f l", litres.mean(), litres.std(ddof=1))
    posedirs = correctives.pose_blend_shapes(rng, mean, regressor @ mean, topology.weights, topology.partner)
    body = _model(topology, mean, components, posedirs, regressor)
    keypoints = landmarks.fit_keypoints(
        landmarks.posed_regressor(rng, body, topology.partner),
        landmarks.find_landmarks(mean, topology.weights, topology.eyes, topology.partner),
    )
    arrays = {
        "v_template": mean, "shapedirs": components, "posedirs": posedirs, "J_regressor": regressor,
        "weights": topology.weights, "f": topology.faces.astype(np.uint32), "uv": topology.uv,
        "J": regressor @ mean, "kintree_table": np.stack([PARENTS, np.arange(24)]),
        "bs_style": np.array("lbs"), "bs_type": np.array("lrotmin"),
        "betas_std": betas.std(axis=0, ddof=1), "explained_variance": explained,
    }  # fmt: skip
    for name, (rows, values) in keypoints.items():
        arrays |= {f"keypoints_{name}_rows": rows, f"keypoints_{name}_weights": values}
    return arrays


def _model(topology: _Topology, mean: Array, components: Array, posedirs: Array, regressor: Array) -> BodyModel:
    return BodyModel(
        name="free", gender="neutral", v_template=mean, shapedirs=components, posedirs=posedirs, J_regressor=regressor,
        lbs_weights=topology.weights, parents=PARENTS, faces=topology.faces, uv=topology.uv, sha256="",
    )  # fmt: skip


def _write(path: Path, arrays: dict[str, Array]) -> Path:
    """Write a compressed .npz, whole or not at all. float32 is exact to 1e-7 m here."""
    single = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **single)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(buffer.getvalue())
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
    return path
