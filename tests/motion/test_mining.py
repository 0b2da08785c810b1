import numpy as np
import pytest

from synth.geometry.rotations import canonical_rotvec
from synth.motion import contrast
from synth.motion.interpolate import pose_distances
from synth.motion.mining import coverage, mine, nearest_distance, thinned


def walk(seed, frames, wide=0.0):
    """A smooth random motion; wide ones pass half turns."""
    rng = np.random.default_rng(seed)
    knots = rng.normal(0, 0.5 + wide, (frames // 12 + 2, 69))
    at = np.linspace(0, len(knots) - 1.001, frames)
    share = (at % 1)[:, None]
    return (knots[at.astype(int)] * (1 - share) + knots[at.astype(int) + 1] * share).reshape(frames, 23, 3)


@pytest.mark.parametrize("wide", [0.0, 1.2])
def test_the_search_of_long_sequences_is_exact(wide):
    # Catches a bound that is too low: the farthest pair would be left out. Wide: joints near and beyond a half turn.
    for seed in range(3):
        a, b = walk(seed, 900, wide), walk(seed + 10, 700, wide)
        distances = pose_distances(canonical_rotvec(a), canonical_rotvec(b))
        i, j = divmod(int(np.argmax(distances)), len(b))
        found = contrast._farthest(a, b, (), 0)
        assert found[:2] == (i, j)
        assert found[2] == pytest.approx(distances[i, j], abs=1e-9)
        rejected = [(i, j), (i + 5, j)]
        for row, column in rejected:
            distances[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4] = -1
        found = contrast._farthest(a, b, rejected, 3)
        assert found[:2] == divmod(int(np.argmax(distances)), len(b))
    assert contrast._farthest(a, b, [(0, 0)], 1000) is None


def test_ties_go_to_the_first_pair():
    a, b = walk(0, 60), walk(1, 60)
    twice = np.concatenate([a, a]), np.concatenate([b, b])
    assert contrast._farthest(*twice, (), 0)[:2] == contrast._farthest(a, b, (), 0)[:2]


def test_large_inputs_take_that_way(monkeypatch):
    monkeypatch.setattr(contrast, "SMALL", 100)
    monkeypatch.setattr(contrast, "_farthest", lambda *arguments: (1, 2, 3.0))
    assert contrast.contrasting_pair(walk(0, 20), walk(1, 20)) == (1, 2, 3.0)
    assert contrast.contrasting_pair(walk(0, 5), walk(1, 5)) != (1, 2, 3.0)


def test_thinning_loses_little():
    poses = walk(3, 600)
    kept = thinned(poses, 0.5)
    distances = pose_distances(canonical_rotvec(poses), canonical_rotvec(poses[kept]))
    assert 1 < len(kept) < 600
    assert distances.min(axis=1).max() <= 0.5
    among = distances[kept] + 10 * np.eye(len(kept))
    assert among.min() >= 0.5
    assert coverage(poses, 0.5) == len(kept)


def test_mined_pairs_differ_and_are_the_best():
    sequences = [walk(seed, 200) for seed in range(6)]
    pairs = mine(sequences, 8, apart=1.5, grain=0.3)
    exact = mine(sequences, 8, apart=1.5, grain=0.0)
    assert len(pairs) == 8
    assert [p.distance for p in pairs] == sorted((p.distance for p in pairs), reverse=True)
    assert exact[0].distance - 0.6 <= pairs[0].distance <= exact[0].distance + 1e-9
    first = np.stack([sequences[p.sequences[0]][p.frames[0]] for p in pairs])
    apart = pose_distances(canonical_rotvec(first), canonical_rotvec(first)) + 10 * np.eye(8)
    assert apart.min() >= 1.5
    for pair in pairs:
        ends = [sequences[s][f][None] for s, f in zip(pair.sequences, pair.frames, strict=True)]
        assert pose_distances(*map(canonical_rotvec, ends))[0, 0] == pytest.approx(pair.distance)


def test_nearest_distance():
    poses = walk(5, 100)
    assert nearest_distance(poses[:10], poses) == pytest.approx(0.0, abs=1e-6)
    assert nearest_distance(poses[:10], poses[50:]) > 0.5
