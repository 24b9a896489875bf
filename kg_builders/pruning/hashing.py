"""Numbers into pseudo-random ones, always the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["scramble"]


def scramble(values: NDArray[np.int64], salt: int = 0) -> NDArray[np.uint64]:
    """Turn numbers into pseudo-random ones, one to one (the finaliser of SplitMix64, Steele et al., 2014).

    Parameters
    ----------
    values
        Any shape.
    salt
        Another salt gives another, independent-looking, order.
    """
    golden = 0x9E3779B97F4A7C15
    with np.errstate(over="ignore"):
        mixed = values.astype(np.uint64) + np.uint64(golden * (salt + 1) % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
