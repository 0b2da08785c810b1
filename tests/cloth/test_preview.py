from pathlib import Path

import numpy as np
from cloth_toys import garment, triangles, tube

from synth.cloth.preview import Layer, bare, clothed, moving, picture, sheet, turntable, upright
from synth.cloth.wavefront import write_obj

SQUARE = np.array([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, 0.5, 0.0]])
HALVES = np.array([[0, 1, 2], [0, 2, 3]])


def test_a_square_is_seen_where_it_is_and_darker_from_behind() -> None:
    """Mutations: turned the wrong way; upside down; a triangle's corners mixed up (half the square dark)."""
    layer = Layer(vertices=SQUARE + np.array([0.25, 0.25, 0.0]), triangles=HALVES, colour=(0.2, 0.4, 0.6))
    front = picture([layer], 0.0, np.zeros(3), 2.0, (80, 80)).astype(int)
    seen = (front != 235).any(axis=2)
    rows, columns = np.nonzero(seen)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 49, 30, 69)
    assert len(np.unique(front[seen], axis=0)) == 1
    back = picture([layer], np.pi, np.zeros(3), 2.0, (80, 80)).astype(int)
    rows, columns = np.nonzero((back != 235).any(axis=2))
    assert (columns.min(), columns.max()) == (10, 49)
    assert back[20, 20].sum() < front[20, 60].sum()


def test_the_nearer_layer_hides_the_other() -> None:
    far = Layer(vertices=SQUARE, triangles=HALVES, colour=(1.0, 0.0, 0.0))
    near = Layer(vertices=0.5 * SQUARE + np.array([0, 0, 0.2]), triangles=HALVES, colour=(0.0, 1.0, 0.0))
    seen = picture([near, far], 0.0, np.zeros(3), 2.0, (40, 40))
    assert seen[20, 20, 1] > 0
    assert seen[20, 20, 0] == 0
    assert seen[11, 20, 0] > 0


def test_cloth_carries_checks_and_a_sheet_its_pictures() -> None:
    vertices, quads = tube(0.2, 0.0, 0.5)
    worn = garment(vertices, quads)
    assert len(clothed(worn, vertices).triangles) == 2 * len(quads)
    body = bare(upright(vertices), triangles(quads))
    assert turntable([body], views=3, size=(30, 40)).size == (90, 40)
    assert moving([[body], [body]], turns=(0.0, 1.0), size=(30, 40)).size == (60, 80)
    one = np.zeros((2, 3, 3), np.uint8)
    assert sheet([one, one + 9, one + 5, one], 2).getpixel((4, 0)) == (9, 9, 9)


def test_up_stays_up() -> None:
    np.testing.assert_array_equal(upright(np.array([[1.0, 2.0, 3.0]])), [[1.0, 3.0, -2.0]])


def test_an_obj_file_holds_body_and_garments_with_quads(tmp_path: Path) -> None:
    """Mutations: indices not shifted by what stands before; texture corners shared."""
    vertices, quads = tube(0.2, 0.0, 0.5, around=8, rows=3)
    worn = garment(vertices, quads)
    path = tmp_path / "out" / "worn.obj"
    write_obj(path, SQUARE, HALVES, [(worn, vertices), (worn, vertices + 1)])
    lines = [line.split() for line in path.read_text().splitlines()]
    places = np.array([[float(x) for x in line[1:]] for line in lines if line[0] == "v"])
    np.testing.assert_allclose(places, np.concatenate([SQUARE, vertices, vertices + 1]), atol=1e-6)
    corners = [[corner.split("/") for corner in line[1:]] for line in lines if line[0] == "f"]
    assert [int(c[0]) - 1 for c in corners[1]] == HALVES[1].tolist()
    last = corners[-1]
    assert [int(c[0]) - 1 for c in last] == (quads[-1] + len(SQUARE) + len(vertices)).tolist()
    assert [int(c[1]) for c in last] == [8 * len(quads) - k for k in (3, 2, 1, 0)]
    assert len(corners) == len(HALVES) + 2 * len(quads)
