"""Small peers and batches for their tests, and what NumPy needs of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kdiffe_dgl.config import parse_config
from kdiffe_dgl.models.base import RecommenderModel

CPU = torch.device("cpu")


def make(cls: type[RecommenderModel], dataset: Any, seed: int = 0, **settings: Any) -> Any:
    config = parse_config(cls.Config, {"dim": 6, **settings}, "test")
    return cls(dataset, config, torch.Generator().manual_seed(seed), CPU)


def batch(dataset: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    users, items = torch.tensor(dataset.pairs("train")[:40]).T.contiguous()
    return users, items, (items + 5) % dataset.n_items


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def affine(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    bias = 0.0 if layer.bias is None else array(layer.bias)
    return x @ array(layer.weight).T + bias
