"""docs/shards.md: every snippet runs, and the table is the schema's."""

import re
from pathlib import Path

import numpy as np
from shard_factory import make_shard

from synth.shards import schema
from synth.shards.manifest import Manifest
from synth.shards.read import ShardReader

PAGE = Path(__file__).parents[2] / "docs" / "shards.md"


def table() -> str:
    groups = {"": schema.CLIP, "keypoints_world/<set>": {"": schema.KEYPOINTS}, "garments/<name>/": schema.GARMENT}
    groups |= {"quality/<name>/": schema.QUALITY, "views/<k>/": schema.VIEW}
    rows = []
    for prefix, datasets in groups.items():
        for name, kind in datasets.items():
            unit = f"{kind.unit} x {kind.scale:g}" if kind.scale != 1 else kind.unit
            shape = " ".join(map(str, kind.shape))
            rows.append(f"| `{prefix}{name}` | {np.dtype(kind.dtype).name} | {shape} | {unit} | {kind.about} |")
    return "\n".join(rows)


def test_every_snippet_runs_and_gives_what_the_reader_gives(tmp_path: Path) -> None:
    path = make_shard(tmp_path, frames=3, views=1, dressed=True)
    Manifest(tmp_path).record(path)
    names: dict = {"folder": tmp_path}
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(snippets) == 7
    for number, snippet in enumerate(snippets):
        exec(snippet, names)  # noqa: S102
        if number == 0:
            assert len(snippet.splitlines()) == 10
            with ShardReader(path) as reader:
                assert np.array_equal(names["picture"], reader.frame(0, 0)["rgb"])
                assert np.array_equal(names["joints"], reader.clip("views/0/keypoints_2d")[0])
    with ShardReader(path) as reader:
        frame = reader.frame(0, 1)
        assert np.array_equal(names["rgb"], frame["rgb"])
        assert np.allclose(names["depth"], frame["depth"], atol=1e-6)
        assert np.allclose(names["flow"], frame["flow"], atol=1e-6)
        skin = np.concatenate(
            [reader.clip("vertices_world", 1, 1)[0], reader.clip("garments/shorts/vertices_world", 1, 1)[0]]
        )
        assert np.linalg.norm(skin - names["point_world"], axis=1).min() < 0.03
    assert names["window"]["rgb"].shape == (2, 250, 250, 3)


def test_the_table_lists_the_schema() -> None:
    text = PAGE.read_text()
    assert table() in text
    assert ", ".join(f"`{name}` ({about})" for name, about in schema.ATTRIBUTES.items()) in text
