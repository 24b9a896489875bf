"""Steps that take triples which say what another triple says: repeats, inverses, repeats across relations."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.pruning.working import Mask, WorkingGraph

__all__ = ["directed_pairs", "take_across_relations", "take_duplicates", "take_inverse"]


def take_duplicates(graph: WorkingGraph) -> None:
    """Take triples that say what another says: equal ones, and in a symmetric relation the reverse.

    The one that stays is the first by head and source.
    """
    gone = np.zeros(len(graph.rows), dtype=bool)
    mirrored = graph.symmetric[graph.relation]
    for chosen in (mirrored, ~mirrored):
        places = np.flatnonzero(chosen) if not chosen.all() else None
        if places is not None and not len(places):
            continue
        repeated = _repeated(graph, places, bool(chosen is mirrored))
        gone[repeated] = True
    names = np.unique(graph.relation[gone])
    examples = [graph.names[relation] for relation in names]
    graph.take(gone, "duplicate triples", "triples that say what another says", examples)


def take_inverse(graph: WorkingGraph, overlap: float) -> None:
    """Take the triples of a relation that mirror those of another, if they are ``overlap`` of its triples."""
    reason = f"triples whose reverse is in another relation that mirrors at least {overlap:.0%} of theirs"
    is_head = np.zeros(graph.n_entities, dtype=bool)
    is_tail = np.zeros(graph.n_entities, dtype=bool)
    is_head[graph.head], is_tail[graph.tail] = True, True
    # Only what is a head here and a tail there can be mirrored; in most graphs few triples are left.
    places = np.flatnonzero(is_head[graph.tail] & is_tail[graph.head])
    gone = np.zeros(len(graph.rows), dtype=bool)
    if not len(places) or graph.n_relations < 2:
        graph.take(gone, "inverse relations", reason)
        return
    forward = pl.DataFrame(
        {"head": graph.head[places], "relation": graph.relation[places], "tail": graph.tail[places]}
    ).with_columns(pl.Series("at", places))
    mirrored = forward.join(
        forward.select(head="tail", tail="head", other="relation").unique(), on=["head", "tail"]
    ).filter(pl.col("relation") != pl.col("other"))
    started = np.bincount(
        graph.relation, weights=graph.is_item[graph.head].astype(np.float64), minlength=graph.n_relations
    )
    relations = pl.DataFrame(
        {
            "relation": np.arange(graph.n_relations, dtype=np.int32),
            "name": graph.names,
            "triples": graph.sizes,
            "from_items": started / np.maximum(graph.sizes, 1),
        }
    )
    others = relations.select(other="relation", other_name="name", other_from="from_items")
    pairs = (
        mirrored.group_by("relation", "other")
        .len()
        .join(relations, on="relation")
        .join(others, on="other")
        .filter(pl.col("len") >= overlap * pl.col("triples"))
        # The one that goes is the one that begins at fewer items; then, by the alphabet.
        .sort("from_items", "name", "other_name", descending=[False, True, False])
    )
    merged: dict[int, tuple[int, str]] = {}
    kept_whole: set[int] = set()
    for relation, other, name, other_name in pairs.select(
        "relation", "other", "name", "other_name"
    ).iter_rows():
        if relation in merged or other in merged or relation in kept_whole:
            continue
        merged[relation] = (other, f"{name} (inverse of {other_name})")
        kept_whole.add(other)
    target = np.full(graph.n_relations, -1, dtype=np.int32)
    for relation, (other, _) in merged.items():
        target[relation] = other
    taken = mirrored.filter(pl.Series(target).gather(mirrored["relation"]) == mirrored["other"])
    gone[taken["at"].to_numpy()] = True
    graph.take(gone, "inverse relations", reason, [text for _, text in merged.values()])


def take_across_relations(graph: WorkingGraph) -> None:
    """Of several relations between the same head and tail, leave the triple of the rarest, the most specific.

    Ties go to the first name in the alphabet. A graph convolution that knows no relations passes a message
    for each triple, so that pairs which many relations join count many times.
    """
    reason = "triples between a head and a tail that a rarer relation joins"
    low, high = directed_pairs(graph)
    table = pl.DataFrame({"low": low, "high": high, "relation": graph.relation}).with_row_index("at")
    rank = np.empty(graph.n_relations, dtype=np.int64)
    rank[sorted(range(graph.n_relations), key=lambda at: (graph.sizes[at], graph.names[at]))] = np.arange(
        graph.n_relations
    )
    several = table.filter(pl.struct("low", "high").is_duplicated())
    several = several.with_columns(pl.Series("rank", rank[several["relation"].to_numpy()]))
    worse = several.filter(pl.col("rank") > pl.col("rank").min().over("low", "high"))
    gone = np.zeros(len(graph.rows), dtype=bool)
    gone[worse["at"].to_numpy()] = True
    names = worse.group_by("relation").len().sort("len", "relation", descending=[True, False])
    examples = [graph.names[relation] for relation in names["relation"]]
    graph.take(gone, "duplicates across relations", reason, examples)


def directed_pairs(graph: WorkingGraph) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return head and tail of each triple, in a symmetric relation the smaller number first."""
    turned = graph.symmetric[graph.relation] & (graph.head > graph.tail)
    if not turned.any():
        return graph.head, graph.tail
    return np.where(turned, graph.tail, graph.head), np.where(turned, graph.head, graph.tail)


def _repeated(graph: WorkingGraph, places: NDArray[np.int64] | None, mirrored: bool) -> NDArray[np.int64]:
    """Return the places of triples that say what another among ``places`` (null: all) says."""
    head, relation, tail = (
        column if places is None else column[places] for column in (graph.head, graph.relation, graph.tail)
    )
    low, high = (np.minimum(head, tail), np.maximum(head, tail)) if mirrored else (head, tail)
    equal = _equal_neighbours(low, relation, high)
    if equal is not None and not equal.any():
        return np.zeros(0, dtype=np.int64)
    if equal is None:
        several = _occurs_again(low, relation, high)
        few = np.flatnonzero(several)
    else:
        few = np.flatnonzero(np.concatenate([equal, [False]]) | np.concatenate([[False], equal]))
    at = few if places is None else places[few]
    sources = graph.kg.triples["source"].gather(graph.rows[at])
    table = pl.DataFrame(
        {"low": low[few], "relation": relation[few], "high": high[few], "head": head[few]}
    ).with_columns(sources, pl.Series("at", at))
    first = table.sort("low", "relation", "high", "head", "source", "at", nulls_last=True).unique(
        ["low", "relation", "high"], keep="first", maintain_order=True
    )
    return np.setdiff1d(at, first["at"].to_numpy())


def _equal_neighbours(
    low: NDArray[np.int32], relation: NDArray[np.int32], high: NDArray[np.int32]
) -> Mask | None:
    """Return which rows equal the next one, or null where the rows are not sorted."""
    same_low, same_relation = low[:-1] == low[1:], relation[:-1] == relation[1:]
    ascends = (low[:-1] < low[1:]) | (
        same_low & ((relation[:-1] < relation[1:]) | (same_relation & (high[:-1] <= high[1:])))
    )
    if not ascends.all():
        return None
    return same_low & same_relation & (high[:-1] == high[1:])


def _occurs_again(low: NDArray[np.int32], relation: NDArray[np.int32], high: NDArray[np.int32]) -> Mask:
    table = pl.DataFrame({"low": low, "relation": relation, "high": high})
    return table.select(pl.struct("low", "relation", "high").is_duplicated()).to_series().to_numpy()
