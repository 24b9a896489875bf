"""Random data of any size for benchmarks: what matters here is size and skew, not what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp

from kdiffe_dgl.data.dataset import RecDataset
from kg_builders.schema import KnowledgeGraph

__all__ = ["Sizes", "heavy_tailed", "random_dataset", "random_interactions"]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a random data set; the defaults are about those of the published TikTok set.

    Attributes
    ----------
    users, items, interactions
        Interactions are drawn with replacement, so somewhat fewer remain.
    entities
        Entities beside the items; 0 leaves the knowledge graph out.
    triples, relations
        Triples drawn from items to entities, with replacement.
    modalities, width
        Feature matrices, and their columns.
    """

    users: int = 9308
    items: int = 6710
    interactions: int = 66_000
    entities: int = 1000
    triples: int = 60_000
    relations: int = 4
    modalities: int = 2
    width: int = 128


def heavy_tailed(generator: np.random.Generator, n_values: int, n_draws: int) -> np.ndarray:
    """Draw numbers below ``n_values``, int64 ``[n_draws]``, number k about as often as 1 / (k + 1).

    The inverse of the continuous distribution function: log-uniform, so no table of probabilities.
    """
    drawn = np.exp(generator.random(n_draws) * np.log(n_values + 1.0)) - 1.0
    return np.minimum(drawn.astype(np.int64), n_values - 1)


def random_interactions(n_users: int, n_items: int, n_edges: int, seed: int) -> sp.csr_matrix:
    """Return a binary graph ``[users, items]``: users alike, items with a heavy tail of popularity.

    Pairs are drawn until there are ``n_edges`` distinct ones.
    """
    if n_edges > n_users * n_items // 4:
        raise SystemExit(
            f"{n_edges} edges between {n_users} users and {n_items} items; expected a sparse graph"
        )
    generator = np.random.default_rng(seed)
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < n_edges:
        missing = n_edges - len(keys)
        users = generator.integers(0, n_users, missing + missing // 4 + 16)
        drawn = users * n_items + heavy_tailed(generator, n_items, len(users))
        keys = np.unique(np.concatenate([keys, drawn]))
    # A random choice of the right number: cutting the sorted keys would leave users out.
    keys = np.sort(generator.permutation(keys)[:n_edges])
    ends = (keys // n_items, keys % n_items)
    return sp.csr_matrix((np.ones(n_edges, dtype=np.float32), ends), shape=(n_users, n_items))


def random_dataset(sizes: Sizes, seed: int) -> RecDataset:
    """Return a data set of given sizes: one interaction in ten is for validation."""
    generator = np.random.default_rng(seed)
    users, items = _identities("user", sizes.users), _identities("item", sizes.items)
    pairs = pl.DataFrame(
        {
            "user": generator.integers(0, sizes.users, sizes.interactions),
            "item": heavy_tailed(generator, sizes.items, sizes.interactions),
        }
    ).unique(maintain_order=True)
    split = np.where(generator.random(len(pairs)) < 0.1, "validation", "train")
    features = {
        f"modality-{number + 1}": generator.normal(size=(sizes.items, sizes.width)).astype(np.float32)
        for number in range(sizes.modalities)
    }
    kg = _knowledge_graph(sizes, items, generator) if sizes.entities else None
    return RecDataset("random", users, items, pairs.with_columns(split=pl.Series(split)), kg, features, {})


def _identities(side: str, size: int) -> pl.DataFrame:
    number = pl.int_range(size, dtype=pl.Int64, eager=True)
    return pl.DataFrame({side: number, "id": number.cast(pl.Utf8), "label": number.cast(pl.Utf8)})


def _knowledge_graph(sizes: Sizes, items: pl.DataFrame, generator: np.random.Generator) -> KnowledgeGraph:
    """Return triples from items and entities to entities; every entity is in one where there are enough."""
    n_items, n_entities = sizes.items, sizes.items + sizes.entities
    number = pl.int_range(n_entities, dtype=pl.Int64, eager=True)
    entities = pl.DataFrame(
        {
            "entity": number,
            "kind": pl.select(
                pl.when(number < n_items).then(pl.lit("item")).otherwise(pl.lit("topic"))
            ).to_series(),
            "id": number.cast(pl.Utf8),
            "label": number.cast(pl.Utf8),
        }
    )
    names = [f"relation {number + 1}" for number in range(sizes.relations)]
    relations = pl.DataFrame({"name": names, "label": names, "symmetric": [False] * sizes.relations})
    # Heads go round all entities, so that as good as none is left without a triple.
    head = np.arange(sizes.triples) % n_entities
    tail = n_items + heavy_tailed(generator, sizes.entities, sizes.triples)
    triples = pl.DataFrame(
        {
            "head": head,
            "relation": generator.integers(0, sizes.relations, sizes.triples),
            "tail": tail,
            "source": pl.repeat("random", sizes.triples, eager=True),
        }
    )
    return KnowledgeGraph.from_numbered(entities, relations, triples)
