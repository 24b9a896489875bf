"""Entities of the own graph linked to those of another by their labels, checked in a review."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
from pydantic import Field

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.names import NameSettings, name_forms
from kg_builders.near import near_duplicates
from kg_builders.review import KEEP, MERGE, REVIEW_SCHEMA, Review
from kg_builders.schema import ITEM

__all__ = ["LabelCoverage", "LabelLinkReport", "LabelLinkSettings", "link_by_label"]


class LabelLinkSettings(NameSettings):
    """When an entity of the own graph and one of another are taken for the same, by their labels."""

    types: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Kind of own entity to the types that its external entity may have; other kinds admit all."""
    same: dict[str, str] = Field(default_factory=dict)
    """Column of the own entities to the column of the external ones that must hold the same value."""
    near: float | None = Field(default=None, gt=0.0, le=1.0)
    """Labels of this similarity or more are listed for the review, where no other fits; null for none."""


@dataclass(frozen=True)
class LabelCoverage:
    """What was linked of a kind of entities.

    Parameters
    ----------
    kind
        Kind of the own entities.
    entities, linked
        How many there are, and how many are linked.
    ambiguous
        Not linked, because several entities have the label, here or there.
    unconfirmed
        Not linked, because a value that must be the same is missing, or the label is only nearly the same.
    unlinked
        Not linked, because no entity that is admitted has the label, or a person says so.
    ambiguous_examples, unlinked_examples
        A few labels of each.
    """

    kind: str
    entities: int
    linked: int
    ambiguous: int
    unconfirmed: int
    unlinked: int
    ambiguous_examples: tuple[str, ...]
    unlinked_examples: tuple[str, ...]

    def sentence(self) -> str:
        """Say it in a line."""
        share = self.linked / self.entities if self.entities else 0.0
        return (
            f"{self.kind}: {self.linked:,} of {self.entities:,} linked by label ({share:.1%}), "
            f"{self.ambiguous:,} ambiguous, {self.unconfirmed:,} unconfirmed, {self.unlinked:,} unmatched"
        )


@dataclass(frozen=True)
class LabelLinkReport:
    """What was linked by label, of each kind of own entities, sorted by kind."""

    kinds: tuple[LabelCoverage, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"kinds": [asdict(coverage) for coverage in self.kinds]}

    def sentence(self) -> str:
        """Say it in a line a kind."""
        return "\n".join(coverage.sentence() for coverage in self.kinds)


