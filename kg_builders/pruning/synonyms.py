"""Steps that merge relations which say the same: of the same two entities, or of the same sets of items.

Likeness is the Jaccard index of what two relations say. Containment is not asked for: "directed by" is
contained in "credits" and says more, not less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.pruning.duplicates import directed_pairs
from kg_builders.pruning.hashing import scramble
from kg_builders.pruning.working import WorkingGraph

__all__ = ["take_same_item_sets", "take_synonymous"]

MIN_TRIPLES = 5
"""Relations with fewer triples are alike by chance."""


def take_synonymous(graph: WorkingGraph, overlap: float) -> None:
    """Merge relations between the same heads and tails into the larger one; ties keep the first name.

    Triples that the kept relation has too are taken; the few that only the other has move to it.

    Parameters
    ----------
    overlap
        Least Jaccard index of their (head, tail) pairs.
    """
    name = "synonymous relations"
    reason = f"relations between the same heads and tails as another (Jaccard index at least {overlap:.2f})"
    gone = np.zeros(len(graph.rows), dtype=bool)
    pairs = _shared_pairs(graph) if len(_partners(graph, overlap)) else None
    if pairs is None or not len(pairs):
        graph.take(gone, name, reason)
        return
    sizes = graph.sizes
    alike = []
    for first, second, shared in pairs.iter_rows():
        jaccard = shared / (sizes[first] + sizes[second] - shared)
        if (
            jaccard >= overlap
            and min(sizes[first], sizes[second]) >= MIN_TRIPLES
            and graph.symmetric[first] == graph.symmetric[second]
        ):
            alike.append((first, second, jaccard))
    merged = _merge(graph, alike)
    target = np.full(graph.n_relations, -1, dtype=np.int32)
    for relation, (other, _) in merged.items():
        target[relation] = other
    into = target[graph.relation]
    # A pair that a kept relation has already, or that two merged relations bring, is told once.
    low, high = directed_pairs(graph)
    involved = np.flatnonzero(np.isin(graph.relation, [*merged, *(other for other, _ in merged.values())]))
    at_last = np.where(into < 0, graph.relation, into)[involved]
    table = pl.DataFrame(
        {"low": low[involved], "high": high[involved], "into": at_last, "moves": into[involved] >= 0}
    ).with_columns(pl.Series("at", involved))
    kept = table.sort("moves", "at").unique(["low", "high", "into"], keep="first", maintain_order=True)
    again = np.setdiff1d(table.filter("moves")["at"].to_numpy(), kept["at"].to_numpy())
    gone[again] = True
    moves = (into >= 0) & ~gone
    examples = [text for _, text in merged.values()]
    graph.take(gone, name, reason, examples, (moves, into[moves]))


def take_same_item_sets(graph: WorkingGraph, overlap: float) -> None:
    """Take a relation whose tails stand for the same sets of items as those of another relation.

    "Brand: Sony" and "shop: Sony store" join the same items. Two relations are alike if, with each tail of
    one renamed to the tail of the other with the most alike set of items, the Jaccard index of their
    (item, tail) pairs is at least ``overlap``. Tails of a single item match nothing; relations whose
    tails lead on to other entities are left alone. Pairs of tails are found by MinHash (Broder, 1997,
    *On the resemblance and containment of documents*), in time proportional to the triples, and then
    counted exactly: with a Jaccard index of 0.9 a pair of tails is overlooked once in 28 times.
    """
    name = "relations with the same item sets"
    reason = f"relations whose tails join the same items as another's (Jaccard index at least {overlap:.2f})"
    chosen = _partners(graph, overlap)
    facts = _item_facts(graph, chosen) if len(chosen) else None
    alike = [] if facts is None else _alike(graph, facts, overlap)
    merged = _merge(graph, alike)
    graph.take_relations(list(merged), name, reason, [text for _, text in merged.values()])


@dataclass(frozen=True)
class _Facts:
    """(item, tail) pairs grouped by relation and tail.

    Parameters
    ----------
    item
        [pairs] in the order of groups.
    group
        [pairs] number of the group.
    relation, size, start
        [groups] relation, number of items and first pair.
    """

    item: NDArray[np.int32]
    group: NDArray[np.int64]
    relation: NDArray[np.int32]
    size: NDArray[np.int64]
    start: NDArray[np.int64]


def _partners(graph: WorkingGraph, overlap: float) -> NDArray[np.int64]:
    """Return relations of which another has so similar a number of triples that the two can be alike."""
    order = np.argsort(graph.sizes, kind="stable")
    sizes = graph.sizes[order]
    near = (sizes[:-1] >= overlap * sizes[1:]) & (sizes[:-1] >= MIN_TRIPLES)
    chosen = np.concatenate([near, [False]]) | np.concatenate([[False], near])
    return np.sort(order[chosen[: len(order)]])


def _merge(graph: WorkingGraph, alike: list[tuple[int, int, float]]) -> dict[int, tuple[int, str]]:
    """Choose which relation of each pair goes: the smaller one, or the later one in the alphabet.

    Returns
    -------
    dict
        Relation that goes to the relation that stays and words for it.
    """
    ordered = []
    for first, second, jaccard in alike:
        keep, lose = sorted((first, second), key=lambda at: (-graph.sizes[at], graph.names[at]))
        ordered.append((-jaccard, graph.names[keep], graph.names[lose], keep, lose))
    merged: dict[int, tuple[int, str]] = {}
    stays: set[int] = set()
    for negative, keep_name, lose_name, keep, lose in sorted(ordered):
        if lose in merged or keep in merged or lose in stays:
            continue
        merged[lose] = (keep, f"{lose_name} (as {keep_name}, {-negative:.3f})")
        stays.add(keep)
    return merged


def _shared_pairs(graph: WorkingGraph) -> pl.DataFrame:
    """Return columns ``relation``, ``other`` and ``shared``: pairs of entities that both relations join."""
    low, high = directed_pairs(graph)
    key = low.astype(np.int64) * graph.n_entities + high
    ordered = np.sort(key)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(again):
        return pl.DataFrame()
    place = np.searchsorted(again, key)
    several = again[np.minimum(place, len(again) - 1)] == key
    table = pl.DataFrame({"key": key[several], "relation": graph.relation[several]}).unique()
    return (
        table.join(table.rename({"relation": "other"}), on="key")
        .filter(pl.col("relation") < pl.col("other"))
        .group_by("relation", "other")
        .agg(pl.len().alias("shared"))
        .sort("relation", "other")
    )


def _item_facts(graph: WorkingGraph, chosen: NDArray[np.int64]) -> _Facts | None:
    """Return (item, tail) pairs of those chosen relations whose tails lead to nothing but items."""
    head_item, tail_item = graph.is_item[graph.head], graph.is_item[graph.tail]
    inner = ~head_item & ~tail_item
    leads_on = np.zeros(graph.n_entities, dtype=bool)
    leads_on[graph.head[inner]] = True
    leads_on[graph.tail[inner]] = True
    wanted = np.zeros(graph.n_relations, dtype=bool)
    wanted[chosen] = True
    unfit = (head_item == tail_item) | leads_on[graph.head] | leads_on[graph.tail]
    wanted[graph.relation[unfit & wanted[graph.relation]]] = False
    if wanted.sum() < 2:
        return None
    places = np.flatnonzero(wanted[graph.relation])
    forward = head_item[places]
    item = np.where(forward, graph.head[places], graph.tail[places])
    other = np.where(forward, graph.tail[places], graph.head[places])
    key = graph.relation[places].astype(np.int64) * graph.n_entities + other
    order = np.argsort(key, kind="stable")
    key, item = key[order], item[order]
    starts = np.concatenate([[True], key[1:] != key[:-1]])
    start = np.flatnonzero(starts)
    relation = (key[start] // graph.n_entities).astype(np.int32)
    return _Facts(item, np.cumsum(starts) - 1, relation, np.diff(np.append(start, len(key))), start)


def _alike(graph: WorkingGraph, facts: _Facts, overlap: float) -> list[tuple[int, int, float]]:
    """Return pairs of relations with the same item sets and their Jaccard index."""
    found = []
    for turn in range(2):
        hashes = [
            np.minimum.reduceat(
                (scramble(np.arange(graph.n_entities), salt) >> np.uint64(32))[facts.item], facts.start
            )
            for salt in (2 * turn, 2 * turn + 1)
        ]
        groups = pl.DataFrame(
            {
                "key": hashes[0] << np.uint64(32) | hashes[1],
                "relation": facts.relation,
                "size": facts.size,
                "group": np.arange(len(facts.size)),
            }
        ).filter(pl.col("size") > 1)
        # Of tails of one relation with the same key, the largest stands for them.
        groups = groups.sort("size", "group", descending=[True, False]).unique(
            ["key", "relation"], keep="first", maintain_order=True
        )
        found.append(
            groups.join(
                groups.select("key", other="relation", other_size="size", other_group="group"), on="key"
            )
            .filter(pl.col("relation") < pl.col("other"))
            .drop("key")
        )
    tails = pl.concat(found).unique(["group", "other_group"])
    smaller, larger = pl.min_horizontal("size", "other_size"), pl.max_horizontal("size", "other_size")
    tails = tails.filter(smaller * 2 >= larger).with_columns(smaller.alias("most"))
    sizes = graph.sizes
    alike = []
    for (first, second), matched in tails.group_by(["relation", "other"], maintain_order=False):
        a, b = int(str(first)), int(str(second))
        least = overlap * (sizes[a] + sizes[b]) / (1 + overlap)
        if min(sizes[a], sizes[b]) < MIN_TRIPLES or matched["most"].sum() < 0.5 * least:
            continue
        shared = _shared_items(facts, matched)
        jaccard = shared / (sizes[a] + sizes[b] - shared)
        if jaccard >= overlap:
            alike.append((a, b, float(jaccard)))
    return alike


def _shared_items(facts: _Facts, matched: pl.DataFrame) -> int:
    """Count the (item, tail) pairs that two relations share when alike tails are matched one to one."""
    pairs = pl.DataFrame({"group": facts.group, "item": facts.item})
    ours = pairs.join(matched.select("group", "other_group"), on="group")
    theirs = pairs.join(matched.select(group="other_group").unique(), on="group", how="semi")
    both = ours.join(theirs.rename({"group": "other_group"}), on=["other_group", "item"], how="semi")
    counts = both.group_by("group", "other_group").len().sort(
        "len", "group", "other_group", descending=[True, False, False]
    )  # fmt: skip
    best = counts.unique("group", keep="first", maintain_order=True).unique(
        "other_group", keep="first", maintain_order=True
    )
    return int(best["len"].sum())
