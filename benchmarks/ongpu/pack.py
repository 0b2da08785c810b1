"""Pack what rendering needs for a machine without network: this Python 3.11, Blender's module, NumPy and the like.

    python benchmarks/ongpu/pack.py OUT [--piece-mib 44] [--arch sm_86]

Makes OUT/part-00/piece.00, OUT/part-01/piece.01, ... for machines that take only so much at a time. There, with the
project's tree beside them:

    bash benchmarks/ongpu/unpack.sh add OUT/part-00      # one after the other, in any number of calls
    bash benchmarks/ongpu/unpack.sh finish               # once; then /opt/raiment/run python -m synth ... works

What is packed is what is installed here, so the versions are those that the tests passed with. PyTorch is not packed:
it is larger than all the rest, and machines with a GPU have it. Of Blender all is left out that headless rendering on
NVIDIA cards and CPUs does not read; cubins of --arch are kept beside PTX, which the driver compiles for any card.
"""

import argparse
import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

PACKAGES = ("bpy", "numpy", "scipy", "h5py", "click", "pillow", "trimesh", "joblib", "jaxtyping", "wadler_lindig")

ADDONS = "bpy/4.5/scripts/addons_core/"
LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|tests|test|_examples)/|\.pyi$|\.pyx$|"
    r"^bpy/4\.5/datafiles/(locale|assets)/|"
    r"^bpy/4\.5/python/lib/python3\.11/site-packages/(?!OpenImageIO|PyOpenColorIO)|"
    r"^bpy/4\.5/scripts/addons_core/(?!cycles)(rigify|node_wrangler|hydra_storm|copy_global_transform|viewport)|"
    r"^bpy/4\.5/scripts/addons_core/cycles/lib/kernel_(?!compute|optix)|"
    r"^bpy/lib/libOpenImageDenoise_device_(hip|sycl)|"
    r"^bpy/4\.5/datafiles/fonts/(?!Inter|DejaVu)"
)
"""Files of packages, from the site folder, that are not packed."""

STANDARD_LEFT_OUT = re.compile(
    r"^(site-packages|dist-packages|test|idlelib|tkinter|turtledemo|ensurepip|lib2to3|config-[^/]*)(/|$)|(^|/)__pycache__(/|$)|"
    r"^lib-dynload/(_tkinter|_test)"
)

OF_THE_SYSTEM = re.compile(r"^(linux-vdso|ld-linux|libc|libm|libdl|libpthread|librt|libutil|libresolv|libnsl)[.-]")
"""Libraries that belong to glibc: those of the machine itself must be used."""

LARGE = 20 * 2**20
"""Blender's and Python's libraries of more bytes are stripped."""

RUN = """#!/bin/bash
# What was packed, with its own Python: run python SCRIPT
here=$(dirname "$(realpath "$0")")
driver=/usr/local/nvidia/lib64:/usr/local/nvidia/lib
export PYTHONHOME=$here/python PYTHONPATH=$here/site${PYTHONPATH:+:$PYTHONPATH} PYTHONNOUSERSITE=1
export LD_LIBRARY_PATH=$here/sys${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}:$driver
export CUDA_CACHE_PATH=${CUDA_CACHE_PATH:-$here/cache/cuda} OPTIX_CACHE_PATH=${OPTIX_CACHE_PATH:-$here/cache/optix}
export CUDA_CACHE_MAXSIZE=${CUDA_CACHE_MAXSIZE:-4294967296}
mkdir -p "$CUDA_CACHE_PATH" "$OPTIX_CACHE_PATH"
[ "$1" = python ] && shift
exec "$here/python/bin/python3.11" "$@"
"""


def kept(path: str, archs: Sequence[str] = ()) -> bool:
    """Whether a file of a package is packed.

    Args:
        path: Relative to the site folder, with slashes.
        archs: GPU architectures whose cubins are wanted, such as "sm_86".
    """
    if any(path == f"{ADDONS}cycles/lib/kernel_{arch}.cubin.zst" for arch in archs):
        return True
    return not LEFT_OUT.search(path) and not path.startswith("..")


