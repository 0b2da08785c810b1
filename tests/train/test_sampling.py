import pytest

from train.sampling import BatchOrder


def test_every_window_comes_once_before_any_comes_again() -> None:
    order = BatchOrder([5, 2], batch=3, steps=7, seed=1)
    seen = [pair for batch in order for pair in batch]
    assert sorted(seen[:7]) == [(i, 0) for i in range(7)]
    assert sorted(seen[7:14]) == [(i, 1) for i in range(7)]
    assert [i for i, _ in seen[:7]] != [i for i, _ in seen[7:14]]
    assert seen != [pair for batch in BatchOrder([5, 2], batch=3, steps=7, seed=2) for pair in batch]


def test_a_later_start_reads_what_would_have_come() -> None:
    # catches an order that depends on how often the sampler was made
    whole = list(BatchOrder([11], batch=4, steps=9, seed=3))
    assert list(BatchOrder([11], batch=4, steps=9, seed=3, start=5)) == whole[5:]


def test_sources_are_mixed_by_weight_whatever_their_sizes() -> None:
    order = BatchOrder([100, 3], batch=4, steps=6, weights=[3, 1], seed=0)
    for batch in order:
        assert sum(window >= 100 for window, _ in batch) == 1
    small = [pair for batch in order for pair in batch if pair[0] >= 100]
    assert sorted(small) == sorted((100 + i, draw) for draw in (0, 1) for i in range(3))


def test_processes_share_each_batch_without_overlap() -> None:
    whole = list(BatchOrder([10], batch=4, steps=5, seed=4))
    parts = [list(BatchOrder([10], batch=4, steps=5, seed=4, process=p, processes=2)) for p in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole
    with pytest.raises(ValueError, match="do not divide"):
        BatchOrder([10], batch=3, steps=5, processes=2)
