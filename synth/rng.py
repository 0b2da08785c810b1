"""Random generators, all derived from the seed of the run; there is no global random state."""

import hashlib

import numpy as np


def generator(seed: int, *keys: str | int) -> np.random.Generator:
    """Make the generator that belongs to one purpose.

    The same seed and keys give the same stream on every machine; any other key gives an independent one, so that
    adding a draw in one place never shifts the draws of another.

    Args:
        seed: Seed of the run.
        keys: What the stream is for, such as the clip's number and a purpose ("scene", "betas").

    Returns:
        A PCG64 generator seeded through `numpy.random.SeedSequence`.
    """
    digest = hashlib.sha256("\x1f".join(map(str, keys)).encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
