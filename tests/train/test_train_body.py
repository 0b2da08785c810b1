"""The torch body against synth.body.lbs, which is itself tested against smplx."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from synth.body.lbs import posed
from synth.body.model import load_named
from train.batch import GENDERS
from train.body import BodyLayer
from train.rotations import (
    geodesic,
    matrix_to_rotvec,
    matrix_to_six,
    mean_rotation,
    rotvec_to_matrix,
    six_to_matrix,
)


@pytest.fixture(scope="module")
def layer() -> BodyLayer:
    return BodyLayer.named("free")


def test_vertices_and_joints_agree_with_the_renderer_s_own_skinning(layer: BodyLayer) -> None:
    # catches: genders mixed up, pose blend shapes in another order, the pelvis not at the origin
    rng = np.random.default_rng(0)
    pose, betas = rng.normal(0, 0.4, (3, 24, 3)), rng.normal(0, 1, (3, 10))
    rotations = rotvec_to_matrix(torch.tensor(pose, dtype=torch.float32))
    gender = torch.tensor([2, 0, 1])
    vertices, joints = layer(rotations, torch.tensor(betas, dtype=torch.float32), gender)
    only = layer.joints(rotations, torch.tensor(betas, dtype=torch.float32), gender)
    assert torch.allclose(only, joints, atol=1e-6)
    for i in range(3):
        body = load_named("free", GENDERS[int(gender[i])])
        wanted, wanted_joints = posed(body, betas[i], pose[i, :1], pose[i, None, 1:], np.zeros((1, 3)))
        pelvis = wanted_joints[0, 0]
        assert np.abs(vertices[i].numpy() - (wanted[0] - pelvis)).max() < 5e-6
        assert np.abs(joints[i].numpy() - (wanted_joints[0] - pelvis)).max() < 5e-6
        points = layer.keypoints("lsp14", vertices[i : i + 1], gender[i : i + 1])[0]
        assert np.abs(points.numpy() - body.keypoint_regressors["lsp14"] @ (wanted[0] - pelvis)).max() < 5e-6


def test_gradients_reach_pose_and_shape_and_agree_with_finite_differences(layer: BodyLayer) -> None:
    double = BodyLayer.named("free").double()
    six = torch.randn(1, 144, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    betas = torch.zeros(1, 10, dtype=torch.float64, requires_grad=True)

    def height(six: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
        return double.joints(six_to_matrix(six.view(1, 24, 6)), betas, torch.tensor([1]))[:, 15, 1]

    assert torch.autograd.gradcheck(height, (six, betas))


def test_rotations_agree_with_scipy_also_near_zero_and_near_half_a_turn() -> None:
    rng = np.random.default_rng(2)
    axis = rng.normal(size=(300, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.concatenate([rng.uniform(0, np.pi, 280), np.full(10, 1e-9), np.pi - np.full(10, 1e-5)])
    rotvec = axis * angle[:, None]
    wanted = Rotation.from_rotvec(rotvec).as_matrix()
    matrix = rotvec_to_matrix(torch.tensor(rotvec))
    assert np.abs(matrix.numpy() - wanted).max() < 1e-12
    assert np.abs(matrix_to_rotvec(matrix).numpy() - rotvec).max() < 1e-6
    assert np.abs(six_to_matrix(matrix_to_six(matrix)).numpy() - wanted).max() < 1e-12
    turned = Rotation.from_rotvec(rotvec[::-1].copy())
    angles = (Rotation.from_matrix(wanted).inv() * turned).magnitude()
    assert np.abs(geodesic(matrix, torch.tensor(turned.as_matrix())).numpy() - angles).max() < 1e-6


def test_the_log_map_has_finite_gradients_where_the_angle_is_zero() -> None:
    eye = torch.eye(3).repeat(2, 1, 1).requires_grad_()
    matrix_to_rotvec(eye).sum().backward()
    assert eye.grad is not None
    assert torch.isfinite(eye.grad).all()


def test_the_mean_of_rotations_about_one_axis_is_their_mean_angle() -> None:
    angles = torch.tensor([0.1, 0.3, 0.8])
    matrices = rotvec_to_matrix(torch.stack([angles * 0, angles * 0, angles], dim=-1)[:, None])
    mean = matrix_to_rotvec(mean_rotation(matrices))[0]
    resultant = torch.atan2(torch.sin(angles).mean(), torch.cos(angles).mean())
    assert torch.allclose(mean, torch.stack([resultant * 0, resultant * 0, resultant]), atol=1e-6)
