"""Each measure has a value worked out by hand, and one by an independent formula."""

import math

import numpy as np
from scipy.spatial.transform import Rotation

from synth.body.joints import PARENTS
from train import metrics

PARENT = tuple(PARENTS.tolist())
rng = np.random.default_rng(7)


def test_position_error_by_hand() -> None:
    points, wanted = np.zeros((1, 2, 3)), np.zeros((1, 2, 3))
    points[0, 0] = [0.003, 0.004, 0.0]  # 5 mm and 0 mm
    assert np.allclose(metrics.position_error(points, wanted), 2.5)
    assert np.allclose(metrics.summed_vertex_error(points, wanted), 0.005)


def test_centring_takes_the_mean_of_the_hips() -> None:
    points = np.arange(9.0).reshape(1, 3, 3)
    assert np.allclose(metrics.centred(points, (0, 2))[0, 1], 0.0)
    assert np.allclose(metrics.centred(points, (0,))[0, 1], 3.0)


def test_alignment_undoes_any_similarity_but_never_mirrors() -> None:
    # catches the missing determinant: a mirrored body would score 0
    wanted = rng.normal(size=(4, 24, 3))
    turned = Rotation.random(4, random_state=1).as_matrix()
    moved = 0.7 * np.einsum("tij,tkj->tki", turned, wanted) + rng.normal(size=(4, 1, 3))
    assert np.abs(metrics.aligned(moved, wanted) - wanted).max() < 1e-10
    mirrored = wanted * np.array([-1.0, 1.0, 1.0])
    assert metrics.position_error(metrics.aligned(mirrored, wanted), wanted).min() > 100


def test_alignment_agrees_with_scipy_s_rotation_fit() -> None:
    points, wanted = rng.normal(size=(1, 14, 3)), rng.normal(size=(1, 14, 3))
    x, y = points[0] - points[0].mean(0), wanted[0] - wanted[0].mean(0)
    rotation, _ = Rotation.align_vectors(y, x)
    turned = rotation.apply(x)
    scale = (turned * y).sum() / (x**2).sum()
    assert np.allclose(metrics.aligned(points, wanted)[0], scale * turned + wanted[0].mean(0), atol=1e-7)


def test_acceleration_error_by_hand_and_on_a_parabola() -> None:
    # a body in free fall against one at rest: 9.81 m/s2 at 30 frames/s is 10.9 mm/frame2
    time = np.arange(5) / 30.0
    falling = np.zeros((5, 2, 3))
    falling[..., 1] = 0.5 * 9.81 * time[:, None] ** 2
    error = metrics.acceleration_error(falling, np.zeros_like(falling))
    assert error.shape == (3,)
    assert np.allclose(error, 9.81 / 900 * 1000)
    assert np.allclose(error * 30**2 / 1000, 9.81)
    assert len(metrics.acceleration_error(falling[:2], falling[:2])) == 0


def test_jitter_is_the_third_derivative() -> None:
    time = np.arange(6) / 25.0
    points = np.zeros((6, 1, 3))
    points[..., 2] = 2.0 * time[:, None] ** 3  # third derivative 12
    assert np.allclose(metrics.jitter(points, 25.0), 12.0)
    assert len(metrics.jitter(points[:3], 25.0)) == 0


def test_running_variations_by_hand() -> None:
    vertices = np.zeros((2, 2, 3))
    vertices[1] = [[3, 0, 0], [0, 4, 0]]
    assert np.allclose(metrics.running_vertex_variation(vertices, 1), [7.0])
    assert np.allclose(metrics.running_vertex_variation(vertices, 2), [5.0])
    betas = np.zeros((3, 10))
    betas[1, :2] = [3, -4]
    assert np.allclose(metrics.running_shape_variation(betas, 1), [7.0, 7.0])
    assert np.allclose(metrics.running_shape_variation(betas, 2), [5.0, 5.0])


