import numpy as np

from synth.body.joints import JOINT_NAMES
from synth.cloth.slip import belongs, slipped


def part(name):
    return JOINT_NAMES.index(name) + 1


def test_a_vertex_belongs_to_its_part_its_neighbours_and_its_mirror_image():
    """Mutations: joints and parts off by one; the tree followed in one direction only."""
    allowed = belongs()
    assert (allowed == allowed.T).all()
    assert allowed[part("left_knee"), part("left_hip")]
    assert allowed[part("left_knee"), part("right_knee")]
    assert not allowed[part("left_knee"), part("pelvis")]
    assert not allowed[part("left_elbow"), part("spine3")]
    assert allowed[0].all()


def test_trousers_that_slid_down_lie_over_the_wrong_parts():
    """Mutation: cloth that hangs far off the body counted."""
    region = np.array([part("pelvis"), part("left_hip"), part("left_knee"), 0])
    face_parts = np.array([part("pelvis"), part("left_hip"), part("left_knee"), part("left_ankle"), part("left_foot")])
    close = np.full(4, 0.01)
    assert slipped(region, np.array([0, 1, 2, 4]), close, face_parts) == 0
    assert slipped(region, np.array([2, 3, 4, 4]), close, face_parts) == 0.75
    assert slipped(region, np.array([2, 3, 4, 4]), np.array([0.01, 0.3, 0.3, 0.01]), face_parts) == 0.25
