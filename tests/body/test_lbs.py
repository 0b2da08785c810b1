import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synth.body import lbs
from synth.body.model import load_named
from synth.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat


@pytest.fixture(scope="module", params=["neutral", "male", "female"])
def body(request):
    return load_named("free", request.param)


def random_pose(frames, seed=0, spread=0.5):
    rng = np.random.default_rng(seed)
    return {
        "global_orient": rng.normal(size=(frames, 3)),
        "body_pose": spread * rng.normal(size=(frames, 23, 3)),
        "transl": rng.normal(size=(frames, 3)),
    }


def test_equals_smplx(body):
    """An independent implementation. Catches features in the wrong order, a transposed R, joints of the mean shape."""
    smplx, torch = pytest.importorskip("smplx"), pytest.importorskip("torch")
    struct = smplx.utils.Struct(
        v_template=body.v_template, shapedirs=body.shapedirs, posedirs=body.posedirs, J_regressor=body.J_regressor,
        weights=body.lbs_weights, f=body.faces,
        kintree_table=np.stack([np.where(body.parents < 0, 2**32 - 1, body.parents), np.arange(24)]),
    )  # fmt: skip
    assert len(body.v_template) != 6890
    model = smplx.SMPL("", data_struct=struct, batch_size=6, dtype=torch.float64)
    pose = random_pose(6)
    for betas in 2 * np.random.default_rng(1).normal(size=(3, 10)):
        given_pose = {k: torch.tensor(v.reshape(6, -1)) for k, v in pose.items()}
        expected = model(betas=torch.tensor(betas)[None].repeat(6, 1), **given_pose)
        vertices, joints = lbs.posed(body, betas, **pose)
        assert np.abs(vertices - expected.vertices.detach().numpy()).max() < 1e-5
        assert np.abs(joints - expected.joints.detach().numpy()[:, :24]).max() < 1e-5


BODY = load_named("free", "neutral")
ROTVECS = arrays(np.float64, 3, elements=st.floats(-3, 3))


@settings(max_examples=15, deadline=None)
@given(ROTVECS, arrays(np.float64, 3, elements=st.floats(-5, 5)), st.integers(0, 100))
def test_turning_the_root_turns_the_body_about_its_pelvis(turn, shift, seed):
    """Equivariance: catches a root rotation about the origin, or pose blend shapes that depend on the root."""
    pose = random_pose(2, seed)
    betas = np.random.default_rng(seed).normal(size=10)
    R = rotvec_to_rotmat(turn)
    turned = dict(pose, global_orient=rotmat_to_rotvec(R @ rotvec_to_rotmat(pose["global_orient"])))
    turned["transl"] = pose["transl"] + shift
    pelvis = lbs.shaped(BODY, betas)[1][0]
    for before, after in zip(lbs.posed(BODY, betas, **pose), lbs.posed(BODY, betas, **turned), strict=True):
        about = pelvis + pose["transl"][:, None]
        np.testing.assert_allclose(after, (before - about) @ R.T + about + shift, atol=1e-9)


def test_rest_pose_is_the_shaped_template(body):
    betas = np.random.default_rng(2).normal(size=10)
    zero = np.zeros((1, 3))
    vertices, joints = lbs.posed(body, betas, zero, np.zeros((1, 23, 3)), zero)
    rest, rest_joints = lbs.shaped(body, betas)
    np.testing.assert_allclose(vertices[0], rest, atol=1e-6)
    np.testing.assert_allclose(joints[0], rest_joints, atol=1e-12)


def test_joint_transforms_carry_rest_joints_to_posed_joints(body):
    """Catches transforms that hold joint frames instead of motions from rest."""
    pose, betas = random_pose(5), np.linspace(-1, 1, 10)
    transforms = lbs.joint_transforms(body, betas, **pose)
    _, rest = lbs.shaped(body, betas)
    carried = np.einsum("tjab,jb->tja", transforms[..., :3, :3], rest) + transforms[..., :3, 3]
    np.testing.assert_allclose(carried, lbs.posed(body, betas, **pose)[1], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(transforms[..., :3, :3]), 1, atol=1e-12)


def test_blocks_do_not_show(body):
    """Frames are posed in blocks: each must be what it is alone."""
    pose, betas = random_pose(11), np.zeros(10)
    together = lbs.posed(body, betas, **pose)[0]
    alone = lbs.posed(body, betas, **{k: v[9:10] for k, v in pose.items()})[0]
    np.testing.assert_allclose(together[9], alone[0], atol=1e-12)


def test_wrong_lengths_are_named():
    pose = random_pose(2)
    with pytest.raises(ValueError, match=r"betas: expected \(10,\), got \(16,\)"):
        lbs.posed(BODY, np.zeros(16), **pose)
    with pytest.raises((ValueError, TypeError), match=r"pose"):
        lbs.posed(BODY, np.zeros(10), **dict(pose, body_pose=pose["body_pose"][:1]))


def test_sixty_frames_take_well_under_a_second():
    pose = random_pose(60)
    lbs.posed(BODY, np.zeros(10), **pose)
    start = time.process_time()
    lbs.posed(BODY, np.zeros(10), **pose)
    assert time.process_time() - start < 1.5  # 0.1-0.2 s measured; a loop over vertices takes minutes
