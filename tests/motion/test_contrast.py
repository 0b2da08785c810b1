import tracemalloc

import numpy as np
import pytest

from synth.motion.contrast import contrasting_pair, unlike
from synth.motion.interpolate import nearest_vectors


def brute(a, b):
    return np.array([[np.linalg.norm(np.subtract(*nearest_vectors(x, y))) for y in b] for x in a])


@pytest.fixture(scope="module")
def poses():
    rng = np.random.default_rng(4)
    return rng.normal(size=(33, 23, 3)) * 0.9, rng.normal(size=(21, 23, 3)) * 0.9


@pytest.mark.parametrize("block", [1, 8, 512])
def test_equals_brute_force_in_any_block(poses, block):
    distances = brute(*poses)
    row, column, distance = contrasting_pair(*poses, block=block)
    assert (row, column) == np.unravel_index(np.argmax(distances), distances.shape)
    assert distance == pytest.approx(distances.max(), rel=1e-12)


@pytest.mark.parametrize("block", [5, 512])
def test_rejected_pairs_and_their_neighbours_are_left_out(poses, block):
    distances = brute(*poses)
    rejected = []
    for _ in range(6):
        row, column, _ = contrasting_pair(*poses, rejected=rejected, radius=2, block=block)
        assert (row, column) == np.unravel_index(np.argmax(distances), distances.shape)
        distances[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = -1
        rejected.append((row, column))
    assert contrasting_pair(*poses, rejected=[(10, 10)], radius=100) is None


def test_unlike_leaves_poses_near_used_ones_out(poses):
    a, b = poses
    least = brute(a, b[:3]).min(axis=1)
    apart = float(np.median(least))
    np.testing.assert_array_equal(unlike(a, b[:3], apart, block=7), np.flatnonzero(least >= apart))
    assert 0 not in unlike(a, a[:1], 0.5)


def test_two_ten_minute_sequences_take_little_memory():
    # Catches a matrix, or a strip of it, that is held: 72,000 x 72,000 distances are 41 GB, 512 rows of them 295 MB.
    # Counted by NumPy's own allocations, so no other test's peak hides it; repeating poses make it quick.
    rng = np.random.default_rng(0)
    steps = np.arange(72_000) / 240.0
    motions = []
    for _ in range(2):
        motion = np.zeros((72_000, 23, 3))
        motion[:, :6, 0] = np.sin(steps[:, None] * rng.uniform(0.5, 1.0, 6) + rng.uniform(0, 6, 6))
        motions.append(motion)
    tracemalloc.start()
    found = contrasting_pair(*motions)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert found is not None
    assert peak < 200
