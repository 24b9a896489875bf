"""Traces in a knowledge graph of the interactions that it is going to be tested on.

Three are looked for, relation by relation:

1. **Counts.** A relation whose triples of an item are as many as the item's interactions of training *and*
   held-out together (or of held-out alone), as in graphs that were written once per interaction. Counts
   are taken before repeated triples are merged.
2. **Pairs that training doesn't know.** Two items that a relation joins, directly or by a shared tail, and
   that no user chose both of in training: are they nearly all chosen together as soon as held-out
   interactions are added? Metadata can't know that.
3. **Better at held-out than at training.** As many training interactions as there are held-out ones are set
   aside at random. Of the pairs that the rest doesn't know, a relation made from metadata explains through
   the held-out interactions about as many as through those set aside; one made from held-out interactions
   explains more.

The answer is yes or no with the evidence. Nothing is selected by it: whoever drops relations by their fit to
held-out interactions has made the leak that this looks for.

It can't see everything. A leak that is a small part of an honest relation stays below the limits. Trace 2
needs pairs of items that training doesn't join, so little is found in dense data, and traces 2 and 3 see
only relations that join items within one step, not through tails that very many items share. A time-ordered
split makes held-out choices differ from training without any leak, so trace 3 asks for a large difference,
and for more than random pairs of the same items show.
Numbers derived from held-out interactions (a popularity, an average rating) that are stored as values leave
none of these traces. No leak found means no more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from kg_builders.errors import InputError
from kg_builders.pruning.item_pairs import count_explained, item_pairs
from kg_builders.schema import ITEM, KnowledgeGraph
from kg_builders.tables import number_rows
from kg_builders.usefulness import training_pairs

__all__ = ["Leak", "LeakReport", "check_leakage", "graph_as_written"]

MIN_CASES = 20
"""Items or pairs below which coincidence decides."""
SAME_COUNTS = 0.9
"""Share of the items with held-out interactions whose counts must agree."""
EXPLAINED = 0.9
"""Share of pairs unknown to training that held-out interactions explain, above which it isn't metadata."""
TIMES_CHANCE = 1.25
"""That share must exceed that of random pairs of equally popular items this many times."""
TIMES_SET_ASIDE = 2.0
DEVIATIONS = 5.0
"""How far held-out must exceed what was set aside: as a ratio, and in standard deviations."""


@dataclass(frozen=True)
class Leak:
    """A trace of held-out interactions in a relation.

    Parameters
    ----------
    relation
        Its name.
    trace
        ``"counts"``, ``"unknown pairs"`` or ``"better at held-out"``.
    evidence
        The figures, in words.
    """

    relation: str
    trace: str
    evidence: str


@dataclass(frozen=True)
class LeakReport:
    """Whether there are traces of held-out interactions in a graph.

    Parameters
    ----------
    leaks
        What was found.
    figures
        Of every relation: pairs looked at and the shares that the traces are judged by.
    """

    leaks: tuple[Leak, ...]
    figures: tuple[dict[str, Any], ...]

    @property
    def found(self) -> bool:
        """Whether any trace was found."""
        return bool(self.leaks)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "found": self.found,
            "leaks": [asdict(leak) for leak in self.leaks],
            "figures": list(self.figures),
        }

    def refuse(self) -> None:
        """Raise if there are traces.

        Raises
        ------
        InputError
            Naming the first relation and the evidence.
        """
        if self.leaks:
            first = self.leaks[0]
            others = f" ({len(self.leaks) - 1} more traces)" if len(self.leaks) > 1 else ""
            raise InputError(
                f"knowledge graph: relation {first.relation!r} was made from held-out interactions: "
                f"{first.evidence}{others}; expected a graph of metadata or of training interactions only"
            )


