"""One entity for many spellings: normal form, aliases and near-duplicates, all of them in a review.

Strings are compared among the entities of a kind only; the triples are then renumbered, so that millions of
them cost no string work. The triples keep their source, and the review says which entities became one: the
same build with ``keep`` in a row gives the two entities back, each with its own triples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.merging import (
    assign_near,
    components,
    first_of_each,
    merge_entities,
    pair_codes,
    worse_ends,
)
from kg_builders.names import NameSettings, alias_keys, alias_pairs, name_forms
from kg_builders.near import near_duplicates
from kg_builders.review import KEEP, MERGE, REVIEW_SCHEMA, Review, follow
from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = ["ResolveSettings", "resolve_entities"]

Method = Literal["normal form", "alias", "near"]

_ROW_SCHEMA = {
    "canonical": pl.Int64,
    "merged": pl.Int64,
    "method": pl.Utf8,
    "score": pl.Float64,
    "decision": pl.Utf8,
}


class ResolveSettings(NameSettings):
    """Which entities are compared, and what is merged without asking."""

    kinds: tuple[str, ...] | Literal["all"]
    """Kinds of entities; ``all`` is every kind but the items, which are merged only if ``item`` is named."""
    aliases: dict[str, tuple[str, ...]] | str = Field(default_factory=dict)
    """Name to other names for it, or a file of them (``read_aliases``); all their spellings are meant."""
    near: bool = True
    """Whether names that are nearly the same are looked for."""
    automatic: tuple[Method, ...] = ("normal form", "alias", "near")
    """What is merged unless a review says otherwise; all else is only listed."""
    accept: float = Field(default=0.96, gt=0.0, le=1.0)
    """Near-duplicates of this similarity or more are merged."""
    suggest: float = Field(default=0.85, gt=0.0, le=1.0)
    """Near-duplicates of this similarity or more are listed."""
    min_length: int = Field(default=5, ge=1)
    """Names with fewer letters and digits have no near-duplicates: one letter makes another word of them."""

    @model_validator(mode="after")
    def _check_thresholds(self) -> ResolveSettings:
        if self.suggest > self.accept:
            raise ValueError(
                f"suggest is {self.suggest}, more than accept, {self.accept}; expected at most that"
            )
        return self


def resolve_entities(
    kg: KnowledgeGraph,
    settings: ResolveSettings,
    reviewed: Review | None = None,
    folder: str | Path = ".",
) -> tuple[KnowledgeGraph, Review]:
    """Merge the entities of a kind that are the same thing under several names.

    Of the entities that are one, the one with most items stays, with its id and label; ties go to the label
    that comes first in the alphabet. Near-duplicates make no chains: each entity that is merged is similar
    enough to the one that stays.

    Parameters
    ----------
    kg
        The graph.
    settings
        Which kinds, and what counts as the same.
    reviewed
        Decisions of a person on the review of an earlier run; they win.
    folder
        Where a relative path of the aliases begins.

    Returns
    -------
    KnowledgeGraph
        With the merged entities' triples at the entity that stays, each with its source. Triples that become
        equal are merged; a triple between two entities that are one now is left out.
    Review
        Each proposed merge and its decision, in a form that is taken back as ``reviewed``: with it, the same
        graph gives the same result.

    Raises
    ------
    InputError
        If the graph has no such kind, an alias stands for two names, or the file of aliases can't be read.
    """
    names = _names(kg, settings, Path(folder))
    decided, stale = _locate(reviewed or Review.empty(), names)
    merging = (decided["decision"] == MERGE).to_numpy()
    ends = decided.select("canonical", "merged").to_numpy().T
    kept = ends[:, ~merging]
    # A unit is what a person merged; it is ranked by its greatest member and called as the person chose.
    unit = follow(ends[0][merging], ends[1][merging], len(names))
    place = _places(names, unit)
    group = names["group"].to_numpy()
    component = components(group, unit)
    torn = kept[:, component[kept[0]] == component[kept[1]]]
    # The lesser of two that a person keeps apart, but that would be one, is merged with nothing any more.
    alone = np.isin(unit, unit[worse_ends(torn, place)])
    if alone.any():
        group = np.where(alone, len(names) + unit, group)
        component = components(group, unit)
    head = first_of_each(component, unit, place)
    method = _methods(names, head, unit)
    # What a decision brings along with a name that is spelled the same is there because of the spelling.
    automatic = [*settings.automatic, *(["review"] if "normal form" in settings.automatic else [])]
    joined = np.bincount(unit, np.isin(method, automatic), len(names))[unit] > 0
    joined |= unit == head
    near = pl.DataFrame(schema={"first": pl.Int64, "second": pl.Int64, "score": pl.Float64})
    if settings.near:
        heads = np.flatnonzero(head == np.arange(len(names)))
        found = near_duplicates(names[heads], settings.suggest, settings.min_length)
        near = found.with_columns(pl.Series(end, heads[found[end]]) for end in ("first", "second"))
    accept = settings.accept if "near" in settings.automatic else np.inf
    chosen, score = assign_near(near, head[kept], place, accept, alone)
    root = np.where(joined, chosen[head], unit)
    rows = pl.concat(
        [
            decided.filter(decision=KEEP),
            _merged_rows(root, head, method, score),
            _listed_rows(root, head, unit, method, joined),
            _suggested_rows(near, root, head, kept, place),
        ]
    )
    target = np.arange(kg.n_entities, dtype=np.int64)
    entities = names["entity"].to_numpy()
    target[entities] = entities[root]
    return merge_entities(kg, target), Review(_described(rows, decided, names), stale)


def _names(kg: KnowledgeGraph, settings: ResolveSettings, folder: Path) -> pl.DataFrame:
    """Return the entities of the settings' kinds, what their names come to, and how many items each has.

    Columns ``plain`` is the key of the label, ``key`` that of the name that it is an alias of, and ``group``
    a number of the kind and key.
    """
    kinds = kg.entities["kind"].unique().sort().to_list()
    if settings.kinds == "all":
        chosen = [kind for kind in kinds if kind != ITEM]
    else:
        chosen = list(settings.kinds)
        for kind in chosen:
            if kind not in kinds:
                raise InputError(f"resolve: the graph has no entities of kind {kind!r}{nearest(kind, kinds)}")
    pairs, where = alias_pairs(settings.aliases, folder)
    others = pl.Series("label", [text for pair in pairs for text in pair], dtype=pl.Utf8)
    names = kg.entities.filter(pl.col("kind").is_in(chosen)).with_columns(
        pl.col("label").fill_null(pl.col("id"))
    )
    parts = []
    for part in names.partition_by("kind", maintain_order=True):
        # The aliases are names among the others, so that their spellings come to the same keys.
        forms = name_forms(pl.concat([part["label"], others]), settings)
        stands_for = alias_keys(pairs, forms["key"].tail(len(others)).to_list(), where)
        own = forms.head(len(part))
        parts.append(part.with_columns(own["form"], plain=own["key"], key=own["key"].replace(stands_for)))
    empty = names.clear().with_columns(pl.lit(None, pl.Utf8).alias(name) for name in ("form", "plain", "key"))
    names = pl.concat([empty, *parts]).sort("entity")
    names = names.with_columns(group=pl.struct("kind", "key").rank("dense").cast(pl.Int64) - 1)
    return names.join(_item_counts(kg), on="entity", how="left", maintain_order="left").with_columns(
        pl.col("items").fill_null(0)
    )


def _item_counts(kg: KnowledgeGraph) -> pl.DataFrame:
    """Return columns ``entity`` and ``items``: how many items each entity is joined to."""
    items = (kg.entities["kind"] == ITEM).to_numpy()
    parts = []
    for one, other in (("head", "tail"), ("tail", "head")):
        joined = pl.Series(items[kg.triples[one].to_numpy()])
        parts.append(kg.triples.select(item=one, entity=other).filter(joined))
    return pl.concat(parts).group_by("entity").agg(pl.col("item").n_unique().cast(pl.Int64).alias("items"))


def _locate(reviewed: Review, names: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find the rows of ``names`` that a review is about.

    Returns
    -------
    pl.DataFrame
        Columns ``canonical`` and ``merged`` (rows of ``names``), ``method``, ``score`` and ``decision``.
    pl.DataFrame
        The reviewed rows about other entities.
    """
    places = names.select("kind", "id").with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    found = reviewed.table
    for end in ("canonical", "merged"):
        at = places.select("kind", pl.col("id").alias(f"{end}_id"), pl.col("row").alias(end))
        found = found.join(at, on=["kind", f"{end}_id"], how="left", maintain_order="left")
    here = pl.col("canonical").is_not_null() & pl.col("merged").is_not_null()
    return found.filter(here).select(list(_ROW_SCHEMA)), found.filter(~here).select(list(REVIEW_SCHEMA))


