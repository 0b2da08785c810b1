import numpy as np
import pytest
from click.testing import CliRunner

from synth.cli import synth
from synth.errors import SynthError
from synth.motion import amass


def run(*arguments):
    result = CliRunner().invoke(synth, ["motion", *map(str, arguments)], catch_exceptions=True)
    if isinstance(result.exception, SynthError):
        raise result.exception
    return result


def test_list_and_info():
    listed = run("list").output.splitlines()
    assert [line.split()[0] for line in listed] == ["cmu/01_01", "cmu/01_03"]
    for name in ("cmu:01_01", "cmu/01_01"):
        told = run("info", name).output
        assert "120 Hz" in told
        assert "male" in told
        assert "betas" in told
        for word in ("action   playground", "m/s", "contact", "1 rad apart"):
            assert word in told
    with pytest.raises(SynthError, match="01_03"):
        run("list", "cmu:77_01")


def test_fit_refuses_what_it_cannot_fit(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "02_01.amc").write_text("x")
    for name, wanted in (("a.txt", "bvh"), ("02_01.amc", "--asf"), ("b.bvh", "b.bvh")):
        with pytest.raises(SynthError, match=wanted):
            run("fit", tmp_path / name, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def cmu_bvh(frames=60):
    """A CMU skeleton as cgspeed's BVH files have it, arms swinging, standing."""

    def chain(indent, joints, end):
        (name, offset), *rest = joints
        inside = chain(indent + 1, rest, end) if rest else f"End Site\n{{\nOFFSET {end}\n}}\n"
        return f"JOINT {name}\n{{\nOFFSET {offset}\nCHANNELS 3 Zrotation Yrotation Xrotation\n{inside}}}\n"

    text = "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\n"
    text += "CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation\n"
    for side, letter, sign in (("Left", "L", 1), ("Right", "R", -1)):
        leg = [(f"{letter}HipJoint", "0 0 0"), (f"{side}UpLeg", f"{8 * sign} -8 4"), (f"{side}Leg", "0 -40 0")]
        leg += [(f"{side}Foot", "0 -42 0"), (f"{side}ToeBase", "0 -3 13")]
        text += chain(1, leg, "0 0 7")
    arms = ""
    for side, letter, sign in (("Left", "L", 1), ("Right", "R", -1)):
        arm = [
            (f"{side}Shoulder", "0 0 0"),
            (f"{side}Arm", f"{18 * sign} 6 -2"),
            (f"{side}ForeArm", f"{28 * sign} 0 0"),
        ]
        arm += [
            (f"{side}Hand", f"{19 * sign} 0 0"),
            (f"{side}FingerBase", "0 0 0"),
            (f"{letter}Fingers", f"{4 * sign} 0 0"),
        ]
        arms += chain(1, arm, f"{3 * sign} 0 0")
    neck = chain(1, [("Neck", "0 0 0"), ("Neck1", "0 10 1"), ("Head", "0 10 0")], "0 10 0")
    turn = "CHANNELS 3 Zrotation Yrotation Xrotation\n"
    spine = f"JOINT LowerBack\n{{\nOFFSET 0 0 0\n{turn}JOINT Spine\n{{\nOFFSET 0 11 -1\n{turn}"
    spine += f"JOINT Spine1\n{{\nOFFSET 0 11 0\n{turn}{neck}{arms}}}\n}}\n}}\n"
    text += spine + "}\n"
    order = [line.split()[1] for line in text.splitlines() if line.startswith(("ROOT", "JOINT"))]
    values = np.zeros((frames, 3 + 3 * len(order)))
    values[:, 1] = 93.0
    for side, sign in (("Left", -1), ("Right", 1)):
        values[:, 3 + 3 * order.index(f"{side}Arm")] = sign * 70 + 10 * np.sin(np.arange(frames) / 20)
    rows = "\n".join(" ".join(f"{v:.4f}" for v in row) for row in np.concatenate([np.zeros_like(values[:1]), values]))
    return text + f"MOTION\nFrames: {frames + 1}\nFrame Time: .0083333\n{rows}\n"


def test_fit_writes_an_amass_file_that_can_be_listed(tmp_path):
    (tmp_path / "x_01.bvh").write_text(cmu_bvh())
    told = run("fit", tmp_path / "x_01.bvh", "--out", tmp_path / "out", "--gender", "male", "--iterations", 50)
    assert told.exit_code == 0, told.output
    assert "60 frames" in told.output
    recording = amass.read(tmp_path / "out/x_01.npz")
    assert (len(recording.motion), recording.gender, recording.model) == (60, "male", "free")
    assert (tmp_path / "out/usable.toml").is_file()
    # Standing: the pelvis is near 0.9 m over the floor.
    assert "x_01" in run("list", tmp_path / "out").output