def graph_as_written(triples: pl.DataFrame, item_ids: pl.Series) -> KnowledgeGraph:
    """Return a given graph with its repeated triples, whose counts ``check_leakage`` looks at.

    Parameters
    ----------
    triples
        Columns ``head``, ``relation`` and ``tail`` (texts), as from ``read_triples``.
    item_ids
        Heads that are items. A tail is an item if its relation has items as tails only and several of them:
        published files let ids of nodes such as "has picture" collide with those of items.
    """
    told = triples.select(pl.col("head", "relation", "tail").cast(pl.Utf8))
    items = item_ids.cast(pl.Utf8).unique().sort()
    known = items.implode()
    to_items = told.group_by("relation").agg(
        (pl.col("tail").is_in(known).all() & (pl.col("tail").n_unique() > 1)).alias("to_items")
    )
    kind = pl.lit(ITEM)
    named = told.join(to_items, on="relation", maintain_order="left").with_columns(
        head_kind=pl.when(pl.col("head").is_in(known)).then(kind).otherwise(pl.lit("entity")),
        tail_kind=pl.when("to_items").then(kind).otherwise(pl.lit("entity")),
    )
    ends = (
        pl.concat([named.select(kind=f"{end}_kind", id=end) for end in ("head", "tail")])
        .unique()
        .sort("kind", "id")
    )
    entities = number_rows(ends.select("id", "kind", label="id"), "entity")
    names = named.select(name="relation").unique().sort("name")
    relations = number_rows(names, "relation").with_columns(label="name", symmetric=pl.lit(False))
    keys = entities.select("kind", "id", "entity")
    numbered = (
        named.rename({"relation": "name"})
        .join(keys.select(head_kind="kind", head="id", from_="entity"), on=["head_kind", "head"])
        .join(keys.select(tail_kind="kind", tail="id", to="entity"), on=["tail_kind", "tail"])
        .join(relations.select("name", "relation"), on="name")
        .select("relation", head="from_", tail="to", source=pl.lit(None, dtype=pl.Utf8))
    )
    return KnowledgeGraph(entities, relations, numbered.sort("head", "relation", "tail"))


def check_leakage(
    kg: KnowledgeGraph,
    training: pl.DataFrame,
    held_out: pl.DataFrame,
    rng: np.random.Generator | None = None,
) -> LeakReport:
    """Look for traces of held-out interactions in a graph; the module says which, and what they miss.

    Parameters
    ----------
    kg
        The graph, if possible with its repeated triples (``graph_as_written``; ``from_named`` merges them):
        most counts can't be checked without.
    training
        Columns ``user`` and ``item`` (original ids), and ``split``, if there, ``train`` everywhere.
    held_out
        Validation and test interactions: columns ``user`` and ``item``; with a column ``split``, counts are
        also compared with each split alone.
    rng
        Draws the interactions to set aside and, where there are many, pairs; by default seeded with 0.

    Raises
    ------
    InputError
        If a table lacks a column or a value, a training row is of another split, a held-out row of training,
        a pair is in both, or no interaction is with an item of the graph.
    """
    rng = rng if rng is not None else np.random.default_rng(0)
    known = training_pairs(training)
    parts = _held_out_parts(held_out)
    both = known.join(pl.concat(list(parts.values())), on=["user", "item"], how="semi")
    if len(both):
        user, item = both.row(0)
        raise InputError(
            f"interactions: user {user!r} and item {item!r} are in training and held out; "
            "expected disjoint splits"
        )
    data = _Data.of(kg, known, parts)
    leaks: list[Leak] = []
    figures: list[dict[str, Any]] = []
    head, tail = kg.triples["head"].to_numpy(), kg.triples["tail"].to_numpy()
    relation = kg.triples["relation"].to_numpy()
    order = np.argsort(relation, kind="stable")
    bounds = np.searchsorted(relation[order], np.arange(kg.n_relations + 1))
    base, aside, held = _set_aside(data, rng)
    for number, name in enumerate(kg.relations["name"].to_list()):
        places = order[bounds[number] : bounds[number + 1]]
        figure: dict[str, Any] = {"relation": name, "triples": len(places)}
        evidence = _counts(head[places], tail[places], data)
        if evidence is not None:
            leaks.append(Leak(name, "counts", evidence))
        (child,) = rng.spawn(1)
        pairs = item_pairs(head[places], tail[places], data.is_item, child)
        figure["pairs"] = len(pairs)
        if len(pairs):
            leaks.extend(_unknown_pairs(name, pairs, data, child, figure))
            leaks.extend(_better(name, pairs, (base, aside, held), child, figure))
        figures.append(figure)
    return LeakReport(tuple(leaks), tuple(figures))


