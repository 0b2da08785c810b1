"""The rasteriser against the NumPy one, coverage by hand, and gradients against finite differences on posed bodies."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from synth.body.lbs import posed
from synth.body.model import load_named
from synth.geometry.triangles import rasterize as rasterize_in_numpy
from train.rasterize import Topology, antialias, interpolate, rasterize, render

SIZE = 96
K = np.array([[110.0, 0.0, 48.0], [0.0, 110.0, 48.0], [0.0, 0.0, 1.0]])


class Bodies(NamedTuple):
    camera: np.ndarray
    faces: np.ndarray
    screen: torch.Tensor
    topology: Topology
    colours: torch.Tensor


@pytest.fixture(scope="module")
def bodies() -> Bodies:
    """Three random poses in front of the camera, in double precision."""
    model, rng = load_named("free", "neutral"), np.random.default_rng(4)
    orient = np.array([np.pi, 0.0, 0.0]) + rng.normal(0, 0.4, (3, 3))
    place = np.tile([0.0, 0.0, 3.0], (3, 1))
    camera, _ = posed(model, rng.normal(0, 1, 10), orient, rng.normal(0, 0.35, (3, 23, 3)), place)
    screen = camera @ K.T
    screen = np.concatenate([screen[..., :2] / screen[..., 2:], camera[..., 2:]], axis=-1)
    faces = torch.from_numpy(model.faces.copy())
    colours = torch.from_numpy(rng.uniform(0, 1, 3) + model.v_template @ rng.normal(0, 0.3, (3, 3)))
    return Bodies(camera, model.faces, torch.from_numpy(screen), Topology.of(faces), colours[None])


def square(left: float, right: float, top: float, bottom: float, depth: float = 2.0) -> tuple[torch.Tensor, Topology]:
    corners = [[left, top, depth], [right, top, depth], [right, bottom, depth], [left, bottom, depth]]
    return torch.tensor([corners], dtype=torch.float64), Topology.of(torch.tensor([[0, 1, 2], [0, 2, 3]]))


def weights(*shape: int) -> torch.Tensor:
    """A smooth picture to weigh coverage with, so that errors do not cancel."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    return torch.sin(x * (7.0 / shape[1])) + torch.cos(y * (5.0 / shape[0]))


def test_faces_and_depth_are_those_of_the_renderer_s_z_buffer(bodies: Bodies) -> None:
    # catches: pixel centres off by a half, planar instead of perspective depth, the wrong one of two faces in front
    fragments = rasterize(bodies.screen, bodies.topology.faces, SIZE, SIZE)
    for i, vertices in enumerate(bodies.camera):
        depth, face, barycentric = rasterize_in_numpy(vertices, bodies.faces, K, SIZE, SIZE)
        assert (fragments.face[i].numpy() != face).mean() < 2e-4
        same = (fragments.face[i].numpy() == face) & (face >= 0)
        assert np.abs(fragments.depth[i].numpy()[same] - depth[same]).max() < 1e-5
        one = rasterize(bodies.screen[i : i + 1], bodies.topology.faces, SIZE, SIZE)
        assert torch.equal(one.face[0], fragments.face[i])
        both = (one.face.flatten()[one.pixel] == torch.from_numpy(face.ravel())[one.pixel]).numpy()
        assert np.abs(one.barycentric.numpy() - barycentric.reshape(-1, 3)[one.pixel.numpy()])[both].max() < 1e-6


def test_edges_of_a_closed_mesh_have_two_faces_and_those_of_a_square_one(bodies: Bodies) -> None:
    edges = bodies.topology.edges
    assert len(edges) * 2 == len(bodies.faces) * 3
    assert (edges[:, 3] >= 0).all()
    own = square(0, 1, 0, 1)[1].edges
    assert (len(own), int((own[:, 3] < 0).sum())) == (5, 4)


def test_outlines_do_not_depend_on_which_way_round_the_faces_run(bodies: Bodies) -> None:
    faces = bodies.topology.faces.clone()
    faces[::3] = faces[::3].flip(1)
    pictures = [render(bodies.screen, t, bodies.colours, SIZE, SIZE)[1] for t in (bodies.topology, Topology.of(faces))]
    assert (pictures[0] - pictures[1]).abs().max().item() < 1e-9


