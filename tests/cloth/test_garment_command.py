"""`synth garment fit` and `preview`, as a user runs them but in this process."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from synth.cli.garment import garment
from synth.errors import SynthError


def test_fit_writes_the_outfit_on_the_body_asked_for(tmp_path: Path) -> None:
    seen = []
    for betas in ("", "2,1"):
        out = tmp_path / f"fit{betas}.obj"
        done = CliRunner().invoke(
            garment, ["fit", "shorts", "tank_top", "--gender", "male", "--betas", betas, "--out", str(out)]
        )
        assert done.exit_code == 0, done.output
        text = out.read_text()
        assert [line for line in text.splitlines() if line.startswith("o ")] == ["o body", "o shorts", "o tank_top"]
        seen.append(text)
    assert seen[0] != seen[1]


def test_preview_draws_eight_sides(tmp_path: Path) -> None:
    out = tmp_path / "p.png"
    done = CliRunner().invoke(garment, ["preview", "shorts", "--out", str(out)])
    assert done.exit_code == 0, done.output
    with Image.open(out) as image:
        assert image.size == (8 * 240, 420)
        assert len(image.getcolors(1 << 20) or []) > 50


@pytest.mark.blender
def test_preview_in_motion_says_what_the_gate_thinks(tmp_path: Path) -> None:
    out = tmp_path / "p.png"
    arguments = ["preview", "shorts", "--motion", "cmu:01_01", "--frames", "3", "--solver", "skinned"]
    done = CliRunner().invoke(garment, [*arguments, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "shorts: " in done.output
    with Image.open(out) as image:
        assert image.size[1] == 420 + 2 * 300


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["toga"], "toga"),
        (["shorts", "--betas", "1,x"], "betas"),
        (["shorts", "--betas", "1,2,3,4,5,6,7,8,9,10,11,12"], "betas"),
        (["shorts", "--fabric", "tin"], "tin"),
    ],
)
def test_mistakes_are_named(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(garment, ["fit", *arguments, "--out", str(tmp_path / "x.obj")])
    assert isinstance(done.exception, SynthError)
    assert said in str(done.exception)
