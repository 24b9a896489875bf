"""What a graph says more than once, and what it doesn't tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kg_builders.reporting.structure import Ints, Structure, sorted_distinct
from kg_builders.schema import KnowledgeGraph

__all__ = ["describe_redundancy", "same_facts"]

MIN_OVERLAP = 0.05
"""Share of the smaller relation below which an overlap is not told."""
MOST_PAIRS = 20


def describe_redundancy(kg: KnowledgeGraph, structure: Structure) -> dict[str, Any]:
    """Find repeated triples, and relations that say what others say.

    With the 0/1 matrix ``M`` of pairs of entities and directed relations, ``Mᵀ M`` counts the pairs that two
    relations share, in the same direction or in the other, for all relations at once.

    Returns
    -------
    dict
        ``duplicate_triples``: those that another says, in a symmetric relation also its reverse; ``loops``:
        triples from an entity to itself; ``overlapping`` and ``inverse``: pairs of relations that join the
        same (head, tail), or the same in reverse, with the number and the share of the smaller relation;
        ``both_ways``: relations not marked as symmetric with the share of their triples that they hold in
        both directions.
    """
    names = kg.relations["name"].to_list()
    sizes = np.bincount(structure.cells.column // 2, minlength=len(names))
    first, second, same, shared = _shared_pairs(structure, len(names))
    apart = first != second
    smaller = np.maximum(np.minimum(sizes[first], sizes[second]), 1)
    share = shared / smaller
    told = {}
    for key, chosen in (("overlapping", apart & same), ("inverse", apart & ~same)):
        places = np.flatnonzero(chosen & (share >= MIN_OVERLAP))
        places = places[np.lexsort((second[places], first[places], -share[places], -shared[places]))]
        told[key] = [
            {
                "relations": _smaller_first(names, sizes, int(first[at]), int(second[at])),
                "triples": int(shared[at]),
                "share": float(share[at]),
            }
            for at in places[:MOST_PAIRS]
        ]
    both = np.flatnonzero(~apart & (2 * shared / np.maximum(sizes[first], 1) >= MIN_OVERLAP))
    return {
        "duplicate_triples": kg.n_triples - len(structure.cells.column),
        "loops": int((structure.heads == structure.tails).sum()),
        **told,
        "both_ways": [
            {"relation": names[first[at]], "share": float(2 * shared[at] / sizes[first[at]])} for at in both
        ],
    }


def same_facts(kg: KnowledgeGraph, structure: Structure, n_examples: int) -> dict[str, Any]:
    """Find items that the graph can't tell apart, because they have the same facts.

    Each fact of an item, a relation with its direction and other end, becomes a pseudo-random number; the
    sum of an item's numbers stands for the set. Two sets share a 64-bit sum by chance once in 10^19 pairs.

    Returns
    -------
    dict
        ``items``: items that share all their facts with another; ``groups``: how many such sets of items;
        ``examples``: a few labels of each of the largest groups, with its size and number of facts.
    """
    signature = np.zeros(kg.n_entities, dtype=np.uint64)
    backwards = ~structure.symmetric[structure.relations]
    for ends, others, turned in (
        (structure.heads, structure.tails, np.zeros(1, dtype=bool)),
        (structure.tails, structure.heads, backwards),
    ):
        told = structure.items[ends]
        direction = turned[told] if len(turned) == len(told) else turned
        fact = (2 * structure.relations[told] + direction) * kg.n_entities + others[told]
        np.add.at(signature, ends[told], _scramble(fact))
    known = np.flatnonzero(structure.items & (structure.facts > 0))
    order = known[np.argsort(signature[known], kind="stable")]
    ordered = signature[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else known
    sizes = np.diff(np.append(starts, len(ordered)))
    groups = np.flatnonzero(sizes > 1)
    largest = groups[np.argsort(-sizes[groups], kind="stable")][:n_examples]
    labels = kg.entities["label"]
    return {
        "items": int(sizes[groups].sum()),
        "groups": len(groups),
        "examples": [
            {
                "items": int(sizes[group]),
                "facts": int(structure.facts[order[starts[group]]]),
                "labels": [labels[int(at)] for at in order[starts[group] : starts[group] + sizes[group]][:3]],
            }
            for group in largest
        ],
    }


def _shared_pairs(structure: Structure, number: int) -> tuple[Ints, Ints, NDArray[np.bool_], Ints]:
    """Return two relations, whether in the same direction, and how many pairs both join, for ``MᵀM``."""
    cells = structure.cells
    per_row = np.bincount(cells.row, minlength=len(cells.low))
    several = per_row[cells.row] > 1
    matrix = sparse.csr_matrix(
        (np.ones(int(several.sum()), dtype=np.int64), (cells.row[several], cells.column[several])),
        shape=(len(cells.low), max(2 * number, 1)),
    )
    product = sparse.coo_matrix(matrix.T @ matrix)
    upper = product.row < product.col
    rows, columns = product.row[upper].astype(np.int64), product.col[upper].astype(np.int64)
    first, second = rows // 2, columns // 2
    # A symmetric relation says both directions, so whatever joins its pairs says the same.
    same = (rows % 2 == columns % 2) | structure.symmetric[first] | structure.symmetric[second]
    keys = (first * max(number, 1) + second) * 2 + same
    distinct = sorted_distinct(keys)[0]
    shared = np.bincount(np.searchsorted(distinct, keys), weights=product.data[upper]).astype(np.int64)
    pair = distinct // 2
    return pair // max(number, 1), pair % max(number, 1), distinct % 2 == 1, shared


def _smaller_first(names: list[str], sizes: Ints, first: int, second: int) -> list[str]:
    ordered = sorted((first, second), key=lambda relation: (sizes[relation], names[relation]))
    return [names[relation] for relation in ordered]


def _scramble(values: Ints) -> NDArray[np.uint64]:
    """Turn numbers into pseudo-random ones, one to one (the finaliser of SplitMix64, Steele et al., 2014)."""
    mixed = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