def package_files(archs: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Files of all packages: where each lies and where it goes.

    Raises:
        SystemExit: a package is not installed here.
    """
    for name in PACKAGES:
        try:
            found = importlib.metadata.distribution(name).files or []
        except importlib.metadata.PackageNotFoundError:
            sys.exit(f"{name} is not installed in {sys.prefix}; run this with the Python that renders")
        for file in found:
            source = Path(str(file.locate()))
            if kept(str(PurePosixPath(file)), archs) and source.is_file():
                yield source, f"site/{PurePosixPath(file)}"


def python_files() -> Iterator[tuple[Path, str]]:
    """The interpreter with its standard library."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    yield Path(sys.executable).resolve(), f"python/bin/{version}"
    standard = Path(sysconfig.get_path("stdlib"))
    for source in sorted(standard.rglob("*")):
        relative = source.relative_to(standard).as_posix()
        if source.is_file() and not STANDARD_LEFT_OUT.search(relative):
            yield source, f"python/lib/{version}/{relative}"


def linked(output: str) -> dict[str, Path]:
    """Libraries in `ldd`'s output that do not belong to glibc, by the name they are asked for."""
    pairs = re.findall(r"^\s*(\S+) => (/\S+) \(", output, re.MULTILINE)
    return {name: Path(path) for name, path in pairs if not OF_THE_SYSTEM.match(name)}


def library_files(files: Sequence[tuple[Path, str]]) -> Iterator[tuple[Path, str]]:
    """System libraries that the files need and that a bare machine may lack."""
    binaries = [str(source) for source, _ in files if ".so" in source.name or source.parent.name == "bin"]
    packed = {source.resolve() for source, _ in files}
    found: dict[str, Path] = {}
    for start in range(0, len(binaries), 200):
        said = subprocess.run(["ldd", *binaries[start : start + 200]], capture_output=True, text=True, check=False)
        found |= linked(said.stdout)
    for name, path in sorted(found.items()):
        if path.resolve() not in packed:
            yield path.resolve(), f"sys/{name}"


def without_symbols(files: Sequence[tuple[Path, str]], folder: Path) -> list[tuple[Path, str]]:
    """Blender's and Python's large libraries without the symbols that only a debugger reads, where there is `strip`.

    Not those of other wheels: stripping breaks what was patched after linking, as OpenBLAS was in NumPy's and SciPy's.
    """
    if shutil.which("strip") is None:
        return list(files)
    slim = []
    for number, (source, place) in enumerate(files):
        if place.startswith(("site/bpy/", "sys/libpython")) and ".so" in source.name and source.stat().st_size > LARGE:
            copy = folder / f"{number}.so"
            done = subprocess.run(["strip", "--strip-unneeded", "-o", copy, source], capture_output=True, check=False)
            source = copy if done.returncode == 0 else source
        slim.append((source, place))
    return slim


def split(archive: Path, out: Path, piece: int) -> list[Path]:
    """Cut a file into pieces, each in a folder of its own.

    Args:
        archive: The file.
        out: Folder of the folders.
        piece: Bytes of a piece at most.
    """
    made = []
    with archive.open("rb") as stream:
        while block := stream.read(piece):
            folder = out / f"part-{len(made):02d}"
            folder.mkdir(parents=True, exist_ok=True)
            made.append(folder / f"piece.{len(made):02d}")
            made[-1].write_bytes(block)
    return made


def write_archive(archive: Path, files: Sequence[tuple[Path, str]], level: int) -> None:
    """Write the files as a tar compressed by xz."""
    with tempfile.TemporaryDirectory() as folder, archive.open("wb") as stream:
        run = Path(folder) / "run"
        run.write_text(RUN)
        run.chmod(0o755)
        packer = subprocess.Popen(["xz", "-T0", f"-{level}", "-c"], stdin=subprocess.PIPE, stdout=stream)
        assert packer.stdin is not None
        with tarfile.open(fileobj=packer.stdin, mode="w|", dereference=True) as tar:
            for source, place in [(run, "run"), *files]:
                tar.add(source, f"raiment/{place}", recursive=False)
        packer.stdin.close()
        if packer.wait() != 0:
            sys.exit("xz failed: is there space left?")


def pack(out: Path, piece: int, archs: Sequence[str], level: int, say: Callable[[str], None] = print) -> list[Path]:
    """Pack; returns the pieces."""
    if out.exists() and any(out.iterdir()):
        sys.exit(f"{out} is not empty: remove it or choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    (out / ".gitignore").write_text("*\n")  # a quarter of a gigabyte that no working tree should hold
    files = [*python_files(), *package_files(archs)]
    files += list(library_files(files))
    archive = out / "all.tar.xz"
    with tempfile.TemporaryDirectory() as folder:
        files = without_symbols(files, Path(folder))
        size = sum(source.stat().st_size for source, _ in files)
        say(f"{len(files)} files, {size / 2**20:.0f} MiB")
        write_archive(archive, files, level)
    pieces = split(archive, out, piece)
    archive.unlink()
    return pieces


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--piece-mib", type=int, default=44)
    parser.add_argument("--arch", action="append", default=[], help="keep this architecture's cubin; may be repeated")
    parser.add_argument("--level", type=int, default=6, choices=range(10), help="of xz")
    arguments = parser.parse_args()
    if shutil.which("xz") is None:
        sys.exit("xz is missing (Debian: apt-get install xz-utils)")
    pieces = pack(arguments.out, arguments.piece_mib * 2**20, arguments.arch, arguments.level)
    for path in pieces:
        print(f"{path}  {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
