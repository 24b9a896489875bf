r"""Profile views: how well an item agrees with the items a user has met.

Propagation learns from interactions, and a well-trained model needs little else where there are many. What it
can't learn of an item, its facts or features may say at once: a user's profile is the mean of what is known
of her items, and an item is as near as it agrees with it. Nothing is trained here, and the ranking loss does
not see it: an observed item agrees with a profile that holds it, so that training would trust the agreement
too much. Interactions themselves are a third source: where users have met many items, what linear models know
of two items, all others given, ranks the top of a list better than propagation does.

With K the table of a source, one row an item (:mod:`.profile_tables`), its view adds

.. math:: w \frac{\sigma_0}{\sigma} \Big(\frac{1}{|N(u)|} \sum_{j \in N(u)} K_j\Big) \cdot K_i

to the score of user u and item i, where σ is the standard deviation of this product over the items, averaged
over the users, and σ_0 is that of the learned score: so the weight w speaks of the same for all data and
losses. How much a source is worth differs by data, though, so the weights may be fitted on validation once
training is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor, nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.graph.operators import row_normalised
from kdiffe_dgl.models.climb import climb
from kdiffe_dgl.models.profile_tables import (
    FactTable,
    Ids,
    Table,
    fact_weights,
    feature_table,
    interaction_table,
)
from kdiffe_dgl.search import Between, Choices, SearchSpace

__all__ = [
    "FACTS",
    "INTERACTIONS",
    "PAIRS",
    "FactEdges",
    "ProfileConfig",
    "ProfileSource",
    "ProfileView",
    "ProfileViews",
    "deviations",
    "profile_scale",
    "spread",
]

_LEAST = 1e-12


@dataclass(frozen=True)
class ProfileSource:
    """What a profile view knows of the items.

    Parameters
    ----------
    kind
        Where the table K comes from; ``pairs``: the pairwise view, which is weighed like a profile.
    modality
        Whose features they are; null otherwise.
    """

    kind: Literal["facts", "features", "interactions", "pairs"]
    modality: str | None = None

    @property
    def label(self) -> str:
        """The source in words."""
        return self.kind if self.modality is None else f"{self.kind} of {self.modality}"


FACTS, INTERACTIONS, PAIRS = (ProfileSource(kind) for kind in ("facts", "interactions", "pairs"))


class ProfileConfig(Component):
    """Profile views of the score: what an item has in common with the items that a user has met.

    Each view with a weight is added to the learned score; nothing of it is trained, but the weights may be
    fitted on validation.
    """

    SEARCH: ClassVar[SearchSpace] = {
        "knowledge_weight": Between(0.0, 0.6),
        "modality_weight": Between(0.0, 0.6),
        "interaction_weight": Between(0.0, 0.6),
        "rank": Choices((64, 128, 256)),
    }

    knowledge_weight: float = Field(0.0, ge=0)
    """Weight w of the agreement in facts, as a share of the spread of the learned score: 0.2 adds a fifth of
    it. 0: without this view."""
    modality_weight: float = Field(0.0, ge=0)
    """Weight w of the agreement in each modality, likewise; 0: without."""
    interaction_weight: float = Field(0.0, ge=0)
    """Weight w of the agreement in who met the items, likewise; 0: without."""
    rank: int = Field(128, ge=1)
    """Most singular vectors (facts, interactions) or principal components (modalities) of a view, so the
    most columns that it adds to the vectors of users and items."""
    ridge: float = Field(10.0, gt=0)
    """Ridge λ of the agreement in interactions, as a multiple of the mean number of users of an item; a
    larger one smooths more."""
    fit_weights: bool = False
    """Fit the weights that are not 0 on validation: from time to time in training, and at the best epoch.
    The given weights are then where the fit begins, and a weight of 0 stays 0."""

    def idle(self) -> set[str]:
        """Of a weight that is fitted, the settings say no more than where the fit begins."""
        weights = ("knowledge_weight", "modality_weight", "interaction_weight")
        return {name for name in weights if self.fit_weights and getattr(self, name)}


def deviations(users: Table, items: Table) -> npt.NDArray[np.float64]:
    """Return the standard deviation of the products of each user over the items, ``[users]``.

    Parameters
    ----------
    users, items
        ``[users, dim]`` and ``[items, dim]``.
    """
    centred = items.astype(np.float64) - items.mean(axis=0, dtype=np.float64)
    # Of products p·k over the items, the variance is p C p, C the covariance of the items.
    covariance = centred.T @ centred / max(1, len(items))
    return np.sqrt(np.maximum(np.einsum("ur,ur->u", users @ covariance, users), 0.0))


def spread(users: Table, items: Table) -> float:
    """Return the standard deviation of the products over the items, averaged over the users that have any.

    Parameters
    ----------
    users, items
        ``[users, dim]`` and ``[items, dim]``; a user of whom nothing is known has a row of zeros.
    """
    found = deviations(users, items)[users.any(axis=1)]
    return float(found.mean()) if len(found) else 0.0


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
    source
        What agrees.
    users, items
        Profiles ``[users, rank]`` and K ``[items, rank]``, each times the scale.
    scale
        :math:`\sqrt{w \sigma_0 / \sigma}`.
    facts
        What K is made of, where it holds facts.
    """

    source: ProfileSource
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
    pairs_weight
        Weight w of the pairwise view; 0: there is none.
    """

    fitted: Tensor

    def __init__(
        self,
        config: ProfileConfig,
        interactions: sp.csr_matrix,
        features: Mapping[str, npt.NDArray[np.floating]],
        has_facts: bool,
        pairs_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.config = config
        self._mean = row_normalised(interactions)
        found = {FACTS: config.knowledge_weight if has_facts else 0.0}
        found |= {ProfileSource("features", name): config.modality_weight for name in features}
        found |= {INTERACTIONS: config.interaction_weight, PAIRS: pairs_weight}
        self._given = {source: weight for source, weight in found.items() if weight}
        if config.fit_weights:
            # Saved with the model, since its settings don't know what was fitted.
            self.register_buffer("fitted", torch.empty(len(self._given), dtype=torch.float64))
            self.reset()
        self._fixed: dict[ProfileSource, ProfileView] = {}
        for source in self._given:
            if source.modality is not None:
                table = feature_table(np.asarray(features[source.modality]), config.rank)
                self._fixed[source] = self._view(table, source)
        if INTERACTIONS in self._given:
            table = interaction_table(interactions, config.rank, config.ridge)
            self._fixed[INTERACTIONS] = self._view(table, INTERACTIONS)
        self._facts: tuple[FactEdges, ProfileView] | None = None

    def __bool__(self) -> bool:
        return bool(self._given)

    @property
    def weights(self) -> dict[ProfileSource, float]:
        """Weight of each view."""
        if not self.config.fit_weights:
            return dict(self._given)
        return dict(zip(self._given, self.fitted.tolist(), strict=True))

    def reset(self) -> None:
        """Take the weights of the settings, in place of fitted ones."""
        if self.config.fit_weights:
            self.fitted.copy_(torch.tensor(list(self._given.values()), dtype=torch.float64))

    def views(
        self,
        edges: FactEdges,
        learned: float,
        weights: Sequence[float] | None = None,
        pairs: ProfileView | None = None,
    ) -> list[ProfileView]:
        """Return the views that have weight: facts, each modality, interactions, and the pairwise one.

        Parameters
        ----------
        edges
            The edges from items to their neighbours in the knowledge graph.
        learned
            σ_0, the spread of the learned score.
        weights
            Of each view; null: as they are.
        pairs
            The pairwise view with a spread of 1, where there is one.
        """
        found = []
        for source, weight in zip(self._given, weights or self.weights.values(), strict=True):
            view = pairs if source == PAIRS else self._fixed.get(source)
            if weight and source == FACTS and len(edges.items):
                view = self._fact_view(edges)
            if weight and view is not None:
                found.append(view.scaled(np.float32(np.sqrt(weight * learned))))
        return found

    def fit(
        self,
        edges: FactEdges,
        learned: float,
        measure: Callable[[list[ProfileView]], float],
        pairs: ProfileView | None = None,
    ) -> None:
        """Take the weights that are measured best, from the present ones on; see :mod:`.climb`."""
        found, _ = climb(
            tuple(self.weights.values()),
            lambda weights: measure(self.views(edges, learned, weights, pairs)),
        )
        self.fitted.copy_(torch.tensor(found, dtype=torch.float64))

    def _fact_view(self, edges: FactEdges) -> ProfileView:
        """Return the view of facts, made anew only where the graph changed: every validation asks for it."""
        if self._facts is not None:
            known, view = self._facts
            if np.array_equal(known.items, edges.items) and np.array_equal(known.entities, edges.entities):
                return view
        weights = fact_weights(edges.items, edges.entities, (self._mean.shape[1], edges.n_entities))
        facts = FactTable.of(weights, self.config.rank)
        view = self._view(facts.table, FACTS, facts)
        self._facts = edges, view
        return view

    def _view(self, table: Table, source: ProfileSource, facts: FactTable | None = None) -> ProfileView:
        """Return a view whose products have a spread of 1."""
        profiles = (self._mean @ table).astype(np.float32)
        plain = ProfileView(source, profiles, table, 1.0, facts)
        return plain.scaled(profile_scale(profiles, table, 1.0))