@dataclass(frozen=True)
class _Data:
    """Interactions as [entities, users] 0/1 matrices, and counts of items.

    Parameters
    ----------
    training, held_out
        Matrices.
    held_counts
        Name of a held-out split, or of all, to [entities] interactions.
    is_item
        [entities].
    """

    training: sparse.csr_matrix
    held_out: sparse.csr_matrix
    held_counts: dict[str, NDArray[np.int64]]
    is_item: NDArray[np.bool_]

    @classmethod
    def of(cls, kg: KnowledgeGraph, known: pl.DataFrame, parts: dict[str, pl.DataFrame]) -> _Data:
        """Give users and items numbers."""
        items = kg.entities.filter(pl.col("kind") == ITEM).select(item="id", entity="entity")
        everyone = pl.concat([known, *parts.values()])["user"].unique().sort()
        users = pl.DataFrame({"user": everyone}).with_row_index("column")

        def matrix(pairs: pl.DataFrame) -> sparse.csr_matrix:
            found = pairs.join(items, on="item").join(users, on="user")
            place = (found["entity"].to_numpy(), found["column"].to_numpy())
            shape = (kg.n_entities, len(users))
            return sparse.csr_matrix((np.ones(len(found), dtype=np.int64), place), shape=shape)

        training = matrix(known)
        if not training.nnz:
            raise InputError(
                "interactions: none is with an item of the graph; expected the items' original ids"
            )
        held = {name: matrix(pairs) for name, pairs in parts.items()}
        counts = {name: np.asarray(one.sum(axis=1)).ravel() for name, one in held.items()}
        if len(held) > 1:
            counts = {"held-out": np.sum(list(counts.values()), axis=0), **counts}
        is_item = (kg.entities["kind"] == ITEM).to_numpy()
        total = reduce(add, held.values())
        return cls(training, total, counts, is_item)


