r"""How much each part of the model weighs in its scores.

Three measures that answer different questions:

``weight``
    The modality weights that the model has learned, softmax-ed: how the multimodal view mixes the features
    (KDiffE, modality views). With one modality it is 1, whatever that modality is worth; where the view does
    not speak in the score there is none.
``share``
    The score is a sum :math:`s = \sum_p s_p` over the blocks of the representation: main view, multimodal
    view, item bias, profiles, pairwise view. The order of a user's list depends on differences between items
    alone, so a part's share is that of the variance over the items, :math:`\sum_u Cov_i(s_p, s) / \sum_u
    Var_i(s)`. The shares add up to 1; a negative one belongs to a part that works against the others. With G
    the Gram matrix of the users and C the covariance of the items, it is the sum of the entries of
    :math:`G \circ C` in the rows of the part, so all users and items count and no score is computed.
``overlap``
    The views mix interactions with what they add to them, so a view's share is not that of its modality.
    Hence an ablation: the part's information is taken away from the trained model, and the overlap tells how
    much of the users' lists is left. A view goes with its columns; features are replaced by their mean over
    the items, and the graph generated for them is emptied; the knowledge graph loses its triples. Either
    takes its profile along; the other profiles and the pairwise view, which is one part with what it has
    learned of the features, stay as they are. A model that is trained without the part may
    do better than one that loses it: this measures what the model relies on, not what the part is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import polars as pl
import torch

from kdiffe_dgl.graph.bipartite import propagate
from kdiffe_dgl.graph.hetero import knowledge_graph
from kdiffe_dgl.graph.views import interaction_view, view_operator
from kdiffe_dgl.models.contrast import View
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.knowledge import KnowledgeView
from kdiffe_dgl.models.profiles import FACTS, PAIRS, ProfileSource, ProfileView
from kdiffe_dgl.serving.recommender import Recommender

__all__ = ["LIST_LENGTH", "part_weights", "score_shares"]

Tables = tuple[np.ndarray, np.ndarray]
LIST_LENGTH = 20
"""Items of a list of which the overlap is measured."""
MAIN, MULTIMODAL, PAIRWISE = "main view", "multimodal view", "pairwise view"
BIAS, KNOWLEDGE = "item bias", "knowledge graph"


def score_shares(users: np.ndarray, items: np.ndarray, parts: Mapping[str, slice]) -> dict[str, float]:
    """Return the share of each part in the differences between the scores of a user's items.

    Parameters
    ----------
    users, items
        Representations, ``[users, dim]`` and ``[items, dim]``; the score is the dot product.
    parts
        Columns of each part; together all columns.

    Returns
    -------
    dict of str to float
        They add up to 1, or are all 0 where no score differs.
    """
    gram = users.T.astype(np.float64) @ users
    centred = items.astype(np.float64) - items.mean(axis=0, dtype=np.float64)
    rows = (gram * (centred.T @ centred)).sum(axis=1)
    total = float(rows.sum())
    return {name: float(rows[columns].sum()) / total if total > 0 else 0.0 for name, columns in parts.items()}


def part_weights(
    model: KDiffE,
    recommender: Callable[[np.ndarray, np.ndarray], Recommender],
    representations: Tables,
    users: Sequence[str],
) -> pl.DataFrame:
    """Measure the parts of a model.

    Parameters
    ----------
    model
        The trained model.
    recommender
        Makes one of representations of users and items.
    representations
        Those of the model, ``[users, dim]`` and ``[items, dim]``.
    users
        Original ids of those whose lists are compared.

    Returns
    -------
    polars.DataFrame
        ``part``, ``kind`` (``view``, ``modality`` or ``knowledge``), ``weight``, ``share`` and ``overlap``,
        null where the measure says nothing of the part.
    """
    views, profiles = model.scored_modalities, model.profile_views()
    parts = _columns(model, profiles)
    shares = score_shares(*representations, parts)
    learned = {}
    if views is not None:
        learned = dict(zip(views.modalities, views.weights().detach().cpu().tolist(), strict=True))
    whole = recommender(*representations).recommend(users, LIST_LENGTH)
    overlaps = {
        part: _overlap(whole, recommender(*found).recommend(users, LIST_LENGTH))
        for part, found in _ablations(model, representations, parts, profiles)
    }
    rows: list[tuple[str, str, float | None, float | None, float | None]]
    rows = [(part, "view", None, share, overlaps.get(("view", part))) for part, share in shares.items()]
    named = dict.fromkeys([*learned, *(name for kind, name in overlaps if kind == "modality")])
    rows += [(name, "modality", learned.get(name), None, overlaps.get(("modality", name))) for name in named]
    if ("knowledge", KNOWLEDGE) in overlaps:
        rows.append((KNOWLEDGE, "knowledge", None, None, overlaps["knowledge", KNOWLEDGE]))
    measures = dict.fromkeys(("weight", "share", "overlap"), pl.Float64)
    return pl.DataFrame(rows, schema={"part": pl.Utf8, "kind": pl.Utf8, **measures}, orient="row")


def _columns(model: KDiffE, profiles: Sequence[ProfileView]) -> dict[str, slice]:
    """Return the columns of each part of the representations, in their order."""
    widths = {MAIN: model.config.dim}
    if model.scored_modalities is not None:
        widths[MULTIMODAL] = model.config.dim
    if model.item_bias is not None:
        widths[BIAS] = 1
    for view in profiles:
        widths[_profile_name(view.source)] = view.items.shape[1]
    ends = np.cumsum([0, *widths.values()]).tolist()
    return {name: slice(*bounds) for name, bounds in zip(widths, pairwise(ends), strict=True)}


def _profile_name(source: ProfileSource) -> str:
    if source == PAIRS:
        return PAIRWISE
    # "of" and "in": a modality that is called "facts" is another part.
    return f"profile of {source.kind}" if source.modality is None else f"profile in {source.modality}"


@torch.no_grad()
def _ablations(
    model: KDiffE, representations: Tables, parts: Mapping[str, slice], profiles: Sequence[ProfileView]
) -> Iterator[tuple[tuple[str, str], Tables]]:
    """Yield (kind, part) and the representations without it."""
    views = model.scored_modalities
    main, *others = model.score_views()
    if len(parts) > 1:
        for name, columns in parts.items():
            users, items = (np.delete(table, columns, axis=1) for table in representations)
            yield ("view", name), (users, items)
    has_facts = any(view.source == FACTS for view in profiles)
    if model.knowledge_encoder is None and has_facts:
        yield ("knowledge", KNOWLEDGE), _tables(model.joint([main, *others]), profiles, FACTS)
    if model.knowledge_encoder is not None:
        bare = KnowledgeView(
            knowledge_graph(model.edges.to("cpu"), torch.zeros(len(model.edges), dtype=torch.bool)),
            model.device,
        )
        encoded = model.knowledge_encoder(bare, model.entity_embedding, None)[: model.n_items]
        without = propagate(model.graphs.operator, model.user_embedding, encoded, model.config.layers)
        yield ("knowledge", KNOWLEDGE), _tables(model.joint([without, *others]), profiles, FACTS)
    if views is None:
        for source in (view.source for view in profiles):
            if source.modality is not None:
                yield ("modality", source.modality), _tables(model.joint([main]), profiles, source)
    else:
        nobody = torch.empty(0, dtype=torch.int64)
        empty = view_operator(interaction_view(nobody, nobody, model.n_users, model.n_items), model.device)
        projected, graphs = views.project(None), model.graphs
        for name, features in projected.items():
            same = {**projected, name: features.mean(dim=0).expand_as(features)}
            found = views.multimodal(
                same,
                model.user_embedding,
                model.entity_embedding[: model.n_items],
                graphs.operator,
                {**graphs.generated, name: empty},
            )
            yield (
                ("modality", name),
                _tables(model.joint([main, found]), profiles, ProfileSource("features", name)),
            )


def _tables(learned: View, profiles: Sequence[ProfileView], lost: ProfileSource) -> Tables:
    """Return representations without the profile of one source."""
    left = [view for view in profiles if view.source != lost]
    users, items = (side.cpu().numpy() for side in learned)
    return np.hstack([users, *(view.users for view in left)]), np.hstack(
        [items, *(view.items for view in left)]
    )


def _overlap(whole: pl.DataFrame, other: pl.DataFrame) -> float:
    """Return the share of the lists' items that the other lists hold, too."""
    return len(whole.join(other, on=["user", "item"], how="semi")) / max(1, len(whole))
