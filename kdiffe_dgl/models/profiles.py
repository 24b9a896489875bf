r"""Profile views: how well an item's facts and features agree with those of the items a user has met.

Propagation learns from interactions, and a well-trained model needs little else where there are many. What it
can't learn of an item, its facts may say at once: a user's profile is the mean of what is known of her items,
and an item is as near as it agrees with it. Nothing is trained here, and the ranking loss does not see it: an
observed item agrees with a profile that holds it, so that training would trust the agreement too much.

For facts, R holds one row for each item with the inverse document frequency of its neighbours in the
knowledge graph, of length 1, and :math:`K = R V` with the first right singular vectors V of R (Deerwester et
al., *Indexing by Latent Semantic Analysis*, J. Am. Soc. Inf. Sci. 1990). For a modality, K holds the first
principal components of its features, whitened, each row of length 1. Either adds

.. math:: w \frac{\sigma_0}{\sigma} \Big(\frac{1}{|N(u)|} \sum_{j \in N(u)} K_j\Big) \cdot K_i

to the score of user u and item i, where σ is the standard deviation of this product over the items, averaged
over the users, and σ_0 is that of the learned score: so the weight w speaks of the same for all data and
losses. How much facts and features are worth differs by data, though, so the weights may be fitted on
validation once training is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from pydantic import Field
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.graph.operators import row_normalised
from kdiffe_dgl.models.climb import climb
from kdiffe_dgl.search import Between, Choices, SearchSpace

__all__ = [
    "FactEdges",
    "FactTable",
    "Ids",
    "ProfileConfig",
    "ProfileView",
    "ProfileViews",
    "Table",
    "fact_directions",
    "fact_weights",
    "feature_table",
    "profile_scale",
    "spread",
]

Table = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
_LEAST = 1e-12


class ProfileConfig(Component):
    """Profile views of the score."""

    SEARCH: ClassVar[SearchSpace] = {
        "knowledge_weight": Between(0.0, 0.6),
        "modality_weight": Between(0.0, 0.6),
        "rank": Choices((64, 128, 256)),
    }

    knowledge_weight: float = Field(0.0, ge=0)
    """Weight w of the agreement in facts, as a share of the spread of the learned score; 0: without."""
    modality_weight: float = Field(0.0, ge=0)
    """Weight w of the agreement in each modality, likewise; 0: without."""
    rank: int = Field(128, ge=1)
    """Most singular vectors or principal components."""
    fit_weights: bool = False
    """Fit the weights that are not 0 on validation, once the best epoch is known; till then they hold."""


def fact_weights(items: Ids, entities: Ids, shape: tuple[int, int]) -> sp.csr_array:
    r"""Return R before its rows have length 1: neighbours of each item, rare ones weighing more.

    Parameters
    ----------
    items, entities
        The edges from items to their neighbours, int64 ``[edges]`` each; an edge may occur several times.
    shape
        Numbers of items and of all entities.

    Returns
    -------
    scipy.sparse.csr_array
        float64 ``[items, entities]``: :math:`\ln(n / n_t)` of neighbour t, which n_t of the n items have.
    """
    known = sp.csr_array((np.ones(len(items)), (items, entities)), shape=shape)
    known.sum_duplicates()
    known.data[:] = 1.0
    frequency: npt.NDArray[np.float64] = known.sum(axis=0)
    return (known @ sp.diags_array(np.log(shape[0] / np.maximum(frequency, 1.0)))).tocsr()


def fact_directions(rows: sp.csr_array, rank: int) -> npt.NDArray[np.float64]:
    """Return V, the first right singular vectors of R, ``[entities, rank]``, or as many as R has."""
    rank = min(rank, *rows.shape)
    _, values, directions = randomized_svd(rows, rank, n_iter=7, random_state=0)
    found: npt.NDArray[np.float64] = directions[values > _LEAST].T
    return found


@dataclass(frozen=True)
class FactTable:
    """What K is made of where it holds facts.

    Parameters
    ----------
    weights
        R before its rows have length 1, see :func:`fact_weights`, ``[items, entities]``.
    directions
        V, ``[entities, rank]``.
    """

    weights: sp.csr_array
    directions: npt.NDArray[np.float64]

    @classmethod
    def of(cls, weights: sp.csr_array, rank: int) -> FactTable:
        """Find the directions."""
        return cls(weights, fact_directions(normalize(weights), rank))

    @property
    def table(self) -> Table:
        """K, float32 ``[items, rank]``."""
        found: Table = (normalize(self.weights) @ self.directions).astype(np.float32)
        return found


def feature_table(features: Table, rank: int) -> Table:
    """Return whitened principal components of features ``[items, width]``, rows of length 1."""
    rank = min(rank, features.shape[1], max(1, features.shape[0] - 1))
    components = PCA(rank, whiten=True, svd_solver="full").fit_transform(features.astype(np.float64))
    table: Table = normalize(components).astype(np.float32)
    return table


def spread(users: Table, items: Table) -> float:
    """Return the standard deviation of the products over the items, averaged over the users that have any.

    Parameters
    ----------
    users, items
        ``[users, dim]`` and ``[items, dim]``; a user of whom nothing is known has a row of zeros.
    """
    centred = items.astype(np.float64) - items.mean(axis=0, dtype=np.float64)
    # Of products p·k over the items, the variance is p C p, C the covariance of the items.
    covariance = centred.T @ centred / max(1, len(items))
    variance = np.einsum("ur,ur->u", users @ covariance, users)
    deviations = np.sqrt(np.maximum(variance, 0.0))[users.any(axis=1)]
    return float(deviations.mean()) if len(deviations) else 0.0


def profile_scale(profiles: Table, items: Table, weight: float) -> np.float32:
    """Return the factor of profiles and items by which their products have the spread ``weight``.

    Parameters
    ----------
    profiles
        Means of the users' items, ``[users, rank]``; a user without items has a row of zeros.
    items
        K, ``[items, rank]``.
    weight
        The spread that is wanted, see :func:`spread`.

    Returns
    -------
    numpy.float32
        Where all products are alike, it is 0: they rank nothing.
    """
    found = spread(profiles, items)
    return np.float32(np.sqrt(weight / found)) if found > _LEAST else np.float32(0.0)


@dataclass(frozen=True)
class ProfileView:
    r"""One profile view: users and items whose dot products are added to the score.

    Parameters
    ----------
    modality
        Whose features agree; null: facts do.
    users, items
        Profiles ``[users, rank]`` and K ``[items, rank]``, each times the scale.
    scale
        :math:`\sqrt{w \sigma_0 / \sigma}`.
    facts
        What K is made of, where it holds facts.
    """

    modality: str | None
    users: Table
    items: Table
    scale: float
    facts: FactTable | None = None

    def scaled(self, factor: np.float32) -> ProfileView:
        """Return the view with users and items times a factor."""
        scale = float(factor) * self.scale
        return replace(self, users=factor * self.users, items=factor * self.items, scale=scale)


@dataclass(frozen=True)
class FactEdges:
    """The edges from items to their neighbours in the knowledge graph.

    Parameters
    ----------
    items, entities
        Ends, int64 ``[edges]`` each.
    n_entities
        Number of all entities.
    """

    items: Ids
    entities: Ids
    n_entities: int


class ProfileViews(nn.Module):
    """The profile views of a data set.

    Parameters
    ----------
    config
        Settings.
    interactions
        Training interactions, 0 or 1, ``[users, items]``.
    features
        Features of each modality, ``[items, width]``.
    has_facts
        Whether there is a knowledge graph.
    """

    fitted: Tensor

    def __init__(
        self,
        config: ProfileConfig,
        interactions: sp.csr_matrix,
        features: Mapping[str, npt.NDArray[np.floating]],
        has_facts: bool,
    ) -> None:
        super().__init__()
        self.config = config
        self._mean = row_normalised(interactions)
        # Facts come first; null is no name that a modality can have.
        self._given: dict[str | None, float] = {}
        if has_facts and config.knowledge_weight:
            self._given[None] = config.knowledge_weight
        if config.modality_weight:
            self._given |= dict.fromkeys(features, config.modality_weight)
        if config.fit_weights:
            # Saved with the model, since its settings don't know what was fitted.
            self.register_buffer("fitted", torch.tensor(list(self._given.values()), dtype=torch.float64))
        self._modalities = {
            name: self._view(feature_table(np.asarray(features[name]), config.rank), name)
            for name in self._given
            if name is not None
        }
        self._facts: tuple[Ids, Ids, ProfileView] | None = None

    def __bool__(self) -> bool:
        return bool(self._given)

    @property
    def weights(self) -> dict[str | None, float]:
        """Weight of each view; null: of facts."""
        if not self.config.fit_weights:
            return dict(self._given)
        return dict(zip(self._given, self.fitted.tolist(), strict=True))

    def views(
        self, edges: FactEdges, learned: float, weights: Sequence[float] | None = None
    ) -> list[ProfileView]:
        """Return the view of facts, if there is one, then one for each modality; those of weight 0 left out.

        Parameters
        ----------
        edges
            The edges from items to their neighbours in the knowledge graph.
        learned
            σ_0, the spread of the learned score.
        weights
            Of each view; null: as they are.
        """
        found = []
        for name, weight in zip(self._given, weights or self.weights.values(), strict=True):
            if weight and (name is not None or len(edges.items)):
                view = self._fact_view(edges) if name is None else self._modalities[name]
                found.append(view.scaled(np.float32(np.sqrt(weight * learned))))
        return found

    def fit(self, edges: FactEdges, learned: float, measure: Callable[[list[ProfileView]], float]) -> None:
        """Take the weights that are measured best, from the present ones on; see :mod:`.climb`."""
        found, _ = climb(
            tuple(self.weights.values()), lambda weights: measure(self.views(edges, learned, weights))
        )
        self.fitted.copy_(torch.tensor(found, dtype=torch.float64))

    def _fact_view(self, edges: FactEdges) -> ProfileView:
        """Return the view of facts, made anew only where the graph changed: every validation asks for it."""
        if self._facts is not None:
            *known, view = self._facts
            if np.array_equal(known[0], edges.items) and np.array_equal(known[1], edges.entities):
                return view
        weights = fact_weights(edges.items, edges.entities, (self._mean.shape[1], edges.n_entities))
        facts = FactTable.of(weights, self.config.rank)
        view = self._view(facts.table, None, facts)
        self._facts = edges.items, edges.entities, view
        return view

    def _view(self, table: Table, modality: str | None, facts: FactTable | None = None) -> ProfileView:
        """Return a view whose products have a spread of 1."""
        profiles = (self._mean @ table).astype(np.float32)
        plain = ProfileView(modality, profiles, table, 1.0, facts)
        return plain.scaled(profile_scale(profiles, table, 1.0))
