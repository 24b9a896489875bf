"""Dense oracles that tests of knowledge-aware peers share."""

from __future__ import annotations

import numpy as np
import torch

from kdiffe_dgl.data.dataset import RecDataset

BATCH = ([0, 3, 5, 3], [1, 2, 0, 4], [6, 7, 8, 9])
N_USERS, N_ITEMS = 24, 18
Triple = tuple[int, int, int]


def batch() -> list[torch.Tensor]:
    return [torch.tensor(part) for part in BATCH]


def weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().double().numpy() for name, value in model.named_parameters()}


def found(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in terms.items()}


def triples(dataset: RecDataset) -> list[tuple[Triple, int]]:
    """Return head, relation and tail of each edge, inverses included, and the number of its triple.

    Relations: genre 0, its inverse 1, colour 2 and 3, similar 4, which is symmetric.
    """
    assert dataset.kg is not None
    edges = {}
    rows = dataset.kg.triples.select("head", "relation", "tail").iter_rows()
    for number, (head, relation, tail) in enumerate(rows):
        forth, back = [(0, 1), (2, 3), (4, 4)][relation]
        edges.setdefault((head, forth, tail), number)
        edges.setdefault((tail, back, head), number)
    return sorted(edges.items())


def softmax(values: list[float]) -> np.ndarray:
    shifted = np.exp(np.array(values) - max(values))
    return shifted / shifted.sum()


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def softplus(x: float) -> float:
    return float(np.log1p(np.exp(x)))


def ranking(user: np.ndarray, item: np.ndarray) -> float:
    return float(
        np.mean([softplus(user[u] @ item[j] - user[u] @ item[i]) for u, i, j in zip(*BATCH, strict=True)])
    )


def norms(part: dict[str, np.ndarray]) -> float:
    user, item = part["user_embedding"], part["item_embedding"]
    rows = [[user[u], item[i], item[j]] for u, i, j in zip(*BATCH, strict=True)]
    return float(np.mean([sum((row**2).sum() for row in three) for three in rows])) / 2


def contrast(first: np.ndarray, second: np.ndarray, nodes: list[int], temperature: float) -> float:
    first, second = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
    values = [-np.log(softmax(list(first[node] @ second.T / temperature))[node]) for node in set(nodes)]
    return float(np.mean(values))
