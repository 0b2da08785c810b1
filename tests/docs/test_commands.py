"""Every command in the documentation and the README's examples run; tests/shards tries those of docs/shards.md."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SMALL, run_command

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(kind: str) -> list[tuple[str, str]]:
    """Code blocks of one kind, with the page they stand on."""
    fence = re.compile(rf"^```{kind}\n(.*?)^```", re.M | re.S)
    return [(page.name, text) for page in PAGES for text in fence.findall(page.read_text())]


def commands() -> list[tuple[str, str]]:
    """Console lines that start with a prompt, without their comments; each once, with the first page it stands on."""
    lines = [(page, line) for page, text in blocks("console") for line in text.splitlines() if line.startswith("$ ")]
    first: dict[str, str] = {}
    for page, line in lines:
        first.setdefault(line[2:].partition("  #")[0].strip(), page)
    return [(page, command) for command, page in first.items()]


@pytest.fixture
def desk(small_shards: Path, tmp_path: Path) -> Path:
    """A folder as the documentation supposes it: shards, configs."""
    shutil.copytree(small_shards, tmp_path / "shards")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path


@pytest.mark.blender
@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), commands())
def test_a_documented_command_runs(page: str, command: str, desk: Path) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    else:
        assert words[0] in ("synth", "train", "python"), f"{page}: who runs {words[0]}?"
        if words[0] == "python":
            done = run_command(*words[words.index("-m") + 1 :], cwd=desk)
        else:
            # a small one of the same: later flags win
            small = [*SMALL, "--clips", "1", "--garment", "none"] if words[1] == "render" else []
            done = run_command(*words, *small, cwd=desk)
    assert done.returncode == 0, f"{page}: {command}\n{done.stdout}{done.stderr}"


@pytest.mark.blender
@pytest.mark.slow
@pytest.mark.parametrize(("page", "code"), [b for b in blocks("python") if b[0] == "README.md"])
def test_an_example_of_the_readme_runs(page: str, code: str, desk: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=desk, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{page}:\n{code}\n{done.stderr}"


def test_every_command_explains_itself_with_an_example() -> None:
    from synth.cli import COMMANDS

    for name in COMMANDS:
        done = run_command("synth", name, "--help")
        assert done.returncode == 0, done.stderr
        assert "Example" in done.stdout or "Commands:" in done.stdout, name
        assert "\\b" not in done.stdout, name  # click's mark for lines to keep, in a raw docstring


def test_every_command_has_a_page_that_the_index_names() -> None:
    from synth.cli import COMMANDS

    index = (ROOT / "docs" / "README.md").read_text()
    for name in COMMANDS:
        (page,) = re.findall(rf"^\| `synth {name}` \|.*\]\((.*)\) \|$", index, re.M)
        assert f"synth {name}" in (ROOT / "docs" / page).read_text(), name


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in [*PAGES, *sorted((ROOT / "docs" / "adr").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_help_needs_neither_blender_nor_torch() -> None:
    # catches an import at the top of a command's module, which would make --help take seconds
    code = (
        "import sys; sys.argv = ['synth', 'render', '--help']\ntry:\n import synth.__main__\nexcept SystemExit: pass\n"
    )
    code += "assert not {'bpy', 'torch', 'h5py', 'scipy'} & set(sys.modules), set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
