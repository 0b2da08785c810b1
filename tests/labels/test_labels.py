import numpy as np
import pytest

from synth.body.joints import JOINT_NAMES
from synth.body.lbs import posed, shaped
from synth.body.model import load_named
from synth.geometry.camera import intrinsics, look_at, project
from synth.geometry.triangles import rasterize
from synth.labels.frame import label_frame, person_box
from synth.labels.keypoints import keypoints_world, rest_pelvis, smpl_in_camera, to_camera
from synth.labels.visibility import Visibility, first_hit, flesh_depth
from synth.types import BodyModel, Camera, Motion, Passes, SimulatedClip

JOINT = {name: j for j, name in enumerate(JOINT_NAMES)}
SIZE = 250


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_named("free", "neutral")


def standing(body: BodyModel, **rotations: tuple[float, float, float]) -> SimulatedClip:
    """One frame: standing upright at the origin, facing -Y, arms down; `rotations` by joint name."""
    pose = np.zeros((1, 24, 3))
    pose[0, 0] = [np.pi / 2, 0, 0]
    pose[0, JOINT["left_shoulder"]], pose[0, JOINT["right_shoulder"]] = [0, 0, -1.1], [0, 0, 1.1]
    for name, rotvec in rotations.items():
        pose[0, JOINT[name]] = rotvec
    motion = Motion(
        fps=30.0,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:],
        transl=np.zeros((1, 3)),
        source="",
        source_frames=np.zeros(1),
    )
    betas = np.zeros(body.shapedirs.shape[2])
    vertices, joints = posed(body, betas, motion.global_orient, motion.body_pose, motion.transl)
    return SimulatedClip(
        betas=betas,
        motion=motion,
        body_vertices_world=vertices,
        joints_world=joints,
        garments=(),
        garment_vertices_world={},
        quality={},
    )


def camera_from(direction: tuple[float, float, float], clip: SimulatedClip) -> Camera:
    target = clip.joints_world[:, 0] - [0, 0, 0.05]
    pose = look_at(target + 12.0 * np.array(direction), target)
    return Camera(K=intrinsics(180.0, 32.0, SIZE, SIZE), T_camera_world=pose, width=SIZE, height=SIZE)


def passes_of(clip: SimulatedClip, body: BodyModel, camera: Camera) -> Passes:
    vertices = to_camera(clip.body_vertices_world[0], camera.T_camera_world[0])
    depth, face, _ = rasterize(vertices, body.faces, camera.K, SIZE, SIZE)
    parts = np.where(face < 0, 0, body.face_parts[face]).astype(np.uint8)
    return Passes(
        rgb=np.zeros((SIZE, SIZE, 3), np.uint8),
        alpha=(depth > 0).astype(float),
        depth=depth,
        normal=np.zeros((SIZE, SIZE, 3)),
        flow=np.zeros((SIZE, SIZE, 2)),
        parts=parts,
        garments=np.zeros_like(parts),
    )


def seen(clip: SimulatedClip, body: BodyModel, direction: tuple[float, float, float]) -> dict[str, Visibility]:
    camera = camera_from(direction, clip)
    labels = label_frame(clip, body, camera, passes_of(clip, body, camera), 0)
    return {name: Visibility(int(v)) for name, v in zip(JOINT_NAMES, labels.visibility, strict=True)}


def test_from_the_front_and_the_back_every_joint_of_a_bare_standing_body_is_seen(body: BodyModel) -> None:
    clip = standing(body)
    assert set(seen(clip, body, (0.0, -1.0, 0.0)).values()) == {Visibility.VISIBLE}
    behind = seen(clip, body, (0.0, 1.0, 0.0))
    hidden = {name for name, why in behind.items() if why != Visibility.VISIBLE}
    assert hidden <= {"left_foot", "right_foot"}  # behind the heels


def test_from_the_left_the_right_limbs_are_hidden_by_the_body_and_the_left_ones_are_not(body: BodyModel) -> None:
    # catches left and right taken for each other, and a depth bound too tight for a trunk seen from its side
    found = seen(standing(body), body, (1.0, 0.0, 0.0))
    assert {found[name] for name in ("neck", "head")} <= {Visibility.VISIBLE}
    for limb in ("shoulder", "elbow", "knee", "ankle"):
        assert found[f"left_{limb}"] == Visibility.VISIBLE, limb
        assert found[f"right_{limb}"] == Visibility.HIDDEN_BY_BODY, limb


def test_a_hip_behind_its_own_raised_thigh_is_hidden_although_the_part_is_a_neighbour(body: BodyModel) -> None:
    # catches the depth bound left out
    clip = standing(body, left_hip=(-np.pi / 2, 0, 0), left_knee=(0.0, 0, 0))
    assert seen(clip, body, (0.0, -1.0, 0.0))["left_hip"] == Visibility.HIDDEN_BY_BODY
    assert seen(clip, body, (0.0, -1.0, 0.0))["right_hip"] == Visibility.VISIBLE


