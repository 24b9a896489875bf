"""What every recommender shares: configuration, losses, final representations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset

__all__ = ["EpochLog", "RecommenderModel", "dropout", "xavier_uniform"]

EpochLog = Mapping[str, float]


def xavier_uniform(rows: int, columns: int, generator: torch.Generator) -> nn.Parameter:
    """Draw a matrix ``[rows, columns]`` with Glorot's uniform initialisation from an explicit generator."""
    bound = math.sqrt(6.0 / max(1, rows + columns))
    return nn.Parameter((torch.rand(rows, columns, generator=generator) * 2 - 1) * bound)


def dropout(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Zero entries with probability ``rate`` and scale up the others; None for the generator: leave all.

    The probability is rounded to a multiple of 2^-16: four entries then share one 64-bit random number,
    which makes the mask several times cheaper to draw, and it is a good part of a step's time.
    """
    if generator is None or rate == 0:
        return x
    dropped = min(round(rate * 2**16), 2**16 - 1)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    lanes = bits.random_(-(2**63), None, generator=generator).view(torch.int16)[: x.numel()]
    kept = (lanes >= dropped - 2**15).view(x.shape)
    return x * kept.to(x.dtype).mul_(2**16 / (2**16 - dropped))


class RecommenderModel(nn.Module, ABC):
    """Base of all models.

    A subclass names itself in ``name``, its configuration in ``Config``, and is built from a data set:
    ``Model(dataset, config, generator, device)``. The score of a user and an item is the dot product
    of their rows in :meth:`representations`, so one evaluator, one recommender and one index serve all
    models.

    Parameters
    ----------
    dataset
        Data set; only its training interactions, knowledge graph and features may be read.
    config
        Configuration, an instance of ``Config``.
    generator
        Source of the initial weights, on the CPU.
    device
        Where to compute.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Component]]

    def __init__(
        self, dataset: RecDataset, config: Component, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__()
        self.n_users, self.n_items = dataset.n_users, dataset.n_items
        self.device = device

    def begin_epoch(self, generator: torch.Generator) -> EpochLog:
        """Prepare an epoch: train side networks, regenerate graphs. Returns figures for the history."""
        return {}

    @abstractmethod
    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the weighted loss terms of a batch; their sum is minimised.

        Parameters
        ----------
        users, positives, negatives
            Users, observed items and sampled items, int64 ``[batch]`` each.
        generator
            Source of dropout.

        Returns
        -------
        dict of str to Tensor
            Scalars.
        """

    @abstractmethod
    def representations(self) -> tuple[Tensor, Tensor]:
        """Return users ``[users, dim]`` and items ``[items, dim]``, without gradient; score: dot product."""

    def graph_state(self) -> dict[str, Tensor]:
        """Return what :meth:`begin_epoch` made that the representations depend on beside the weights."""
        return {}

    def load_graph_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up what :meth:`graph_state` gave.

        Raises
        ------
        ValueError
            If it is not of this model.
        """
        if state:
            raise ValueError(f"model {self.name} keeps no graphs; got {', '.join(state)}")

    def scoring_weights(self) -> Mapping[str, float]:
        """Return the weights of the score that :meth:`fit_scoring` fits, by what they weigh; empty: none."""
        return {}

    def fit_scoring(self, measure: Callable[[Tensor, Tensor], float]) -> None:
        """Fit weights of the score that losses don't see, from the present ones on.

        Parameters
        ----------
        measure
            Takes users and items like those of :meth:`representations`, and returns what is to be great.
        """

    def reset_scoring(self) -> None:
        """Go back to the weights of :meth:`scoring_weights` that the settings give."""

    def recommender_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the trainer's optimiser steps (side networks have their own)."""
        return list(self.parameters())

    def side_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimisers of side networks by name, for checkpoints."""
        return {}
