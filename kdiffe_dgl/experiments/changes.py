"""Changes of a data set that experiments make; callable, equal by value, and fit for other processes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.decoys import Ends, proportional, random_triples
from kdiffe_dgl.errors import InputError
from kg_builders.schema import KnowledgeGraph

__all__ = ["NOISE", "RandomInteractions", "RandomTriples", "ShuffledItems", "WithoutFeatures"]

NOISE = "random"
"""Source that added triples name."""


@dataclass(frozen=True)
class ShuffledItems:
    """Items change places in the graph: as many facts, alike in shape, each of an item drawn at random.

    Parameters
    ----------
    seed
        Of the permutation.
    """

    seed: int = 0

    def __call__(self, dataset: RecDataset) -> RecDataset:
        """Return the data set with the changed graph."""
        kg = _graph(dataset)
        new = np.arange(kg.n_entities)
        new[: dataset.n_items] = np.random.default_rng(self.seed).permutation(dataset.n_items)
        ends = [pl.Series(end, new[kg.triples[end].to_numpy()]) for end in ("head", "tail")]
        return dataset.replace(kg=dataclasses.replace(kg, triples=kg.triples.with_columns(ends)))


@dataclass(frozen=True)
class WithoutFeatures:
    """Leaves modalities out.

    Parameters
    ----------
    names
        Which.
    """

    names: tuple[str, ...]

    def __call__(self, dataset: RecDataset) -> RecDataset:
        """Return the data set without them."""
        kept = {name: matrix for name, matrix in dataset.features.items() if name not in self.names}
        return dataset.replace(features=kept)


@dataclass(frozen=True)
class RandomTriples:
    """Adds random triples, a share of every relation's, that join entities which no triple joined.

    Parameters
    ----------
    share
        Triples to add, as a share of those that there are.
    ends
        What they join: see :func:`kdiffe_dgl.diffusion.decoys.random_triples`.
    seed
        Of the draw.
    """

    share: float
    ends: Ends = "relation"
    seed: int = 0

    def __call__(self, dataset: RecDataset) -> RecDataset:
        """Return the data set with them; their ``source`` is :data:`NOISE`."""
        kg = _graph(dataset)
        head, relation, tail = (
            torch.from_numpy(kg.triples[column].to_numpy().astype(np.int64))
            for column in ("head", "relation", "tail")
        )
        counts = proportional(relation, self.share, kg.n_relations)
        generator = torch.Generator().manual_seed(self.seed)
        drawn = random_triples(head, relation, tail, counts, kg.n_entities, generator, self.ends)
        # A relation whose pairs are nearly all taken gets fewer; the level is to be about true all the same.
        if len(drawn[0]) < 0.9 * int(counts.sum()):
            raise InputError(
                f"data set {dataset.name!r}: its graph has room for {len(drawn[0])} random triples, not for "
                f"{int(counts.sum())} (a share of {self.share:g}); expected a smaller share, or --ends any"
            )
        columns = dict(zip(("head", "relation", "tail"), (each.numpy() for each in drawn), strict=True))
        added = pl.DataFrame(columns).with_columns(source=pl.lit(NOISE)).cast(kg.triples.schema)
        triples = pl.concat([kg.triples, added.select(kg.triples.columns)])
        return dataset.replace(kg=dataclasses.replace(kg, triples=triples))


@dataclass(frozen=True)
class RandomInteractions:
    """Adds random interactions to the training split, of users as active as they are; others stay.

    Parameters
    ----------
    share
        Interactions to add, as a share of those in training.
    seed
        Of the draw.
    """

    share: float
    seed: int = 0

    def __call__(self, dataset: RecDataset) -> RecDataset:
        """Return the data set with them."""
        rng, train = np.random.default_rng(self.seed), dataset.pairs("train")
        wanted = round(self.share * len(train))
        table = dataset.interactions
        n_items = dataset.n_items
        # No pair of any split: an added validation or test item would give the answer away.
        taken = np.unique(table["user"].to_numpy() * n_items + table["item"].to_numpy())
        added = np.empty(0, dtype=np.int64)
        for _ in range(64):
            missing = wanted - len(added)
            if not missing:
                break
            users = train[rng.integers(0, len(train), missing), 0]
            keys = np.unique(users * n_items + rng.integers(0, n_items, missing))
            added = np.concatenate([added, keys[~np.isin(keys, taken)]])
            taken = np.union1d(taken, added)
        if len(added) < wanted:
            raise InputError(
                f"data set {dataset.name!r}: has room for {len(added)} random interactions of its users, not "
                f"for {wanted} (a share of {self.share:g}); expected a smaller share"
            )
        frame = pl.DataFrame({"user": added // n_items, "item": added % n_items}).with_columns(
            split=pl.lit("train")
        )
        return dataset.replace(interactions=pl.concat([table, frame], how="diagonal_relaxed"))


def _graph(dataset: RecDataset) -> KnowledgeGraph:
    if dataset.kg is None:
        raise InputError(f"data set {dataset.name!r}: has no knowledge graph; expected one to change")
    return dataset.kg
