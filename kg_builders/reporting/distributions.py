"""How counts are spread: quantiles, and a histogram whose bins double in width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["histogram", "quantiles"]

QUANTILES = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


def quantiles(values: NDArray[np.int64]) -> dict[str, float]:
    """Return the quantiles of ``QUANTILES`` by name; zeros where there are no values."""
    if not len(values):
        return dict.fromkeys(QUANTILES, 0.0)
    found = np.quantile(values, list(QUANTILES.values()))
    return {name: float(value) for name, value in zip(QUANTILES, found, strict=True)}


def histogram(values: NDArray[np.int64]) -> dict[str, Any]:
    """Count values of 0, of 1, of 2 and 3, of 4 to 7, and so on.

    Parameters
    ----------
    values
        Counts, none below 0.

    Returns
    -------
    dict
        ``edges`` [bins + 1]: bin ``i`` holds values from ``edges[i]`` to below ``edges[i + 1]``; ``counts``
        [bins]. Degrees are spread over orders of magnitude, so the bins are even on a logarithmic scale.
    """
    largest = int(values.max()) if len(values) else 0
    edges = [0, *(2**power for power in range(largest.bit_length() + 1))]
    place = np.searchsorted(edges, values, side="right") - 1
    counts = np.bincount(place, minlength=len(edges) - 1)
    return {"edges": edges, "counts": [int(number) for number in counts]}
