"""Functions that the tests run in fresh processes."""

import os

import numpy as np


def hold(megabytes: int) -> dict[str, object]:
    """Hold an array of so many MB."""
    held = np.ones(megabytes * 2**17)
    return {"held": held.nbytes // 2**20, "threads": os.environ.get("OMP_NUM_THREADS")}


def stumble() -> dict[str, object]:
    """Fail."""
    raise RuntimeError("on purpose")