def test_pck_and_auc_by_hand() -> None:
    wanted = np.zeros((1, 4, 3))
    points = wanted.copy()
    points[0, :, 0] = [0.0, 0.0749, 0.150, 0.2]
    assert np.allclose(metrics.pck(points, wanted), 75.0)
    # thresholds 0, 5, ... 150: the first point passes 31 of 31, the second 16, the third 1, the fourth none
    assert np.allclose(metrics.auc(points, wanted), 100 * (31 + 16 + 1) / (31 * 4))


def test_joint_angles_compare_global_rotations() -> None:
    # catches relative rotations: a turned root turns all nine joints
    eye = np.tile(np.eye(3), (2, 24, 1, 1))
    turned = eye.copy()
    turned[:, 0] = Rotation.from_euler("y", 30, degrees=True).as_matrix()
    assert np.allclose(metrics.joint_angle_error(turned, eye, PARENT), 30.0)
    elbow = eye.copy()
    elbow[:, 18] = Rotation.from_euler("z", 90, degrees=True).as_matrix()  # only itself among the nine
    assert np.allclose(metrics.joint_angle_error(elbow, eye, PARENT), 10.0)
    shoulder = eye.copy()
    shoulder[:, 16] = Rotation.from_euler("z", 90, degrees=True).as_matrix()  # itself and its elbow
    assert np.allclose(metrics.joint_angle_error(shoulder, eye, PARENT), 20.0)


def test_every_measure_agrees_with_its_definition_spelled_out() -> None:
    # plain loops over frames and points: catches a wrong axis or unit, a mean of norms for a norm of means
    frames, count, fps = 6, 5, 25.0
    a, b = (rng.normal(scale=0.1, size=(frames, count, 3)) for _ in range(2))
    away = [[math.dist(a[t, k], b[t, k]) * 1000 for k in range(count)] for t in range(frames)]
    assert np.allclose(metrics.position_error(a, b), [sum(row) / count for row in away])
    assert np.allclose(metrics.summed_vertex_error(a, b), [sum(row) / 1000 for row in away])
    assert np.allclose(metrics.pck(a, b, 100.0), [100 * sum(d <= 100.0 for d in row) / count for row in away])
    steps = range(0, 151, 5)
    areas = [100 * sum(d <= step for d in row for step in steps) / (count * len(steps)) for row in away]
    assert np.allclose(metrics.auc(a, b), areas)

    def derivative(x: np.ndarray, weights: tuple[float, ...], t: int, k: int) -> np.ndarray:
        return sum(w * x[t + i, k] for i, w in enumerate(weights))  # pyright: ignore[reportReturnType]

    second = [
        1000
        * sum(math.hypot(*(derivative(a, (1, -2, 1), t, k) - derivative(b, (1, -2, 1), t, k))) for k in range(count))
        / count
        for t in range(frames - 2)
    ]
    assert np.allclose(metrics.acceleration_error(a, b), second)
    third = [
        sum(math.hypot(*derivative(a, (-1, 3, -3, 1), t, k)) for k in range(count)) / count * fps**3
        for t in range(frames - 3)
    ]
    assert np.allclose(metrics.jitter(a, fps), third)
    for order in (1, 2):
        sums = [
            sum(abs(float(v)) ** order for v in (a[t + 1] - a[t]).ravel()) ** (1 / order) for t in range(frames - 1)
        ]
        assert np.allclose(metrics.running_vertex_variation(a, order), sums)
        betas = a.reshape(frames, 15)[:, :10]
        sums = [sum(abs(float(v)) ** order for v in betas[t + 1] - betas[t]) ** (1 / order) for t in range(frames - 1)]
        assert np.allclose(metrics.running_shape_variation(betas, order), sums)


def test_joint_angles_agree_with_scipys_chain_of_rotations() -> None:
    turns = [Rotation.random(24, random_state=seed) for seed in (1, 2)]

    def world(rotations: Rotation, joint: int) -> Rotation:
        return rotations[joint] if joint == 0 else world(rotations, PARENT[joint]) * rotations[joint]

    angles = [(world(turns[0], j).inv() * world(turns[1], j)).magnitude() for j in metrics.EMDB_JOINTS]
    found = metrics.joint_angle_error(turns[0].as_matrix()[None], turns[1].as_matrix()[None], PARENT)
    assert np.allclose(found, np.degrees(np.mean(angles)))
