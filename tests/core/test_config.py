from pathlib import Path

import pytest

from synth.config import Config, load_config
from synth.errors import SynthError


def test_defaults_then_file_then_flags(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("seed = 5\n[scene]\nviews = 8\nwidth = 128\n")
    config = load_config(path, {"scene.views": 2, "motion.clips": None})
    assert (config.seed, config.scene.views, config.scene.width, config.scene.height) == (5, 2, 128, 250)
    assert config.motion.clips == Config().motion.clips


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[scene]\nveiws = 4\n", "veiws"),
        ("[scene]\nviews = 'four'\n", "scene.views"),
        ("[scene]\nviews = 0\n", "scene.views"),
        ("[cloth]\nsolver = 'magic'\n", "cloth.solver"),
        ("[body]\ngenders = ['other']\n", "body.genders"),
        ("[scene]\nhdris = '/no/such/folder'\n", "/no/such/folder"),
        ("not toml", "TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(SynthError) as error:
        load_config(path, {})
    assert named in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SynthError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml", {})


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("configs/*.toml")), ids=lambda p: p.name)
def test_the_configs_that_come_along_are_valid(path: Path) -> None:
    load_config(path, {})