def link_by_label(
    own: pl.DataFrame,
    entities: pl.DataFrame,
    settings: LabelLinkSettings | None = None,
    reviewed: Review | None = None,
) -> tuple[pl.DataFrame, Review, LabelLinkReport]:
    """Link own entities to those of another graph that have the same label.

    A label links only if it is that of one own entity of the kind and of one external entity that the
    settings admit. All others are listed in the review, where a person can decide.

    Parameters
    ----------
    own
        Columns ``id`` and ``label``, ``kind`` where not all are items, and what ``settings.same`` names.
    entities
        Columns ``id`` and ``label``; several rows with the same id are several labels of an entity. ``type``
        (a text or a list of texts) where types are asked for, and what ``settings.same`` names.
    settings
        What counts as the same label and what else must fit.
    reviewed
        Decisions of a person on the review of an earlier run; they win.

    Returns
    -------
    pl.DataFrame
        Columns ``kind``, ``item`` (own id), ``entity`` (external id) and ``line`` (from 1): the links, as
        ``ExternalTriples`` takes them. An own entity has at most one.
    Review
        Each candidate and its decision; the canonical id is the own one. ``method`` is ``normal form``,
        ``ambiguous``, ``unconfirmed`` (a value that must be the same is missing) or ``near``.
    LabelLinkReport
        How much is linked.

    Raises
    ------
    InputError
        If a column that the settings need is missing, or the review is one of merges within a graph.
    """
    settings = settings or LabelLinkSettings()
    reviewed = reviewed or Review(pl.DataFrame(schema=REVIEW_SCHEMA), external=True)
    if not reviewed.external:
        raise InputError("link: the review is one of merges within a graph; expected one of links to another")
    mine = _linkable(own, [*settings.same], "own entities")
    needed = [*settings.same.values(), *(["type"] if settings.types else [])]
    theirs = _linkable(entities, needed, "external entities")
    # Together, since a name may be known by how the other side writes it.
    forms = name_forms(pl.concat([mine["label"], theirs["label"]]), settings)
    mine, theirs = mine.with_columns(forms.head(len(mine))), theirs.with_columns(forms.tail(len(theirs)))
    found = _candidates(mine, theirs, settings)
    places = reviewed.table.join(
        mine.select("kind", canonical_id="id").unique(), on=["kind", "canonical_id"], how="semi"
    ).join(theirs.select(merged_id="id").unique(), on="merged_id", how="semi")
    pair = ["kind", "canonical_id", "merged_id"]
    stale = reviewed.table.join(places, on=pair, how="anti", maintain_order="left")
    told = places.select(*pair, told="decision", told_method="method", told_score="score")
    table = found.join(told, on=pair, how="full", coalesce=True).with_columns(
        # Who is linked by a person is linked once.
        settled=(pl.col("told") == MERGE).any().over("kind", "canonical_id")
        | (pl.col("told") == MERGE).any().over("kind", "merged_id"),
    )
    proposal = pl.when((pl.col("method") == "normal form") & ~pl.col("settled")).then(pl.lit(MERGE))
    table = table.with_columns(
        decision=pl.coalesce("told", proposal.otherwise(pl.lit(KEEP))),
        score=pl.coalesce("score", "told_score"),
        method=pl.coalesce("method", "told_method", pl.lit("review")),
    )
    names = mine.select("kind", canonical_id="id", canonical_label="label")
    names = names.unique(["kind", "canonical_id"], keep="first", maintain_order=True)
    others = theirs.select(merged_id="id", merged_label="label").unique(
        "merged_id", keep="first", maintain_order=True
    )
    table = (
        table.join(names, on=["kind", "canonical_id"], how="left")
        .join(others, on="merged_id", how="left")
        .with_columns(canonical_items=pl.lit(None, pl.Int64), merged_items=pl.lit(None, pl.Int64))
    )
    review = Review(table.select(list(REVIEW_SCHEMA)), stale, external=True)
    links = review.table.filter(decision=MERGE).select("kind", item="canonical_id", entity="merged_id")
    numbered = links.with_row_index("line", offset=1).with_columns(pl.col("line").cast(pl.Int64))
    return numbered.select("kind", "item", "entity", "line"), review, _coverage(mine, review)


def _linkable(frame: pl.DataFrame, needed: list[str], what: str) -> pl.DataFrame:
    """Return the entities that have an id, with their kinds."""
    for column in ("id", "label", *needed):
        if column not in frame.columns:
            raise InputError(f"link: the {what} have no column {column!r}{nearest(column, frame.columns)}")
    kind = pl.col("kind").cast(pl.Utf8).fill_null(ITEM) if "kind" in frame.columns else pl.lit(ITEM)
    frame = frame.with_columns(kind.alias("kind"), pl.col("id", "label").cast(pl.Utf8))
    return frame.filter(pl.col("id").is_not_null())


def _candidates(mine: pl.DataFrame, theirs: pl.DataFrame, settings: LabelLinkSettings) -> pl.DataFrame:
    """Return the pairs that may be linked, with the columns ``method`` and ``score``."""
    left = mine.select("kind", "form", "key", canonical_id="id", **_values(settings.same, "own"))
    external = theirs.select(
        "form", "key", merged_id="id", **_values(settings.same.values(), "external"),
        type="type" if settings.types else pl.lit(None, pl.Utf8),
    )  # fmt: skip
    same = left.join(external.drop("form"), on="key").with_columns(score=pl.lit(1.0))
    parts = [_admitted(same, settings)]
    if settings.near is not None:
        matched = parts[0].select("kind", "canonical_id")
        rest = left.join(matched, on=["kind", "canonical_id"], how="anti").drop_nulls("key")
        known = external.drop_nulls("key")
        forms = pl.concat([rest.select("form", "key"), known.select("form", "key")])
        pairs = near_duplicates(forms.with_columns(kind=pl.lit("")), settings.near)
        pairs = pairs.filter((pl.col("first") < len(rest)) & (pl.col("second") >= len(rest)))
        near = pl.concat(
            [rest.drop("form", "key")[pairs["first"]], known.drop("form", "key")[pairs["second"] - len(rest)],
             pairs.select("score")],
            how="horizontal",
        )  # fmt: skip
        parts.append(
            _admitted(near.with_columns(key=pl.lit("")), settings).with_columns(method=pl.lit("near"))
        )
    best = pl.concat([part.select("kind", "canonical_id", "merged_id", "method", "score") for part in parts])
    pair = ["kind", "canonical_id", "merged_id"]
    best = best.sort([*pair, "method", "score"], descending=[False, False, False, False, True])
    best = best.unique(pair, keep="first", maintain_order=True)
    exact = pl.col("method") == "normal form"
    several = (exact.sum().over("kind", "canonical_id") > 1) | (exact.sum().over("kind", "merged_id") > 1)
    return best.with_columns(method=pl.when(exact & several).then(pl.lit("ambiguous")).otherwise("method"))


