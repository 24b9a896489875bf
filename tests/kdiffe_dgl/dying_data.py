"""A change of data that takes its process with it; another process imports it by name."""

from __future__ import annotations

import os
import signal

from kdiffe_dgl.data.dataset import RecDataset


def die(dataset: RecDataset) -> RecDataset:
    """Kill the process, as the system does where memory has run out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return dataset