@settings(max_examples=25, deadline=None)
@given(st.floats(3.0, 9.0), st.floats(12.0, 20.0), st.floats(3.0, 9.0), st.floats(12.0, 20.0))
def test_coverage_of_a_square_is_its_area_in_each_pixel(left: float, right: float, top: float, bottom: float) -> None:
    # an edge that runs exactly through pixels' centres has no inner and outer centre to blend between
    assume(all(abs(side % 1 - 0.5) > 1e-6 for side in (left, right, top, bottom)))
    vertices, topology = square(left, right, top, bottom)
    _, coverage = render(vertices, topology, torch.zeros(1, 4, 1, dtype=torch.float64), 24, 24)
    spans = [np.clip(np.minimum(b, np.arange(24) + 1) - np.maximum(a, np.arange(24)), 0, 1) for a, b in
             ((top, bottom), (left, right))]  # fmt: skip
    exact = spans[0][:, None] * spans[1][None]
    corners = (spans[0] % 1 != 0)[:, None] & (spans[1] % 1 != 0)[None]
    assert np.abs(coverage[0].numpy() - exact)[~corners].max() < 1e-9


def test_colours_are_interpolated_with_perspective_and_the_nearer_thing_is_seen() -> None:
    near, topology = square(4, 12, 4, 12, 1.0)
    near[0, 1:3, 2] = 3.0  # slants away to the right
    values = torch.tensor([[[0.0], [1.0], [1.0], [0.0]]], dtype=torch.float64)
    fragments = rasterize(near, topology.faces, 16, 16)
    row = interpolate(fragments, topology.faces, values)[0, 8, 4:12, 0]
    # 1 / z is linear on the screen, and so is value / z
    across = (torch.arange(8, dtype=torch.float64) + 0.5) / 8
    assert torch.allclose(row, (across / 3) / ((1 - across) + across / 3), atol=1e-9)
    flat = interpolate(rasterize(near, topology.faces, 16, 16, perspective=False), topology.faces, values)
    assert torch.allclose(flat[0, 8, 4:12, 0], across, atol=1e-9)


def test_what_lies_behind_the_camera_or_outside_leaves_an_empty_picture_with_a_gradient() -> None:
    for vertices in (square(4, 12, 4, 12, -1.0), square(100, 120, 4, 12), square(4, 4, 4, 12)):
        leaf = vertices[0].requires_grad_()
        picture, coverage = render(leaf, vertices[1], torch.ones(1, 4, 2, dtype=torch.float64), 16, 16)
        assert picture.abs().sum().item() == coverage.abs().sum().item() == 0.0
        (picture.sum() + coverage.sum()).backward()
        assert leaf.grad is not None
        assert (leaf.grad == 0).all()
    with pytest.raises(ValueError, match="height"):
        rasterize(torch.zeros(1, 3, 3), torch.tensor([[0, 1, 2]]), 0, 4)


def directions(screen: torch.Tensor) -> list[torch.Tensor]:
    """Ways to move a body on the screen: along x, along y, larger, and swaying (one unit is about a pixel)."""
    centred = (screen - screen.mean(1, keepdim=True)) / 30
    flat = torch.ones(3, dtype=screen.dtype) * torch.tensor([1.0, 1.0, 0.0])
    sway = torch.sin(centred[..., [1]] * 3)
    along = torch.tensor([1.0, 0.0, 0.0], dtype=screen.dtype)
    return [
        along.expand_as(screen),
        along[[1, 0, 2]].expand_as(screen),
        centred * flat,
        sway * along + centred[..., [0]] * along[[1, 0, 2]],
    ]


def scene_sum(screen: torch.Tensor, bodies: Bodies) -> torch.Tensor:
    picture, coverage = render(screen, bodies.topology, bodies.colours, SIZE, SIZE)
    weight = weights(SIZE, SIZE)
    return (picture * weight[None, ..., None]).sum() + (coverage * weight).sum()


