"""What each relation holds, in one pass over the triples."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.reporting.structure import Structure, sorted_distinct
from kg_builders.schema import KnowledgeGraph

__all__ = ["describe_relations"]

MOST_ENDS = 3
"""Pairs of kinds that are told of a relation."""


def describe_relations(kg: KnowledgeGraph, structure: Structure, n_examples: int) -> list[dict[str, Any]]:
    """Describe each relation, that with most triples first; examples are spread evenly over its triples.

    Returns
    -------
    list of dict
        ``name``, ``label``, ``symmetric``, ``triples``, ``heads``, ``tails`` (distinct), ``items`` and
        ``item_share`` (items in its triples), ``ends`` (kinds of its heads and tails, with triples),
        ``commonest_tail`` (the tail of most triples, with their share) and ``examples``.
    """
    count, number = max(kg.n_entities, 1), kg.n_relations
    triples = np.bincount(structure.relations, minlength=number)
    head_keys, _ = sorted_distinct(structure.relations * count + structure.heads)
    tail_keys, tail_triples = sorted_distinct(structure.relations * count + structure.tails)
    heads, tails = (np.bincount(keys // count, minlength=number) for keys in (head_keys, tail_keys))
    touched = _touched(structure, head_keys, tail_keys, count, number)
    commonest = _commonest(tail_keys, tail_triples, count, number)
    ends = _ends(kg, structure)
    examples = _examples(kg, structure.relations, triples, n_examples)
    labels, kinds = kg.entities["label"], kg.entities["kind"]
    n_items = max(int(structure.items.sum()), 1)
    table = []
    for relation, name, label, symmetric in kg.relations.select(
        "relation", "name", "label", "symmetric"
    ).iter_rows():
        tail = commonest[relation]
        table.append(
            {
                "name": name,
                "label": label,
                "symmetric": bool(symmetric),
                "triples": int(triples[relation]),
                "heads": int(heads[relation]),
                "tails": int(tails[relation]),
                "items": int(touched[relation]),
                "item_share": float(touched[relation] / n_items),
                "ends": ends.get(relation, []),
                "commonest_tail": None
                if tail is None
                else {
                    "label": labels[tail[0]],
                    "kind": kinds[tail[0]],
                    "share": tail[1] / int(triples[relation]),
                },
                "examples": examples[relation],
            }
        )
    return sorted(table, key=lambda row: (-row["triples"], row["name"]))


def _touched(
    structure: Structure,
    head_keys: NDArray[np.int64],
    tail_keys: NDArray[np.int64],
    count: int,
    number: int,
) -> NDArray[np.int64]:
    """Count the items among the heads and tails of each relation."""
    item_heads = head_keys[structure.items[head_keys % count]]
    item_tails = tail_keys[structure.items[tail_keys % count]]
    # Most relations lead from items to others, and then there is nothing to merge.
    keys = sorted_distinct(np.concatenate([item_heads, item_tails]))[0] if len(item_tails) else item_heads
    return np.bincount(keys // count, minlength=number)


def _commonest(
    tail_keys: NDArray[np.int64], tail_triples: NDArray[np.int64], count: int, number: int
) -> list[tuple[int, int] | None]:
    """Return the tail of most triples of each relation and their number; ties go to the first entity."""
    bounds = np.searchsorted(tail_keys, np.arange(number + 1) * count).tolist()
    found: list[tuple[int, int] | None] = [None] * number
    for relation, (start, end) in enumerate(pairwise(bounds)):
        if end > start:
            place = start + int(np.argmax(tail_triples[start:end]))
            found[relation] = (int(tail_keys[place]) - relation * count, int(tail_triples[place]))
    return found


def _ends(kg: KnowledgeGraph, structure: Structure) -> dict[int, list[dict[str, Any]]]:
    """Return the commonest pairs of kinds that each relation joins."""
    names = kg.entities["kind"].unique().sort()
    code = kg.entities["kind"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    width = max(len(names), 1)
    keys, totals = sorted_distinct(
        (structure.relations * width + code[structure.heads]) * width + code[structure.tails]
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for place in np.lexsort((keys, -totals)):
        relation, pair = divmod(int(keys[place]), width * width)
        told = found.setdefault(relation, [])
        if len(told) < MOST_ENDS:
            head, tail = divmod(pair, width)
            told.append({"head": names[head], "tail": names[tail], "triples": int(totals[place])})
    return found


def _examples(
    kg: KnowledgeGraph, relations: NDArray[np.int64], triples: NDArray[np.int64], n_examples: int
) -> list[list[dict[str, Any]]]:
    """Return examples of each relation."""
    # A stable sort of 16-bit numbers is a radix sort.
    narrow = relations.astype(np.int16) if kg.n_relations < 2**15 else relations
    order = np.argsort(narrow, kind="stable")
    starts = np.cumsum(triples) - triples
    labels = kg.entities["label"]
    found = []
    for start, total in zip(starts.tolist(), triples.tolist(), strict=True):
        number = min(n_examples, total)
        places = (
            order[[start + total * index // number for index in range(number)]].tolist() if number else []
        )
        chosen = kg.triples[places].select("head", "tail", "source")
        found.append(
            [
                {"head": labels[head], "tail": labels[tail], "source": source}
                for head, tail, source in chosen.iter_rows()
            ]
        )
    return found
