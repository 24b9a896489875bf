"""The optimiser of recommenders and denoisers."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["adam"]


def adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Adam:
    """Return Adam that makes one pass over parameters and moments, without temporaries, where torch can."""
    held = list(parameters)
    try:
        return torch.optim.Adam(held, lr=learning_rate, fused=True)
    except RuntimeError:  # torch before 2.4, and some devices
        return torch.optim.Adam(held, lr=learning_rate)
