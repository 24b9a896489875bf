"""Does a linked graph speak of the same items? A test of links against the items' own metadata.

Id maps go wrong without an error: the ids of another edition of a catalogue fit, and every fact is then told
of the wrong item. If the links are right, items that are alike in their metadata are more alike in the
linked graph than items at random; if they are wrong, they are not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = ["Agreement", "link_agreement"]

MIN_ITEMS = 30
"""With fewer items in both graphs, chance decides."""
CHANCE = 4.0
"""Standard deviations above chance below which agreement is none."""


@dataclass(frozen=True)
class Agreement:
    """How much more two graphs agree about the items than by chance.

    Parameters
    ----------
    items
        Items with facts in both graphs.
    score
        Standard deviations by which the agreement exceeds that with the items of one graph
        shuffled; null where there are too few items to tell.
    """

    items: int
    score: float | None

    @property
    def by_chance(self) -> bool:
        """Whether the graphs agree no better than by chance."""
        return self.score is not None and self.score < CHANCE

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "by_chance": self.by_chance}


def link_agreement(
    own: KnowledgeGraph, linked: KnowledgeGraph, shuffles: int = 30, seed: int = 0
) -> Agreement:
    """Compare what two graphs say of the same items.

    The statistic is the Hilbert-Schmidt independence criterion with linear kernels (Gretton et al., 2005),
    ``‖Xᵀ H Y‖²`` with ``X`` and ``Y`` the items' facts in each graph, rare facts weighing more, and ``H`` the
    centring of columns; its distribution by chance is that with the rows of ``Y`` shuffled.

    Parameters
    ----------
    own
        Facts from the items' metadata.
    linked
        Facts from the linked graph.
    shuffles
        Number of random orders that tell what chance gives.
    seed
        Of the random orders.
    """
    first, second = _facts(own), _facts(linked)
    shared = first.select("item").unique().join(second.select("item").unique(), on="item").sort("item")
    if len(shared) < MIN_ITEMS:
        return Agreement(len(shared), None)
    left, right = _matrix(first, shared), _matrix(second, shared)
    if not left.shape[1] or not right.shape[1]:
        return Agreement(len(shared), None)
    observed = _criterion(left, right)
    rng = np.random.default_rng(seed)
    chance = np.array([_criterion(left, right[rng.permutation(len(shared))]) for _ in range(shuffles)])
    spread = float(chance.std())
    return Agreement(len(shared), float((observed - chance.mean()) / spread) if spread > 0 else None)


def _facts(kg: KnowledgeGraph) -> pl.DataFrame:
    """Return columns ``item`` (id) and ``fact`` (neighbour), each pair once, whatever the direction."""
    ends = kg.triples.select(item="head", fact="tail").vstack(kg.triples.select(item="tail", fact="head"))
    items = kg.entities.filter(pl.col("kind") == ITEM).select(item="entity", id="id")
    return ends.unique().join(items, on="item").select(item="id", fact="fact")


def _matrix(facts: pl.DataFrame, items: pl.DataFrame) -> sparse.csr_matrix:
    """Return [items, facts] with inverse-frequency weights; facts of one item or of all can't agree."""
    placed = facts.join(items.with_row_index("row"), on="item")
    usage = placed.group_by("fact").len("used").filter((pl.col("used") > 1) & (pl.col("used") < len(items)))
    usage = usage.sort("fact").with_row_index("column")
    cells = placed.join(usage, on="fact").sort("row", "column")
    weight = np.log(len(items) / cells["used"].to_numpy())
    place = (cells["row"].to_numpy(), cells["column"].to_numpy())
    return sparse.csr_matrix((weight, place), shape=(len(items), len(usage)))


def _criterion(left: sparse.csr_matrix, right: sparse.csr_matrix) -> float:
    """Return ``‖Xᵀ H Y‖²``, expanded so that the centred product is never dense.

    With ``P = Xᵀ Y``, ``a`` and ``b`` the column means and ``n`` rows it is
    ``‖P‖² - 2 n aᵀ P b + n² ‖a‖² ‖b‖²``.
    """
    rows = left.shape[0]
    product = (left.T @ right).tocsr()
    mean_left = np.asarray(left.mean(axis=0)).ravel()
    mean_right = np.asarray(right.mean(axis=0)).ravel()
    cross = float(mean_left @ (product @ mean_right))
    spread = float(mean_left @ mean_left) * float(mean_right @ mean_right)
    return float((product.data**2).sum()) - 2 * rows * cross + rows**2 * spread