def test_gradients_agree_with_finite_differences_on_posed_bodies(bodies: Bodies) -> None:
    # catches any wrong factor or missing path; the step is far below the distance between discontinuities
    leaf = bodies.screen.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(scene_sum(leaf, bodies), leaf)
    with torch.no_grad():
        for direction in directions(bodies.screen):
            step = 1e-6
            ends = [scene_sum(bodies.screen + s * step * direction, bodies) for s in (1, -1)]
            numeric = ((ends[0] - ends[1]) / (2 * step)).item()
            assert (gradient * direction).sum().item() == pytest.approx(numeric, rel=1e-4, abs=1e-4)


def test_silhouette_gradients_are_those_of_the_true_area(bodies: Bodies) -> None:
    # the truth: eight by eight hard samples a pixel, no antialiasing in it, a step of a fifth of a pixel
    weight, fine = weights(SIZE, SIZE), 8

    def area(screen: torch.Tensor) -> torch.Tensor:
        large = screen * torch.tensor([fine, fine, 1.0])
        covered = (rasterize(large, bodies.topology.faces, SIZE * fine, SIZE * fine).face >= 0).double()
        return (covered.reshape(-1, SIZE, fine, SIZE, fine).mean((2, 4)) * weight).sum((1, 2))

    leaf = bodies.screen.clone().requires_grad_()
    coverage = render(leaf, bodies.topology, bodies.colours, SIZE, SIZE)[1]
    exact = area(bodies.screen)
    assert (coverage * weight).sum((1, 2)).tolist() == pytest.approx(exact.tolist(), rel=0.02, abs=3.0)
    (gradient,) = torch.autograd.grad((coverage * weight).sum(), leaf)
    scale = 2 * np.sqrt(float((coverage > 0.5).sum()) / 3)  # that of an outline moved by one pixel
    for direction in directions(bodies.screen):
        numeric = (area(bodies.screen + 0.1 * direction) - area(bodies.screen - 0.1 * direction)) / 0.2
        analytic = (gradient * direction).sum((1, 2))
        assert (analytic - numeric).abs().max().item() < 0.08 * max(scale, numeric.abs().max().item())


def test_a_silhouette_pulls_a_body_to_where_it_belongs(bodies: Bodies) -> None:
    start = bodies.screen[:1].float()
    wanted = render(start, bodies.topology, bodies.colours.float(), SIZE, SIZE)[1].detach()
    shift = torch.tensor([2.3, -1.7], requires_grad=True)
    optimiser = torch.optim.Adam([shift], lr=0.4)
    for _ in range(40):
        optimiser.param_groups[0]["lr"] *= 0.93
        moved = torch.cat([start[..., :2] + shift, start[..., 2:]], dim=-1)
        loss = ((render(moved, bodies.topology, bodies.colours.float(), SIZE, SIZE)[1] - wanted) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert shift.detach().abs().max().item() < 0.2


def test_an_outline_before_another_part_of_the_body_is_smooth_too() -> None:
    # a near square over a far one: the colour at the near one's left edge follows it
    near, topology = square(6.3, 10, 4, 12, 1.0)
    far = square(2, 14, 2, 14, 2.0)[0]
    both = Topology.of(torch.cat([topology.faces, topology.faces + 4]))
    leaf = torch.cat([near, far], dim=1).requires_grad_()
    colours = torch.tensor([[[1.0]] * 4 + [[0.2]] * 4], dtype=torch.float64)
    fragments = rasterize(leaf, both.faces, 16, 16)
    picture = antialias(interpolate(fragments, both.faces, colours), fragments, leaf, both)
    assert picture[0, 8, 6, 0].item() == pytest.approx(0.7 * 1.0 + 0.3 * 0.2, abs=1e-9)
    picture[0, 8, 6, 0].backward()
    assert leaf.grad is not None
    assert leaf.grad[0, [0, 3], 0].sum().item() == pytest.approx(-0.8, abs=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_pictures_and_gradients(bodies: Bodies) -> None:
    results = []
    for device in ("cpu", "cuda"):
        leaf = bodies.screen.float().to(device).requires_grad_()
        colours = bodies.colours.float().to(device)
        picture, coverage = render(leaf, bodies.topology.to(device), colours, SIZE, SIZE)
        (gradient,) = torch.autograd.grad(picture.square().sum() + coverage.square().sum(), leaf)
        results.append((picture.cpu(), coverage.cpu(), gradient.cpu()))
    for own, other in zip(*results, strict=True):
        assert torch.allclose(own, other, rtol=1e-3, atol=1e-4)
