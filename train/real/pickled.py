"""Read pickles and joblib files of plain data without running anything they ask for.

A pickle may name any function and have it called. Here no name is ever resolved: a name becomes a marker, and the few
calls that arrays need (NumPy's and joblib's) are carried out by functions of this module on checked arguments. Whatever
else a file asks for is refused. The reader is written over CPython's own interpreter of opcodes (`pickle._Unpickler`,
which joblib also builds on) because joblib puts the bytes of arrays between the opcodes.
"""

import gzip
import io
import math
import pickle
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import numpy as np

from synth.errors import SynthError
from train.real.files import real_text

__all__ = ["load"]

_SIMPLE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|c8|c16|[SUa]\d{1,6}|\?)")
_MAX_DEPTH = 64
_MAX_VALUES = 50_000_000
_MAX_INFLATION = 100
"""How much larger than itself a compressed file may become; measurements never shrink that far."""
_BAD = "Use the original file of the data set"


class _Name:
    """Stands for a global that the file asks for; never the thing itself."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Made:
    """An object under construction: what it was made from and the state it was given."""

    __slots__ = ("arguments", "kind", "state", "value")

    def __init__(self, kind: str, arguments: tuple = ()) -> None:
        self.kind, self.arguments = kind, arguments
        self.state: Any = None
        self.value: Any = None


def _refuse(what: str) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(f"refused: {what}")


_NUMPY = r"numpy\.(?:core|_core)\.multiarray\."
_KINDS = (
    (re.compile(_NUMPY + "_reconstruct"), "array"),
    (re.compile(_NUMPY + "scalar"), "scalar"),
    (re.compile(r"numpy\.(?:core|_core)\.numeric\._frombuffer"), "buffer"),
    (re.compile(r"numpy\.dtype"), "dtype"),
    (re.compile(r"numpy\.ndarray"), "ndarray"),
    (re.compile(r"numpy\.memmap|numpy\.matrix"), "ndarray"),
    (re.compile(r"_codecs\.encode"), "encode"),
    (re.compile(r"(?:__builtin__|builtins)\.(?:bytes|bytearray|str|unicode)"), "text"),
    (re.compile(r"collections\.(?:OrderedDict|defaultdict)"), "dict"),
    (re.compile(r"(?:__builtin__|builtins)\.(?:list|dict)"), "dict"),
    (re.compile(r"joblib\.numpy_pickle\.NumpyArrayWrapper"), "joblib"),
    (re.compile(r"numpy\.dtypes?\.\w+DType"), "dtype"),
)
"""Names that data files use, and which of this module's constructions each stands for."""


def _kind(name: str) -> str:
    for pattern, kind in _KINDS:
        if pattern.fullmatch(name):
            return kind
    raise _refuse(f"it asks for {name[:80]}, which no data needs")


def _dtype(value: Any) -> np.dtype:
    """The dtype that a marker describes: plain numbers, booleans and fixed-length text only."""
    if not isinstance(value, _Made) or value.kind != "dtype" or not value.arguments:
        raise _refuse("an array without a dtype")
    code = value.arguments[0]
    if not isinstance(code, str) or not (_SIMPLE.fullmatch(code) or code in ("O", "O8", "|O")):
        raise _refuse(f"an array of {str(code)[:40]!r}")
    dtype = np.dtype(code.replace("a", "S") if code[:1] == "a" else code)
    state = value.state
    if state is not None:
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise _refuse("an array of records")
        if dtype.kind in "SU" and len(state) > 5 and isinstance(state[5], int) and 0 <= state[5] < 1 << 20:
            dtype = np.dtype(f"{dtype.kind}{state[5] // (4 if dtype.kind == 'U' else 1)}")
        if state[1] in ("<", ">", "="):
            dtype = dtype.newbyteorder(state[1])
    return dtype


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or len(value) > 8:
        raise _refuse("an array without a shape")
    if any(not isinstance(n, int) or isinstance(n, bool) or not 0 <= n < 1 << 40 for n in value):
        raise _refuse("an array of impossible shape")
    return tuple(value)


def _bytes(value: Any) -> bytes:
    """Raw bytes, which Python 2 wrote as text."""
    if isinstance(value, str):
        return value.encode("latin1")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise _refuse("an array without bytes")