def test_cloth_before_the_joint_hides_it_and_cloth_behind_it_does_not(body: BodyModel) -> None:
    clip = standing(body)
    camera = camera_from((0.0, -1.0, 0.0), clip)
    bare = passes_of(clip, body, camera)
    for shift, expected in ((-0.02, Visibility.HIDDEN_BY_CLOTH), (0.5, Visibility.VISIBLE)):
        depth = np.where(bare.depth > 0, bare.depth + shift, 0)
        dressed = Passes(
            **{name: getattr(bare, name) for name in ("rgb", "alpha", "normal", "flow", "parts")},
            depth=depth,
            garments=(depth > 0).astype(np.uint8),
        )
        labels = label_frame(clip, body, camera, dressed, 0)
        assert labels.visibility[JOINT["spine1"]] == expected


def test_joints_beyond_the_picture_or_behind_the_camera_are_outside(body: BodyModel) -> None:
    clip = standing(body)
    camera = camera_from((0.0, -1.0, 0.0), clip)
    pose = camera.T_camera_world.copy()
    pose[0, 0, 3] += 0.9  # 105 px to the right
    moved = Camera(K=camera.K, T_camera_world=pose, width=SIZE, height=SIZE)
    labels = label_frame(clip, body, moved, passes_of(clip, body, moved), 0)
    beyond = (labels.keypoints_2d[:, 0] >= SIZE) | (labels.keypoints_2d[:, 0] < 0)
    assert beyond.any()
    assert not beyond.all()
    assert ((labels.visibility == Visibility.OUTSIDE) == beyond).all()
    pose = pose.copy()
    pose[0, 2, 3] -= 20.0
    behind = Camera(K=camera.K, T_camera_world=pose, width=SIZE, height=SIZE)
    labels = label_frame(clip, body, behind, passes_of(clip, body, behind), 0)
    assert (labels.visibility == Visibility.OUTSIDE).all()
    assert np.isnan(labels.keypoints_2d).all()
    assert np.isnan(labels.bbox).all()


def test_2d_joints_are_the_projection_and_lie_on_the_person(body: BodyModel) -> None:
    clip = standing(body)
    camera = camera_from((0.6, -0.8, 0.0), clip)
    labels = label_frame(clip, body, camera, passes_of(clip, body, camera), 0)
    assert np.abs(labels.keypoints_2d - project(clip.joints_world[0], camera, 0)).max() < 1e-9
    column, row = np.floor(labels.keypoints_2d).astype(int).T
    assert labels.person[row, column].all()


def test_the_first_surface_along_a_ray_is_the_z_buffers(body: BodyModel) -> None:
    clip = standing(body)
    camera = camera_from((0.3, -1.0, 0.2), clip)
    vertices = to_camera(clip.body_vertices_world[0], camera.T_camera_world[0])
    depth, face, _ = rasterize(vertices, body.faces, camera.K, SIZE, SIZE)
    rows, columns = np.arange(20, 230, 7), np.full(30, SIZE // 2)
    hit, which = first_hit(np.stack([columns + 0.5, rows + 0.5], axis=1), vertices, body.faces, camera.K)
    drawn = depth[rows, columns]
    assert (drawn > 0).sum() >= 10
    assert np.allclose(np.where(np.isfinite(hit), hit, 0.0), drawn, atol=1e-9)
    assert ((which >= 0) == (face[rows, columns] >= 0)).all()


def test_smpl_in_the_cameras_frame_gives_the_mesh_in_that_frame(body: BodyModel) -> None:
    # catches the pelvis term left out (about 0.3 m here) and rotations multiplied the wrong way round
    rng = np.random.default_rng(3)
    orient, pose, transl = rng.normal(0, 1, (4, 3)), rng.normal(0, 0.3, (4, 23, 3)), rng.normal(0, 1, (4, 3))
    betas = rng.normal(0, 1, body.shapedirs.shape[2])
    poses = look_at(rng.normal([0, 9, 2], 1, (4, 3)), rng.normal(0, 1, (4, 3)))
    world, joints = posed(body, betas, orient, pose, transl)
    new_orient, new_transl = smpl_in_camera(orient, transl, rest_pelvis(body, betas), poses)
    there, joints_there = posed(body, betas, new_orient, pose, new_transl)
    assert np.abs(there - np.stack([to_camera(v, T) for v, T in zip(world, poses, strict=True)])).max() < 1e-6
    assert np.abs(joints_there - np.stack([to_camera(v, T) for v, T in zip(joints, poses, strict=True)])).max() < 1e-6


def test_keypoints_are_regressed_from_the_posed_vertices_in_order_of_name(body: BodyModel) -> None:
    vertices = standing(body).body_vertices_world
    sets = keypoints_world(body, vertices)
    assert list(sets) == sorted(body.keypoint_regressors)
    for name, regressor in body.keypoint_regressors.items():
        assert np.allclose(sets[name][0], regressor @ vertices[0], atol=1e-9)


def test_the_flesh_is_thin_at_the_wrist_and_thick_at_the_pelvis_and_grows_with_the_shape(body: BodyModel) -> None:
    flesh = flesh_depth(body, (0.0,) * body.shapedirs.shape[2])
    assert 0.05 < flesh[JOINT["left_wrist"]] < 0.11 < flesh[JOINT["left_knee"]] < flesh[JOINT["pelvis"]] < 0.3
    assert shaped(body, np.zeros(body.shapedirs.shape[2]))[1].shape == (24, 3)


def test_the_box_holds_the_outer_edges_of_the_persons_pixels() -> None:
    person = np.zeros((6, 8), dtype=bool)
    person[2:4, 5] = True
    assert person_box(person).tolist() == [5, 2, 6, 4]