def _values(columns: Iterable[str], side: str) -> dict[str, pl.Expr]:
    """Return the expressions of what must be the same; 1995 and 1995.0 are."""
    return {
        f"{side}_{place}": pl.col(column).cast(pl.Utf8).str.strip_chars().str.replace(r"\.0+$", "")
        for place, column in enumerate(columns)
    }


def _admitted(pairs: pl.DataFrame, settings: LabelLinkSettings) -> pl.DataFrame:
    """Return the pairs of fitting types in which no value differs; ``method`` says whether one is missing."""
    if settings.types:
        kinds = sorted(settings.types)
        types = pl.col("type") if isinstance(pairs.schema["type"], pl.List) else pl.concat_list("type")
        fits = pl.any_horizontal(
            (pl.col("kind") == kind)
            & types.list.eval(pl.element().is_in(list(settings.types[kind]))).list.any()
            for kind in kinds
        )
        pairs = pairs.filter(~pl.col("kind").is_in(kinds) | fits.fill_null(False))
    missing = pl.lit(False)
    for place in range(len(settings.same)):
        one, other = pl.col(f"own_{place}"), pl.col(f"external_{place}")
        pairs = pairs.filter((one == other).fill_null(True))
        missing = missing | one.is_null() | other.is_null()
    return pairs.with_columns(
        method=pl.when(missing).then(pl.lit("unconfirmed")).otherwise(pl.lit("normal form"))
    )


def _coverage(mine: pl.DataFrame, review: Review) -> LabelLinkReport:
    """Count what is linked, and say what is not."""
    state = review.table.group_by("kind", id="canonical_id").agg(
        linked=(pl.col("decision") == MERGE).any(),
        ambiguous=(pl.col("method") == "ambiguous").any(),
        unconfirmed=pl.col("method").is_in(["unconfirmed", "near"]).any(),
    )
    entities = mine.unique(["kind", "id"], keep="first", maintain_order=True).join(
        state, on=["kind", "id"], how="left", maintain_order="left"
    )
    entities = entities.with_columns(
        pl.col("linked", "ambiguous", "unconfirmed").fill_null(False)
    ).with_columns(
        ambiguous=pl.col("ambiguous") & ~pl.col("linked"),
        unconfirmed=pl.col("unconfirmed") & ~pl.col("linked") & ~pl.col("ambiguous"),
        name=pl.coalesce("label", "id"),
    )
    entities = entities.with_columns(
        unlinked=~(pl.col("linked") | pl.col("ambiguous") | pl.col("unconfirmed"))
    )
    kinds = []
    for (kind,), group in entities.sort("kind", maintain_order=True).group_by("kind", maintain_order=True):
        count = group.select(pl.col("linked", "ambiguous", "unconfirmed", "unlinked").sum()).row(0)
        linked, ambiguous, unconfirmed, unlinked = count
        kinds.append(
            LabelCoverage(
                kind=str(kind),
                entities=len(group),
                linked=linked,
                ambiguous=ambiguous,
                unconfirmed=unconfirmed,
                unlinked=unlinked,
                ambiguous_examples=tuple(group.filter(pl.col("ambiguous"))["name"][:5]),
                unlinked_examples=tuple(group.filter(pl.col("unlinked"))["name"][:5]),
            )
        )
    return LabelLinkReport(tuple(kinds))
