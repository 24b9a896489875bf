"""What a training run tells while it goes on, and what it brought."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["FitResult", "FittedScoring", "NoProgress", "Progress"]


class Progress(Protocol):
    """What a training run tells while it goes on."""

    def epoch_begins(self, epoch: int, batches: int) -> None:
        """Tell that an epoch begins with the training of side networks."""

    def batch_ends(self, loss: float) -> None:
        """Tell that a batch is done."""

    def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
        """Tell what an epoch brought; ``record`` is its entry in the history."""

    def fitting_begins(self) -> None:
        """Tell that epochs are over, and weights of the score are fitted on validation."""


class NoProgress:
    """Tells nothing."""

    def epoch_begins(self, epoch: int, batches: int) -> None:
        """Do nothing."""

    def batch_ends(self, loss: float) -> None:
        """Do nothing."""

    def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
        """Do nothing."""

    def fitting_begins(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class FittedScoring:
    """Weights of the score that were fitted on validation.

    Attributes
    ----------
    weights
        By what they weigh.
    validation
        Validation metrics with them.
    """

    weights: Mapping[str, float]
    validation: Mapping[str, float]


@dataclass(frozen=True)
class FitResult:
    """What a training run brought.

    Attributes
    ----------
    best_epoch
        Epoch with the best validation metric; 0 where none was validated.
    best_value
        That metric.
    history
        One entry an epoch.
    interrupted
        Whether the run was stopped by the user.
    scoring
        Weights of the score that were fitted on validation at the best epoch, and the validation metrics with
        them; null where there was nothing to fit.
    """

    best_epoch: int = 0
    best_value: float = -math.inf
    history: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False
    scoring: FittedScoring | None = None