def _held_out_parts(held_out: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the pairs of each held-out split, or of all under ``"held-out"`` where splits aren't told."""
    if "split" not in held_out.columns:
        return {"held-out": training_pairs(held_out)}
    splits = held_out["split"].cast(pl.Utf8)
    bad = (splits.is_null() | (splits == "train")).arg_true()
    if len(bad):
        raise InputError(
            f"held-out interactions: row {bad[0]} is of the split {splits[bad[0]]!r}; "
            "expected validation or test"
        )
    names: Sequence[str] = splits.unique().sort().to_list()
    parts = {name: training_pairs(held_out.filter(splits == name).drop("split")) for name in names}
    return parts or {"held-out": training_pairs(held_out.drop("split"))}


def _counts(head: NDArray[np.int64], tail: NDArray[np.int64], data: _Data) -> str | None:
    """Compare the triples of each item with its interactions; null where they don't agree."""
    count = len(data.is_item)
    trained = np.asarray(data.training.sum(axis=1)).ravel()
    ends = [("heads", head)] if not data.is_item[tail].any() else [("heads", head), ("tails", tail)]
    for side, end in ends:
        triples = np.bincount(end, minlength=count)
        for name, held in data.held_counts.items():
            tested = np.flatnonzero(data.is_item & (held > 0) & (triples > 0))
            if len(tested) < MIN_CASES or len(tested) < SAME_COUNTS * int((data.is_item & (held > 0)).sum()):
                continue
            for what, expected in ((f"training and {name}", trained + held), (name, held)):
                same = float((triples[tested] == expected[tested]).mean())
                # Where all counts are small, they agree without a reason.
                varied = len(np.unique(expected[tested])) > 2
                alone = float((triples[tested] == trained[tested]).mean())
                if same >= SAME_COUNTS and varied:
                    return (
                        f"{same:.0%} of {len(tested):,} items ({side}) have as many of its triples as "
                        f"interactions of {what}, {alone:.0%} as many as interactions of training"
                    )
    return None


def _unknown_pairs(
    name: str, pairs: NDArray[np.int64], data: _Data, rng: np.random.Generator, figure: dict[str, Any]
) -> list[Leak]:
    """Find relations whose pairs that training doesn't know are nearly all known to held-out interactions."""
    everything = data.training + data.held_out
    explained, unknown = count_explained(pairs, data.training, everything)
    figure["unknown_pairs"] = unknown
    if unknown < MIN_CASES:
        return []
    share, by_chance = explained / unknown, _share_by_chance(pairs, data.training, everything, rng)
    figure["explained_by_held_out"], figure["explained_by_chance"] = share, by_chance
    if share < EXPLAINED or share < TIMES_CHANCE * by_chance:
        return []
    evidence = (
        f"of {unknown:,} pairs of items that it joins and no user chose in training, {share:.0%} were chosen "
        f"together with held-out interactions, {by_chance:.0%} of random pairs"
    )
    return [Leak(name, "unknown pairs", evidence)]


def _better(
    name: str,
    pairs: NDArray[np.int64],
    parts: tuple[sparse.csr_matrix, sparse.csr_matrix, sparse.csr_matrix],
    rng: np.random.Generator,
    figure: dict[str, Any],
) -> list[Leak]:
    """Find relations that explain held-out interactions better than as many training interactions.

    ``parts`` are the training interactions but those set aside, these, and the held-out ones.
    """
    base, aside, held_out = parts
    held, unknown = count_explained(pairs, base, base + held_out)
    trained, _ = count_explained(pairs, base, base + aside)
    if unknown < MIN_CASES:
        return []
    figure["held_out_share"], figure["set_aside_share"] = held / unknown, trained / unknown
    # Both counts are of the same pairs; their difference varies as that of two Poisson numbers at most.
    deviations = (held - trained) / np.sqrt(max(held + trained, 1))
    if held < TIMES_SET_ASIDE * trained or deviations < DEVIATIONS:
        return []
    # Where time divides, new items meet in the held-out part alone: so do random pairs of them.
    figure["held_out_share_by_chance"] = by_chance = _share_by_chance(pairs, base, base + held_out, rng)
    if held / unknown < TIMES_CHANCE * by_chance:
        return []
    evidence = (
        f"held-out interactions explain {held / unknown:.1%} of {unknown:,} pairs of items that it joins, "
        f"as many training interactions {trained / unknown:.1%}"
    )
    return [Leak(name, "better at held-out", evidence)]


def _share_by_chance(
    pairs: NDArray[np.int64],
    known: sparse.csr_matrix,
    everything: sparse.csr_matrix,
    rng: np.random.Generator,
) -> float:
    """Return what share of random pairs of the same items, so equally popular ones, is explained."""
    random = np.stack([pairs[:, 0], rng.permutation(pairs[:, 1])], axis=1)
    explained, unknown = count_explained(random[random[:, 0] != random[:, 1]], known, everything)
    return explained / max(unknown, 1)


def _set_aside(
    data: _Data, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, sparse.csr_matrix, sparse.csr_matrix]:
    """Split training at random: the rest, a part of the size of the held-out interactions, and these.

    At most half of training is set aside; of more held-out interactions, as many are drawn.
    """
    number = min(data.held_out.nnz, data.training.nnz // 2)
    aside = _draw(data.training, number, rng)
    return data.training - aside, aside, _draw(data.held_out, number, rng)


def _draw(matrix: sparse.csr_matrix, number: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return a matrix with ``number`` of the cells, drawn at random."""
    cells = matrix.tocoo()
    chosen = np.sort(rng.choice(cells.nnz, number, replace=False))
    place = (cells.row[chosen], cells.col[chosen])
    return sparse.csr_matrix((cells.data[chosen], place), shape=matrix.shape)
