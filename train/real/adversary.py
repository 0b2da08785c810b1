"""Recorded motions as a discriminator sees them."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from train.real.motions import MotionStream
from train.rotations import rotvec_to_matrix

__all__ = ["motion_batch"]


def motion_batch(stream: MotionStream, step: int, count: int) -> Float[Tensor, "M T 24 3 3"]:
    """Rotations of the windows of a training step, the same ones whenever the step is done.

    Args:
        stream: What to take them from.
        step: Optimiser steps done.
        count: Windows in a step, M.
    """
    poses = np.stack([stream[place].poses for place in range(step * count, (step + 1) * count)])
    return rotvec_to_matrix(torch.from_numpy(poses).float())
