import os
from pathlib import Path

import numpy as np
import pytest

from synth.errors import SynthError
from synth.motion import asfamc

ASF = """# comment
:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name arm
     direction 2 0 0
     length 4.5
     axis 0 0 90 XYZ
     dof rx rz
     limits (-180 180)
            (-180 180)
  end
  begin
     id 2
     name hand
     direction 0 1 0
     length 0.9
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root arm
    arm hand
  end
"""
AMC = """#!OML
:FULLY-SPECIFIED
:DEGREES
1
root 0.45 0 0 0 0 0
arm 0 0
2
root 0 0.9 0 0 0 90
arm 90 0
3
root 0 0 0 0 0 0
arm 90 90
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "01.asf").write_text(ASF)
    (tmp_path / "01_01.amc").write_text(AMC)
    return tmp_path / "01.asf", tmp_path / "01_01.amc"


def test_forward_kinematics_by_hand(files):
    motion = asfamc.read(*files)
    points = dict(zip(motion.names, np.moveaxis(motion.points, 1, 0), strict=True))
    inch = 0.0254
    np.testing.assert_allclose(points["root"], [[inch, 0, 0], [0, 2 * inch, 0], [0, 0, 0]], atol=1e-12)
    arm = points["arm"] - points["root"]
    # At rest along x. The root's quarter turn about z takes x to y. The arm's own x axis is the world's y (its axes
    # are turned by 90 degrees about z): a quarter turn about it takes x to -z.
    np.testing.assert_allclose(arm[0], [10 * inch, 0, 0], atol=1e-12)
    np.testing.assert_allclose(arm[1], [0, 0, -10 * inch], atol=1e-12)
    # rx first, then rz about fixed axes: x -> -z, which z leaves alone. The other order would give y.
    np.testing.assert_allclose(arm[2], [0, 0, -10 * inch], atol=1e-12)
    hand = points["hand"] - points["arm"]
    np.testing.assert_allclose(hand, [[0, 2 * inch, 0], [-2 * inch, 0, 0], [-2 * inch, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(motion.rest, [[0, 0, 0], [10 * inch, 0, 0], [10 * inch, 2 * inch, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("which", "old", "new", "line", "named"),
    [
        (1, "arm 90 90", "arm 90", 12, "expected 2 numbers"),
        (1, "arm 90 90", "leg 90 90", 12, "leg"),
        (1, "arm 90 90", "arm 90 x", 12, "could not convert"),
        (1, "arm 90 90", "arm 90 nan", 12, "not finite"),
        (1, "arm 90 90", "", 11, "lacks 'arm'"),
        (1, "\n1\n", "\n", 4, "expected a frame number"),
        (0, "length 4.5", "length long", 17, "long"),
        (0, "dof rx rz", "dof tx", 19, "tx"),
        (0, "arm hand", "leg hand", 33, "leg"),
        (0, "    arm hand\n", "", 33, "hand"),
        (0, "angle deg", "angle turns", 6, "turns"),
        (0, "     direction 2 0 0\n", "", 21, "direction"),
    ],
)
def test_faults_name_file_and_line(files, which, old, new, line, named):
    path = files[which]
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SynthError) as caught:
        asfamc.read(*files)
    assert f"{path.name}, line {line}" in str(caught.value)
    assert named in str(caught.value)


def test_missing_and_empty(files, tmp_path):
    with pytest.raises(SynthError, match=r"02\.asf"):
        asfamc.read(tmp_path / "02.asf", files[1])
    files[1].write_text(":DEGREES\n")
    with pytest.raises(SynthError, match="holds no frames"):
        asfamc.read(*files)


@pytest.mark.skipif(not os.environ.get("RAIMENT_TEST_CMU"), reason="RAIMENT_TEST_CMU names no folder with CMU ASF/AMC")
def test_a_real_walk_stays_on_the_floor():
    folder = Path(os.environ["RAIMENT_TEST_CMU"])
    motion = asfamc.read(folder / "02.asf", folder / "02_01.amc")
    assert len(motion) == 343
    toes = motion.points[:, [motion.index("ltoes"), motion.index("rtoes")], 1].min(axis=1)
    assert np.ptp(toes) < 0.12
    knee = np.linalg.norm(motion.points[:, motion.index("ltibia")] - motion.points[:, motion.index("lfemur")], axis=1)
    assert 0.35 < knee.mean() < 0.5
    assert np.ptp(knee) < 1e-9
