import numpy as np
import pytest

from synth.geometry.rotations import canonical_rotvec
from synth.motion import contrast, mining
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
    for seed in range(2):
        a, b = walk(seed, 400, wide), walk(seed + 10, 300, wide)
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


@pytest.mark.parametrize("wide", [0.0, 1.2])
def test_mining_is_the_greedy_search_of_the_whole_matrix(wide, monkeypatch):
    # Catches a bound that is too low, one that is not renewed, a pose that is used twice; small blocks and rows.
    monkeypatch.setattr(mining, "COLUMNS", 60)
    monkeypatch.setattr(mining, "ROWS", 7)
    sequences = [walk(seed, 50, wide) for seed in range(4)]
    poses = canonical_rotvec(np.concatenate(sequences)).astype(np.float32).astype(np.float64)
    distances, apart = pose_distances(poses, poses), 2.0 + 2.0 * wide
    left, wanted = distances.copy(), []
    for _ in range(6):
        i, j = divmod(int(np.argmax(left)), len(poses))
        wanted.append((i, j, distances[i, j]))
        used = (distances[i] < apart) | (distances[j] < apart)
        left[used] = left[:, used] = -1
    found = mine(sequences, 6, apart=apart, grain=0.0)
    at = [tuple(s * 50 + f for s, f in zip(pair.sequences, pair.frames, strict=True)) for pair in found]
    assert at == [pair[:2] for pair in wanted]
    np.testing.assert_allclose([pair.distance for pair in found], [pair[2] for pair in wanted], atol=1e-9)
    assert len(mine(sequences, 10**6, apart=apart, grain=0.0)) < 200  # it ends when the poses are used up


def test_what_thinning_loses_is_bounded():
    sequences = [walk(seed, 150) for seed in range(5)]
    pool, grain = mining.pooled(sequences, grain=0.8), 0.8
    everything = canonical_rotvec(np.concatenate(sequences))
    near = pose_distances(everything, canonical_rotvec(pool.poses.astype(np.float64))).min(axis=1)
    assert near.max() <= grain + 1e-3
    assert len(pool) < len(everything)
    exact, thin = (mine(sequences, 1, grain=g)[0].distance for g in (0.0, grain))
    assert exact - 2 * grain <= thin <= exact + 1e-6


def test_more_pairs_begin_with_the_same():
    sequences = [walk(seed, 60) for seed in range(4)]
    assert mine(sequences, 9)[:4] == mine(sequences, 4)


def test_volume_and_spread():
    poses = walk(1, 200)
    assert mining.volume(2 * poses, 10) == pytest.approx(2**10 * mining.volume(poses, 10), rel=0.2)
    assert mining.spread([poses, poses]) == pytest.approx(0.0, abs=1e-6)
    assert mining.spread([poses, walk(2, 200)]) > 1.0


def test_nearest_distance():
    poses = walk(5, 100)
    assert nearest_distance(poses[:10], poses) == pytest.approx(0.0, abs=1e-6)
    assert nearest_distance(poses[:10], poses[50:]) > 0.5
