"""Garments on disk: round trip, same bytes, and refusals that name the garment."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from garments import catalog


def test_the_project_has_upper_lower_and_full_garments_under_a_free_licence() -> None:
    worn = [catalog.load(name) for name in catalog.names()]
    assert {garment.covers for garment in worn} == {"upper", "lower", "full", "head", "feet"}
    assert {garment.licence for garment in worn} == {"CC0-1.0"}
    assert {"tshirt", "trousers", "skirt"} <= set(catalog.names())


def test_round_trip_gives_the_same_garment_and_the_same_bytes(tmp_path: Path) -> None:
    garment = catalog.load("tshirt")
    for folder in ("a", "b"):
        catalog.save(garment, tmp_path / folder, {"edge": 0.02})
    again = catalog.load("tshirt", tmp_path / "a")
    for field in ("vertices", "faces", "uv", "pins", "goals", "region", "seams"):
        np.testing.assert_array_equal(getattr(again, field), getattr(garment, field))
    assert again.sizes == garment.sizes
    assert (again.layer, again.covers, again.loose, again.fabric) == (
        garment.layer,
        garment.covers,
        garment.loose,
        garment.fabric,
    )
    assert catalog.digest("tshirt", tmp_path / "a") == catalog.digest("tshirt", tmp_path / "b")
    assert not list(tmp_path.rglob(".*"))


def test_the_digest_changes_with_the_mesh_and_with_the_table(tmp_path: Path) -> None:
    garment = catalog.load("skirt")
    plain = catalog.digest("skirt", catalog.save(garment, tmp_path / "a").parent)
    moved = replace(garment, vertices=garment.vertices + 1e-3)
    over = replace(garment, layer=5)
    assert plain != catalog.digest("skirt", catalog.save(moved, tmp_path / "b").parent)
    assert plain != catalog.digest("skirt", catalog.save(over, tmp_path / "c").parent)


@pytest.mark.parametrize("name", ["cape", "../tshirt", ""])
def test_an_unknown_name_is_refused_and_never_a_path(name: str) -> None:
    with pytest.raises(catalog.CatalogError, match="not known"):
        catalog.load(name)


def test_bad_files_are_refused_by_name_and_run_no_code(tmp_path: Path) -> None:
    place = catalog.save(catalog.load("tshirt"), tmp_path)
    table = (place / "garment.toml").read_text()
    (place / "garment.toml").write_text(table.replace('"jersey"', '"chainmail"'))
    with pytest.raises(catalog.CatalogError, match="chainmail"):
        catalog.load("tshirt", tmp_path)
    (place / "garment.toml").write_text(table)
    np.savez(place / "rest.npz", vertices=np.array([{"a": 1}], dtype=object))
    with pytest.raises(catalog.CatalogError, match="tshirt"):
        catalog.load("tshirt", tmp_path)
    (place / "garment.toml").write_text("layer = [")
    with pytest.raises(catalog.CatalogError, match=r"garment\.toml"):
        catalog.load("tshirt", tmp_path)


def test_fabrics_differ_in_the_order_of_real_ones() -> None:
    fabric = catalog.fabrics()
    assert fabric["silk"].bend < fabric["cotton"].bend < fabric["denim"].bend < fabric["leather"].bend
    assert fabric["silk"].density < fabric["cotton"].density < fabric["denim"].density


def test_garments_of_ones_own_are_found_where_the_environment_says(tmp_path, monkeypatch):
    """Mutations: only the first folder searched; a name taken twice goes unnoticed."""
    own = replace(catalog.load("shorts"), name="bermudas")
    catalog.save(own, tmp_path / "own")
    assert "bermudas" not in catalog.names()
    monkeypatch.setenv("RAIMENT_GARMENTS", os.pathsep.join([str(tmp_path / "none"), str(tmp_path / "own")]))
    assert "bermudas" in catalog.names()
    assert "shorts" in catalog.names()
    assert len(catalog.load("bermudas").vertices) == len(own.vertices)
    assert catalog.digest("bermudas") == catalog.digest("bermudas", tmp_path / "own")
    catalog.save(catalog.load("shorts"), tmp_path / "own")
    with pytest.raises(catalog.CatalogError, match="shorts"):
        catalog.names()
