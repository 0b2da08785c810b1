"""Read a licensed SMPL .pkl without running anything the file asks for, and without chumpy.

SMPL's files are pickles of protocol 2 holding NumPy arrays, SciPy sparse matrices and chumpy arrays. A pickle may name
any function to be called on loading. This reader admits the few names those files need, answers chumpy and SciPy names
with classes of its own that only keep their state, and refuses all others.
"""

import _codecs
import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.core import multiarray

from synth.errors import SynthError

__all__ = ["load_pickle"]


class _State:
    """Stands for an object of a class that is not imported: keeps its state, does nothing."""

    qualified_name = ""

    def __new__(cls, *_: Any, **__: Any) -> "_State":
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and state and isinstance(state[0], dict):
            state = state[0]
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"state of {self.qualified_name} is not a dictionary")
        self.__dict__.update(state)


def _reconstruct(cls: type, base: type, state: Any) -> Any:
    """What copyreg._reconstructor does, for stand-ins only."""
    if not (isinstance(cls, type) and issubclass(cls, _State)) or base is not object or state is not None:
        raise pickle.UnpicklingError(f"refused to rebuild a {cls!r}")
    return cls()


def _allowed() -> dict[tuple[str, str], Any]:
    """Names that may be resolved to the real thing: all are plain containers or constructors of plain arrays."""
    allowed = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _codecs.encode,
        ("collections", "OrderedDict"): collections.OrderedDict,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed[module, "_reconstruct"] = multiarray._reconstruct  # pyright: ignore[reportAttributeAccessIssue]
        allowed[module, "scalar"] = multiarray.scalar  # pyright: ignore[reportAttributeAccessIssue]
    for module in ("copy_reg", "copyreg"):
        allowed[module, "_reconstructor"] = _reconstruct
    for module in ("__builtin__", "builtins"):
        allowed |= {(module, "object"): object, (module, "set"): set, (module, "unicode"): str}
    return allowed


_ALLOWED = _allowed()
_SPARSE = ("csc_matrix", "csr_matrix", "coo_matrix")


class _Unpickler(pickle.Unpickler):
    """Resolves the allowed names; chumpy's and SciPy's become fresh stand-ins, so nothing outlives the reading."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) in _ALLOWED:
            return _ALLOWED[module_name, global_name]
        is_sparse = module_name.split(".")[:2] == ["scipy", "sparse"] and global_name in _SPARSE
        if is_sparse or module_name.split(".")[0] == "chumpy":
            return type(global_name, (_State,), {"qualified_name": f"{module_name}.{global_name}"})
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which no body model needs")


def _dense(value: Any) -> Any:
    """Turn stand-ins into arrays: chumpy's leaf `Ch` (field x) and `Select` (a.ravel()[idxs]), sparse matrices."""
    if not isinstance(value, _State):
        return value
    state, kind = value.__dict__, value.qualified_name
    if kind.startswith("scipy"):
        return _dense_sparse(state, kind.rpartition(".")[2])
    if "x" in state:
        return np.asarray(_dense(state["x"]))
    if kind.endswith(".Select") and {"a", "idxs"} <= state.keys():
        chosen = np.asarray(_dense(state["a"])).ravel()[np.asarray(_dense(state["idxs"])).ravel().astype(np.int64)]
        shape = state.get("preferred_shape")
        return chosen if shape is None else chosen.reshape(tuple(int(n) for n in np.ravel(shape)))
    raise ValueError(f"a {kind} is not understood")


def _dense_sparse(state: dict[str, Any], kind: str) -> np.ndarray:
    shape = tuple(int(n) for n in state.get("_shape", state.get("shape", ())))
    if kind == "coo_matrix":
        index = state["coords"] if "coords" in state else (state["row"], state["col"])
        matrix = scipy.sparse.coo_matrix((state["data"], tuple(index)), shape=shape)
    else:
        matrix = getattr(scipy.sparse, kind)((state["data"], state["indices"], state["indptr"]), shape=shape)
        matrix.check_format(full_check=True)
    return matrix.toarray()


def load_pickle(path: Path, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read fields of a pickled dictionary as dense arrays.

    Args:
        path: A .pkl file of SMPL, SMPL+H or SMPL-X.
        wanted: The fields to return; those the file lacks are left out, all others are ignored.

    Raises:
        SynthError: the file cannot be read, asks for code, or a field is of a kind no body model holds.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise SynthError(f"{path}: refused: {error}", "Use the original file of the model") from error
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle may raise anything at all
        hint = "It may be cut short; download it again"
        raise SynthError(f"{path}: not a readable pickle ({type(error).__name__})", hint) from error
    if not isinstance(content, dict):
        raise SynthError(f"{path}: holds a {type(content).__name__}, not a dictionary of a body model's fields")
    fields = {}
    for name in wanted:
        if name in content:
            try:
                fields[name] = np.asarray(_dense(content[name]))
            except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                raise SynthError(f"{path}: field {name}: {error}", "Use the original file of the model") from error
    return fields
