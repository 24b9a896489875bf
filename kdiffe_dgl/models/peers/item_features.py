"""What multimodal peers share: the features of items as tables, and layers that read them."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.search import Choices, SearchSpace

__all__ = ["FeatureConfig", "ItemFeatures", "linear", "projected_rows"]


class FeatureConfig(Component):
    """How a multimodal peer reads item features."""

    SEARCH: ClassVar[SearchSpace] = {
        "trained": Choices((True, False)),
        "scaled": Choices((True, False)),
    }

    trained: bool = True
    """Whether features are only the first values of tables that are trained as well."""
    scaled: bool = False
    """Whether a modality is divided by the mean length of its rows, so that the encoder's unit, which
    may be thousands of times that of another, has no effect."""


class ItemFeatures(nn.Module):
    """The features of each modality, as tables ``[items, width]``; any number of modalities.

    Parameters
    ----------
    dataset
        Data set with features.
    config
        How they are read.
    model
        Name of the model that asks, for the message.

    Attributes
    ----------
    modalities
        Names, in the order of all lists here.

    Raises
    ------
    InputError
        If the data set has no features.
    """

    def __init__(self, dataset: RecDataset, config: FeatureConfig, model: str) -> None:
        super().__init__()
        if not dataset.features:
            raise InputError(
                f"data set {dataset.name!r} has no item features, which the model {model!r} learns from; "
                "expected at least one modality (see: kdiffe data attach), or a model that needs none"
            )
        self.modalities = tuple(dataset.features)
        for number, matrix in enumerate(dataset.features.values()):
            # A copy, as the file is only mapped into memory; by position, as torch refuses some names.
            table = torch.tensor(np.asarray(matrix), dtype=torch.float32)
            if config.scaled:
                table /= table.norm(dim=1).mean().clamp(min=torch.finfo(table.dtype).tiny)
            if config.trained:
                self.register_parameter(f"table{number}", nn.Parameter(table))
            else:
                self.register_buffer(f"table{number}", table, persistent=False)

    @property
    def tables(self) -> list[Tensor]:
        """The tables, ``[items, width]`` each."""
        return [getattr(self, f"table{number}") for number in range(len(self.modalities))]

    @property
    def widths(self) -> list[int]:
        """The width of each modality."""
        return [table.shape[1] for table in self.tables]


def linear(width: int, dim: int, generator: torch.Generator, bias: bool = True) -> nn.Linear:
    r"""Return an affine layer, drawn from an explicit generator as torch draws its own.

    Weights and bias are uniform between :math:`\pm 1/\sqrt{width}`.
    """
    layer = nn.utils.skip_init(nn.Linear, width, dim, bias=bias)
    bound = 1 / math.sqrt(width)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer


def projected_rows(layer: nn.Module, table: Tensor, rows: Tensor) -> Tensor:
    """Return some rows of a projected table, ``[rows, dim]``, by the way that costs less.

    A table with fewer rows than are asked for is projected whole: that saves products, and the gradient
    adds up the narrow rows of the result rather than the wide ones of the table.
    """
    projected: Tensor = layer(table)[rows] if len(table) < len(rows) else layer(table[rows])
    return projected
