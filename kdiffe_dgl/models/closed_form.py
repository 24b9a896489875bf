"""Models that are computed from the training interactions, without gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from kdiffe_dgl.models.base import RecommenderModel

__all__ = ["ClosedFormModel"]


class ClosedFormModel(RecommenderModel):
    """A model with nothing to learn by gradient: it is fitted when it is built.

    The trainer makes one pass: it builds the model, validates it once, and keeps it; the settings of
    the loop (epochs, batches, learning rate) have no effect. A subclass fits itself in ``__init__``, from
    the data set and its settings alone, and returns the result from :meth:`representations`. Nothing of
    it need be stored as weights: whoever restores a run fits the model again, to the same values.
    """

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return no terms: nothing is minimised step by step."""
        return {}