def _places(names: pl.DataFrame, unit: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of the unit of each name: most items first, then by label and id."""
    most = (
        names.select("items").with_columns(unit=pl.Series(unit)).group_by("unit").agg(pl.col("items").max())
    )
    ranked = most.with_columns(names["label"][most["unit"]], names["id"][most["unit"]]).sort(
        ["items", "label", "id", "unit"], descending=[True, False, False, False]
    )
    place = np.empty(len(names), dtype=np.int64)
    place[ranked["unit"].to_numpy()] = np.arange(len(ranked))
    return place[unit]


def _methods(names: pl.DataFrame, head: NDArray[np.int64], unit: NDArray[np.int64]) -> NDArray[np.object_]:
    """Say of each name why it is with the one that stays.

    It is spelled as the one that stays or as one that a person merged into it (normal form), or is an alias
    of such a one, or a decision of a person brought it there by another way (review).
    """
    own = unit == head
    rows = names.select("plain", "key").with_columns(head=pl.Series(head))
    methods = np.full(len(names), "review", dtype=object)
    for column, method in (("key", "alias"), ("plain", "normal form")):
        codes = rows.select(pl.struct("head", column).rank("dense")).to_series().to_numpy()
        shared = np.where(own, codes == codes[head], np.isin(codes, codes[own])) if len(codes) else own
        methods[shared] = method
    return methods


def _rows_of(
    canonical: NDArray[np.int64], merged: NDArray[np.int64], method: Any, score: Any, decision: str
) -> pl.DataFrame:
    frame = pl.DataFrame({"canonical": canonical, "merged": merged}).with_columns(
        pl.Series("method", method, dtype=pl.Utf8)
        if not isinstance(method, str)
        else pl.lit(method).alias("method"),
        pl.Series("score", score, dtype=pl.Float64).fill_nan(None),
        pl.lit(decision).alias("decision"),
    )
    return frame.select([pl.col(name).cast(dtype) for name, dtype in _ROW_SCHEMA.items()])


def _merged_rows(
    root: NDArray[np.int64], head: NDArray[np.int64], method: NDArray[np.object_], score: NDArray[np.float64]
) -> pl.DataFrame:
    """Return a row for each name that is merged, with the reason."""
    gone = np.flatnonzero(root != np.arange(len(root)))
    near = score[head[gone]] < 1
    by = np.where(root[gone] == head[gone], method[gone], np.where(near, "near", "review"))
    likeness = np.where(by == "near", score[head[gone]], np.where(by == "review", np.nan, 1.0))
    return _rows_of(root[gone], gone, by, likeness, MERGE)


def _listed_rows(
    root: NDArray[np.int64],
    head: NDArray[np.int64],
    unit: NDArray[np.int64],
    method: NDArray[np.object_],
    joined: NDArray[np.bool_],
) -> pl.DataFrame:
    """Return a row for each name that is the same by a method that doesn't merge by itself."""
    listed = np.flatnonzero(~joined & (unit == np.arange(len(unit))))
    return _rows_of(root[head[listed]], listed, method[listed], np.ones(len(listed)), KEEP)


def _suggested_rows(
    near: pl.DataFrame,
    root: NDArray[np.int64],
    head: NDArray[np.int64],
    kept: NDArray[np.int64],
    place: NDArray[np.int64],
) -> pl.DataFrame:
    """Return a row for each two names that stay and are near, or have near ones merged into them."""
    ends = near.select("first", "second").to_numpy().T.astype(np.int64)
    count = len(root)
    open_ = (root[ends[0]] != root[ends[1]]) & ~np.isin(
        pair_codes(ends, count), pair_codes(head[kept], count)
    )
    ends, score = root[ends[:, open_]], near["score"].to_numpy()[open_]
    best = np.lexsort((pair_codes(ends, count), -score))
    swap = place[ends[0]] > place[ends[1]]
    canonical, merged = np.where(swap, ends[1], ends[0]), np.where(swap, ends[0], ends[1])
    return _rows_of(canonical[best], merged[best], "near", score[best], KEEP)


def _described(rows: pl.DataFrame, decided: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Return the table of a review; of rows about the same pair, the first is taken."""
    known = decided.select("canonical", "merged", "method", "score")
    rows = (
        rows.with_columns(
            low=pl.min_horizontal("canonical", "merged"), high=pl.max_horizontal("canonical", "merged")
        )
        .unique(["low", "high"], keep="first", maintain_order=True)
        .join(known, on=["canonical", "merged"], how="left", suffix="_told", maintain_order="left")
        .with_columns(
            method=pl.coalesce("method_told", "method").fill_null("review"),
            score=pl.when(pl.col("method_told").is_null()).then("score").otherwise("score_told"),
        )
    )
    for end in ("canonical", "merged"):
        at = names[rows[end]]
        rows = rows.with_columns(at[column].alias(f"{end}_{column}") for column in ("id", "label", "items"))
    return rows.with_columns(names["kind"][rows["canonical"]]).select(list(REVIEW_SCHEMA))
