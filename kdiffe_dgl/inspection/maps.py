"""A map of the items by their representations, coloured by what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.serving.recommender import nearest, readable_id
from kg_builders.schema import KnowledgeGraph

__all__ = ["Colouring", "EmbeddingMap", "Projection", "choose_colouring", "embedding_map"]

Projection = Literal["pca", "tsne"]
SHOWN_VALUES = 8
"""Values with a colour of their own."""
OTHER, NOTHING = "other", "none"
_FEWEST_POINTS = 3


@dataclass(frozen=True)
class Colouring:
    """What colours the items.

    Parameters
    ----------
    name
        The relation or entity for people; ``interactions`` where items are coloured by their number.
    values
        A value an item, ``[items]``: text, or the number of interactions.
    shown
        Values with a colour, in the order of the legend; empty for numbers.
    rule
        How the values were found, in a sentence.
    """

    name: str
    values: pl.Series
    shown: tuple[str, ...]
    rule: str


@dataclass(frozen=True)
class EmbeddingMap:
    """Items in the plane.

    Parameters
    ----------
    points
        ``item``, ``id``, ``label``, ``x``, ``y``, ``value`` and ``interactions``.
    colouring
        What ``value`` is.
    projection
        How the items came into the plane.
    explained
        Share of the variance of the items that the two axes hold, for PCA.
    items
        How many items there are; those of the map are drawn from them.
    """

    points: pl.DataFrame
    colouring: Colouring
    projection: Projection
    explained: tuple[float, float] | None
    items: int


def embedding_map(
    items: np.ndarray, dataset: RecDataset, colouring: Colouring, projection: Projection, most: int, seed: int
) -> EmbeddingMap | None:
    """Project the items' representations into the plane.

    Parameters
    ----------
    items
        ``[items, dim]``. They are scaled to length 1, so that the map shows what an item is like and not how
        popular it is, which in most models its length tells.
    most
        Most items on the map; of more, as many are drawn at random.
    seed
        Of the draw, and of t-SNE.

    Returns
    -------
    EmbeddingMap
        Null where there are too few items to map.
    """
    if len(items) < _FEWEST_POINTS:
        return None
    rng = np.random.default_rng(seed)
    chosen = np.arange(len(items))
    if len(items) > most:
        chosen = np.sort(rng.choice(len(items), most, replace=False))
    rows = items[chosen].astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    places, explained = _project(rows, projection, seed)
    counts = np.bincount(dataset.pairs("train")[:, 1], minlength=dataset.n_items)
    table = dataset.items[chosen].select("item", "id", "label")
    points = table.with_columns(
        x=places[:, 0],
        y=places[:, 1],
        value=colouring.values.gather(chosen),
        interactions=pl.Series(counts[chosen]),
    )
    return EmbeddingMap(points, colouring, projection, explained, len(items))


def _project(
    rows: npt.NDArray[np.float64], projection: Projection, seed: int
) -> tuple[npt.NDArray[np.float64], tuple[float, float] | None]:
    # Imported here: scikit-learn takes a while, and not every use of a run draws a map.
    if projection == "tsne":
        from sklearn.manifold import TSNE  # noqa: PLC0415

        perplexity = min(30.0, (len(rows) - 1) / 3)
        made = TSNE(perplexity=perplexity, init="random" if rows.shape[1] < 2 else "pca", random_state=seed)
        return made.fit_transform(rows.astype(np.float32)).astype(np.float64), None
    from sklearn.decomposition import PCA  # noqa: PLC0415

    if rows.shape[1] < 2:
        return np.column_stack([rows[:, 0], np.zeros(len(rows))]), None
    if not np.ptp(rows, axis=0).any():
        return np.zeros((len(rows), 2)), (0.0, 0.0)
    found = PCA(2, random_state=seed)
    places = found.fit_transform(rows)
    first, second = found.explained_variance_ratio_
    return places, (float(first), float(second))


def choose_colouring(dataset: RecDataset, wanted: str | None) -> Colouring:
    """Return the values of the items in a relation, or which items have an entity as a fact.

    Parameters
    ----------
    wanted
        Name or label of a relation; or id, label or ``kind:id`` of an entity. Null: the relation that tells
        most items apart, by the entropy of the values that get a colour; the number of interactions where
        there is no knowledge graph.

    Raises
    ------
    InputError
        If there is no such relation or entity (the nearest are named), or several entities of the name.
    """
    kg, wanted = dataset.kg, None if wanted is None else readable_id(wanted)
    if kg is None or not kg.n_triples:
        if wanted is not None:
            raise InputError(
                f"colour by {wanted!r}: data set {dataset.name} has no knowledge graph; expected no colour"
            )
        return _by_interactions(dataset)
    facts = _item_facts(kg, dataset.n_items)
    if wanted is None:
        by_relation = facts.partition_by("relation", as_dict=True)
        entropies = [(_entropy(own, dataset.n_items), -int(key[0])) for key, own in by_relation.items()]
        entropy, number = max(entropies, default=(0.0, 0))
        return _by_relation(kg, facts, -number, dataset.n_items) if entropy else _by_interactions(dataset)
    relation = kg.relations.filter((pl.col("name") == wanted) | (pl.col("label") == wanted))
    if len(relation):
        return _by_relation(kg, facts, int(relation["relation"][0]), dataset.n_items)
    return _by_entity(kg, facts, _entity(kg, wanted), dataset.n_items)


def _item_facts(kg: KnowledgeGraph, n_items: int) -> pl.DataFrame:
    """Return ``item``, ``relation`` and ``entity`` of triples with an item, from either end, each once."""
    ends = kg.triples.select("head", "relation", "tail")
    parts = [
        ends.select(item=pl.col(one).cast(pl.Int64), relation="relation", entity=pl.col(other).cast(pl.Int64))
        for one, other in (("head", "tail"), ("tail", "head"))
    ]
    return pl.concat(parts).filter(pl.col("item") < n_items).unique(maintain_order=True)


def _counted(facts: pl.DataFrame) -> pl.DataFrame:
    """Return the values that facts have, with their numbers of items, the most frequent first."""
    counted = facts.group_by("entity").agg(pl.len().alias("items"))
    return counted.sort("items", "entity", descending=[True, False])


def _assigned(facts: pl.DataFrame) -> pl.DataFrame:
    """Return ``item`` and ``entity``: of its coloured values, the one that fewest items have."""
    own = facts.join(_counted(facts).head(SHOWN_VALUES), on="entity")
    return own.sort("items", "entity").unique("item", keep="first").select("item", "entity")


def _entropy(facts: pl.DataFrame, n_items: int) -> float:
    counts = _assigned(facts)["entity"].value_counts()["count"].to_numpy()
    shares = counts / max(1, n_items)
    return float(-(shares * np.log(shares)).sum())


def _by_relation(kg: KnowledgeGraph, facts: pl.DataFrame, relation: int, n_items: int) -> Colouring:
    row = kg.relations.row(relation, named=True)
    own = facts.filter(pl.col("relation") == relation)
    counted, assigned = _counted(own), _assigned(own)
    shown = counted["entity"].head(SHOWN_VALUES)
    names = dict(zip(shown, _names(kg, shown), strict=True))
    has_any = np.zeros(n_items, dtype=bool)
    has_any[own["item"].to_numpy()] = True
    values = np.where(has_any, OTHER, NOTHING).astype(object)
    values[assigned["item"].to_numpy()] = [names[entity] for entity in assigned["entity"]]
    told = "all values"
    if len(counted) > len(shown):
        told = f"the {len(shown)} most frequent of {len(counted):,} values"
    rule = f"Colours are {told}; an item with several of them has the colour of the rarest."
    return Colouring(
        row["label"] or row["name"], pl.Series(values, dtype=pl.Utf8), tuple(names.values()), rule
    )


def _by_entity(kg: KnowledgeGraph, facts: pl.DataFrame, entity: int, n_items: int) -> Colouring:
    (name,) = _names(kg, pl.Series([entity]))
    has = np.zeros(n_items, dtype=bool)
    has[facts.filter(pl.col("entity") == entity)["item"].to_numpy()] = True
    values = pl.Series(np.where(has, name, NOTHING).tolist(), dtype=pl.Utf8)
    return Colouring(name, values, (name,), f"{int(has.sum()):,} items have it as a fact.")


def _by_interactions(dataset: RecDataset) -> Colouring:
    counts = np.bincount(dataset.pairs("train")[:, 1], minlength=dataset.n_items)
    return Colouring("interactions", pl.Series(counts), (), "Colours are training interactions.")


def _names(kg: KnowledgeGraph, entities: pl.Series) -> list[str]:
    """Return labels; several entities of one label get their kinds and ids."""
    rows = kg.entities[entities.to_list()].select("kind", "id", pl.col("label").fill_null(pl.col("id")))
    seen = rows["label"].is_duplicated() | rows["label"].is_in([OTHER, NOTHING])
    return [
        f"{label} ({kind} {id_})" if clash else label
        for (kind, id_, label), clash in zip(rows.iter_rows(), seen, strict=True)
    ]


def _entity(kg: KnowledgeGraph, wanted: str) -> int:
    named = kg.entities.filter(pl.concat_str("kind", pl.lit(":"), "id") == wanted)
    if not len(named):
        named = kg.entities.filter((pl.col("id") == wanted) | (pl.col("label") == wanted))
    if len(named) == 1:
        return int(named["entity"][0])
    if len(named) > 1:
        forms = ", ".join(f"'{kind}:{id_}'" for kind, id_ in named.head(3).select("kind", "id").iter_rows())
        raise InputError(
            f"colour by {wanted!r}: {len(named)} entities are called so; expected one of {forms}"
        )
    labels = kg.entities["label"].drop_nulls()
    near = nearest(wanted, pl.concat([kg.relations["name"], labels.unique(maintain_order=True)]))
    offered = ", ".join(repr(name) for name in near or kg.relations["name"].head(5))
    raise InputError(
        f"colour by {wanted!r}: no relation or entity is called so; "
        f"{'the nearest are' if near else 'expected an entity, or a relation such as'} {offered}"
    )