def _plain(array: np.ndarray) -> np.ndarray:
    """In the machine's own byte order."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _from_bytes(raw: bytes, dtype: np.dtype, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    count = math.prod(shape)
    if dtype.hasobject or count * dtype.itemsize != len(raw):
        raise _refuse(f"an array {shape} of {dtype} in {len(raw)} bytes")
    if count == 0 or dtype.itemsize == 0:
        return np.zeros(shape, dtype)
    array = _plain(np.frombuffer(raw, dtype))
    if not real_text(array):
        raise _refuse("text of impossible characters")
    return array.reshape(shape, order="F" if fortran else "C")


def _array(state: Any) -> Any:
    """An array from the state that NumPy pickles: version, shape, dtype, order, bytes (or a list of objects)."""
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise _refuse("an array's state is not understood")
    shape, dtype, fortran, raw = state[-4:]
    shape, dtype = _shape(shape), _dtype(dtype)
    if not dtype.hasobject:
        return _from_bytes(_bytes(raw), dtype, shape, bool(fortran))
    if not isinstance(raw, list) or len(raw) != math.prod(shape):
        raise _refuse("an array of objects without its objects")
    return raw


class _Reader(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """Interprets the opcodes; every one that could call something is replaced below."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)  # pyright: ignore
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = _Bounded(file, size)
        super().__init__(self.file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        _kind(f"{module}.{name}")
        return _Name(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise _refuse("it refers to things outside of the file")

    def get_extension(self, code: int) -> None:
        raise _refuse("it uses registered extensions")

    def call(self, name: Any, arguments: Any) -> Any:
        """Carry out one of the allowed constructions."""
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise _refuse("it calls something that is not a name")
        kind = _kind(name.name)
        if kind == "scalar" and len(arguments) == 2:
            return _from_bytes(_bytes(arguments[1]), _dtype(arguments[0]), (), False)[()]
        if kind == "buffer" and len(arguments) == 4:
            raw, dtype, shape, order = arguments
            return _from_bytes(_bytes(raw), _dtype(dtype), _shape(shape), order == "F")
        if kind == "encode" and len(arguments) == 2 and isinstance(arguments[0], str):
            return arguments[0].encode("latin1")
        if kind == "text":
            return arguments[0] if arguments and isinstance(arguments[0], str | bytes) else ""
        if kind == "dict" and not any(isinstance(part, list | dict | tuple) for part in arguments):
            return [] if name.name.endswith("list") else {}
        if kind in ("array", "dtype", "joblib"):
            return _Made(kind, arguments)
        raise _refuse(f"it calls {name.name} in an unknown way")

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.call(self.stack[-1], arguments)

    def load_newobj_ex(self) -> None:
        raise _refuse("objects made with keyword arguments")

    def load_inst(self) -> None:
        raise _refuse("instances of classes")

    def load_build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, dict):
            return  # attributes of an OrderedDict
        if not isinstance(made, _Made):
            raise _refuse("it sets the state of something that is not an array")
        if made.kind == "array":
            made.value = _array(state)
        elif made.kind == "joblib":
            made.value = self.joblib_array(state)
        else:
            made.state = state

    def joblib_array(self, state: Any) -> Any:
        """Read the array that joblib wrote behind the opcodes."""
        if not isinstance(state, dict):
            raise _refuse("a joblib array without a description")
        dtype, shape = _dtype(state.get("dtype")), _shape(state.get("shape"))
        if dtype.hasobject:
            inner = _Reader(self.file.file, self.file.left)
            content = inner.load()
            self.file.left = inner.file.left
            return content
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.exactly(self.file.exactly(1)[0])
        raw = self.file.exactly(math.prod(shape) * dtype.itemsize)
        return _from_bytes(raw, dtype, shape, state.get("order") == "F")

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.put([key, value])

    def load_setitems(self) -> None:
        self.put(self.pop_mark())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self.put(items)

    def put(self, items: list[Any]) -> None:
        """Add to a dictionary. Keys are text and numbers only: a deeply nested key takes for ever to hash."""
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise _refuse("items of something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes | int | float):
                raise _refuse("a dictionary whose keys are not text or numbers")
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise _refuse("items of something that is not a list")
        self.stack[-1].extend(items)

    def load_append(self) -> None:
        self.extend([self.stack.pop()])

    def load_appends(self) -> None:
        self.extend(self.pop_mark())

    def load_set(self) -> None:
        raise _refuse("sets")

    for _code, _method in {
        pickle.REDUCE: load_reduce,
        pickle.NEWOBJ: load_reduce,
        pickle.NEWOBJ_EX: load_newobj_ex,
        pickle.INST: load_inst,
        pickle.OBJ: load_inst,
        pickle.BUILD: load_build,
        pickle.SETITEM: load_setitem,
        pickle.SETITEMS: load_setitems,
        pickle.DICT: load_dict,
        pickle.APPEND: load_append,
        pickle.APPENDS: load_appends,
        pickle.EMPTY_SET: load_set,
        pickle.ADDITEMS: load_set,
        pickle.FROZENSET: load_set,
    }.items():
        dispatch[_code[0]] = _method


class _Bounded:
    """A file that never tries to read more than there is, whatever length the pickle claims."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self.file, self.left = file, left

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.left:
            raise EOFError
        self.left -= size
        return self.file.read(size)

    def exactly(self, size: int) -> bytes:
        raw = self.read(size)
        if len(raw) != size:
            raise EOFError
        return raw

    def readline(self) -> bytes:
        line = self.file.readline(1 << 20)
        self.left -= len(line)
        return line

    def readinto(self, target: Any) -> int:
        raw = self.exactly(len(target))
        target[:] = raw
        return len(raw)


def load(path: Path) -> Any:
    """Read a pickle or joblib file (also compressed with zlib or gzip).

    Returns:
        Dictionaries, lists, tuples, text, bytes, numbers and arrays; arrays of objects become lists.

    Raises:
        SynthError: the file cannot be read, asks for anything that data does not need, or nests too deep.
    """
    try:
        with path.open("rb") as raw:
            size = path.stat().st_size
            unpacked_size = _MAX_INFLATION * size + (1 << 24)
            start = raw.read(2)
            raw.seek(0)
            if start == b"\x1f\x8b":
                with gzip.open(raw) as unpacked:
                    content = _Reader(cast(BinaryIO, unpacked), unpacked_size).load()
            elif start[:1] == b"\x78" and len(start) == 2 and int.from_bytes(start, "big") % 31 == 0:
                content = _Reader(io.BufferedReader(_Inflated(raw)), unpacked_size).load()
            else:
                content = _Reader(raw, size).load()
        return _checked(content, 0, {})[0]
    except pickle.UnpicklingError as error:
        raise SynthError(f"{path}: {error}", _BAD) from error
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle may raise anything at all
        raise SynthError(f"{path}: not a readable pickle ({type(error).__name__})", _BAD) from error


class _Inflated(io.RawIOBase):
    """A zlib stream, unpacked as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.inflater = file, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self.inflater.eof:
            packed = self.inflater.unconsumed_tail or self.file.read(1 << 16)
            out = self.inflater.decompress(packed, len(target))
            if out:
                target[: len(out)] = out
                return len(out)
            if not packed:
                break
        return 0


def _checked(value: Any, depth: int, done: dict[int, tuple[Any, int]]) -> tuple[Any, int]:
    """The content with arrays in place of markers, and how many values it has counting shared parts each time."""
    while isinstance(value, _Made):
        value = value.value
    if isinstance(value, _Name) or not isinstance(value, dict | list | tuple):
        return (None if isinstance(value, _Name) else value), 1
    if depth > _MAX_DEPTH:
        raise _refuse("it nests too deep")
    if id(value) not in done:
        parts = [_checked(item, depth + 1, done) for item in (value.values() if isinstance(value, dict) else value)]
        size = 1 + sum(count for _, count in parts)
        if size > _MAX_VALUES:
            raise _refuse("it repeats itself without end")
        items = [item for item, _ in parts]
        done[id(value)] = (dict(zip(value, items, strict=True)) if isinstance(value, dict) else items), size
    return done[id(value)]
