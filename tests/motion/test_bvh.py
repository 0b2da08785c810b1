import numpy as np
import pytest

from synth.errors import SynthError
from synth.motion import bvh

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT LeftLeg
  {
    OFFSET 0 -40 0
    CHANNELS 3 Zrotation Yrotation Xrotation
    JOINT LeftFoot
    {
      OFFSET 0 -40 0
      CHANNELS 3 Zrotation Yrotation Xrotation
      End Site
      {
        OFFSET 0 0 10
      }
    }
  }
}
MOTION
Frames: 2
Frame Time: .0083333
0 90 0 0 0 0 0 0 0 0 0 0
10 90 0 90 0 90 0 0 90 0 0 0
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.bvh").write_text(BVH)
    return tmp_path / "a.bvh"


def test_forward_kinematics_by_hand(path):
    motion = bvh.read(path)
    assert motion.names == ("Hips", "LeftLeg", "LeftFoot", "LeftFoot_End")
    assert motion.fps == 120.0
    np.testing.assert_allclose(motion.points[0], [[0, 0.9, 0], [0, 0.5, 0], [0, 0.1, 0], [0, 0.1, 0.1]], atol=1e-12)
    # Root: about z, then about its own (turned) x. R = Rz(90) Rx(90): down (0, -1, 0) -> Rx -> (0, 0, -1) -> same.
    # The other order would put the leg at (0.4, 0, 0) from the hips. The knee's Rx(90) takes down to (0, 0, -1) in its
    # own frame, and the root takes that to -Rz(90) Rx(90) z = -Rz(90) (0, -1, 0) = -(1, 0, 0).
    hips, knee, foot = motion.points[1, :3]
    np.testing.assert_allclose(hips, [0.1, 0.9, 0], atol=1e-12)
    np.testing.assert_allclose(knee - hips, [0, 0, -0.4], atol=1e-12)
    np.testing.assert_allclose(foot - knee, [-0.4, 0, 0], atol=1e-12)


@pytest.mark.parametrize(("scale", "unit"), [(0.01, 1.0), (10.0, 0.001), (1 / 2.54, 0.0254), (0.1772, 0.0254 / 0.45)])
def test_unit_is_found_by_the_legs(path, scale, unit):
    path.write_text(path.read_text().replace("-40", str(-40 * scale)).replace(" 90 0 0 0", f" {90 * scale} 0 0 0", 1))
    leg = bvh.read(path).rest[1]
    np.testing.assert_allclose(leg, [0, -40 * scale * unit, 0], rtol=1e-9)


def test_unit_can_be_given_and_must_be_if_legs_are_odd(path):
    path.write_text(path.read_text().replace("LeftLeg", "Bein"))
    with pytest.raises(SynthError, match="--unit"):
        bvh.read(path)
    assert bvh.read(path, unit=0.02).rest[1, 1] == pytest.approx(-0.8)


@pytest.mark.parametrize(
    ("old", "new", "line", "named"),
    [
        ("10 90 0 90", "10 90 0", 25, "expected 12 numbers, got 11"),
        ("10 90 0 90", "10 90 0 x", 25, "x"),
        ("10 90 0 90", "10 90 0 inf", 25, "finite"),
        ("OFFSET 0 0 10", "OFFSET 0 0", 16, "OFFSET 0 0"),
        ("CHANNELS 3 Z", "CHANNELS 4 Z", 9, "CHANNELS"),
        ("Frame Time: .0083333", "Time .0083333", 22, "Frame Time"),
        ("JOINT LeftFoot", "JOINT LeftLeg", 10, "LeftLeg"),
        ("MOTION", "}", 21, "braces"),
    ],
)
def test_faults_name_file_and_line(path, old, new, line, named):
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SynthError) as caught:
        bvh.read(path)
    assert f"a.bvh, line {line}" in str(caught.value)
    assert named in str(caught.value)


def test_cut_off_files(path):
    text = path.read_text()
    path.write_text(text[: text.index("MOTION")])
    with pytest.raises(SynthError, match="before MOTION"):
        bvh.read(path)
    path.write_text(text[: text.index("10 90")])
    with pytest.raises(SynthError, match="2 frames"):
        bvh.read(path)


def cgspeed(tmp_path):
    """Thorax and wrist as cgspeed's files have them: length zero. The chest is turned by 90 degrees about z."""
    joint = "{0} {1}\n{{\nOFFSET {2}\nCHANNELS {3}\n".format
    turn = "3 Zrotation Yrotation Xrotation"
    lines = joint("ROOT", "Hips", "0 0 0", "6 Xposition Yposition Zposition Zrotation Yrotation Xrotation")
    lines += joint("JOINT", "Spine", "0 10 0", turn) + joint("JOINT", "Spine1", "0 11 0", turn)
    lines += joint("JOINT", "Neck", "0 0 0", turn) + "End Site\n{\nOFFSET 0 5 0\n}\n}\n"
    for side, sign in (("Left", 1), ("Right", -1)):
        lines += joint("JOINT", f"{side}Arm", f"{17 * sign} 3 0", turn)
        lines += joint("JOINT", f"{side}ForeArm", f"{28 * sign} 0 0", turn)
        lines += joint("JOINT", f"{side}Hand", f"{20 * sign} 0 0", turn)
        lines += joint("JOINT", f"{side}FingerBase", "0 0 0", turn)
        lines += f"End Site\n{{\nOFFSET {4 * sign} 0 0\n}}\n" + "}\n" * 4
    count = 6 + 3 * 11
    values = ["0"] * count
    values[9] = "90"
    lines += "}\n}\n}\nMOTION\nFrames: 1\nFrame Time: 0.01\n" + " ".join(values) + "\n"
    (tmp_path / "c.bvh").write_text(lines)
    return bvh.read(tmp_path / "c.bvh", unit=0.01)


def test_lost_lengths_come_back(tmp_path):
    motion = cgspeed(tmp_path)
    at = dict(zip(motion.names, motion.points[0], strict=True))
    # The chest's up is -x after the turn: 11 cm of thorax, 3 of the shoulder;
    # the hand goes on by half of the 20 cm forearm, along +y.
    np.testing.assert_allclose(at["Neck"] - at["Spine1"], [-0.11, 0, 0], atol=1e-12)
    np.testing.assert_allclose(at["Neck_End"] - at["Neck"], [-0.05, 0, 0], atol=1e-12)
    np.testing.assert_allclose(at["LeftArm"] - at["Spine1"], [-0.14, 0.17, 0], atol=1e-12)
    np.testing.assert_allclose(at["LeftFingerBase"] - at["LeftHand"], [0, 0.10, 0], atol=1e-12)
    np.testing.assert_allclose(at["RightFingerBase"] - at["RightHand"], [0, -0.10, 0], atol=1e-12)


def test_a_leading_rest_pose_is_dropped(path):
    motion = bvh.read(path)
    assert len(bvh.without_rest_frame(motion)) == 1
    moving = motion.frames(1, 2)
    assert len(bvh.without_rest_frame(moving)) == 1
