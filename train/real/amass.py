"""AMASS (Mahmood et al. 2019) and whatever has its form: motions without pictures."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from synth.motion import amass
from train.real.files import readable
from train.real.record import Record
from train.real.source import Entry, Source

__all__ = ["AMASS", "smpl_shape"]

Array = np.ndarray


class AMASS(Source):
    """Every motion below a folder: SMPL+H (poses of 156), SMPL-X (165, "stageii") or SMPL (72), at its own rate.

    Roots are in the world, Z up. Shapes are SMPL's (and SMPL+H's, which are the same) only: SMPL-X counts otherwise,
    and is masked. `train.real.motions` gives windows at one rate.
    """

    name = "amass"
    expects = "a folder with CMU/01/01_01_poses.npz and so on (or one such file)"

    def _index(self) -> Sequence[Entry]:
        files = [self.path] if self.path.is_file() else sorted(self.path.rglob("*.npz"))
        entries, self.files = [], []
        for path in files:
            if path.stem in ("shape", "neutral_stagei", "female_stagei", "male_stagei"):
                continue  # a subject's shape, without motion
            with readable(path, "npz"):
                header = amass.header(path)
            name = path.stem if self.path.is_file() else path.relative_to(self.path).with_suffix("").as_posix()
            entries.append(Entry(name=name, frames=header.frames, fps=header.fps))
            self.files.append(path)
        return entries

    def _read(self, index: int) -> Record:
        with readable(self.files[index], "npz"):
            recording = amass.read(self.files[index], name=self.entries[index].name)
        motion, frames = recording.motion, len(recording.motion)
        return Record(
            source=self.name,
            name=self.entries[index].name,
            fps=motion.fps,
            frame_ids=np.arange(frames),
            subject=self.files[index].parent.name,
            gender=recording.gender,
            smpl_frame="world",
            global_orient=motion.global_orient,
            body_pose=motion.body_pose,
            betas=np.tile(smpl_shape(recording), (frames, 1)),
            transl=motion.transl,
        )


def smpl_shape(recording: amass.Recording) -> Float[Array, " 10"]:
    """SMPL's shape; NaN if the recording is of another body. Shorter shapes have no further components."""
    if recording.model not in ("smpl", "smplh"):
        return np.full(10, np.nan)
    betas = np.zeros(10)
    count = min(10, len(recording.betas))
    betas[:count] = recording.betas[:count]
    return betas
