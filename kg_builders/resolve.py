"""One entity for many spellings: normal form, aliases and near-duplicates, all of them in a review.

Strings are compared among the entities of a kind only; the triples are then renumbered, so that millions of
them cost no string work. The triples keep their source, and the review says which entities became one: the
same build with ``keep`` in a row gives the two entities back, each with its own triples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from kg_builders.clean import fold_case
from kg_builders.config import StrictModel, load_yaml, nearest
from kg_builders.errors import InputError
from kg_builders.review import KEEP, MERGE, REVIEW_SCHEMA, Review, follow
from kg_builders.schema import ITEM, KnowledgeGraph
from kg_builders.sources.delimited import LINE, read_delimited
from kg_builders.tables import number_rows

__all__ = [
    "LEGAL_FORMS",
    "NameSettings",
    "ResolveSettings",
    "name_forms",
    "near_duplicates",
    "read_aliases",
    "resolve_entities",
]

LEGAL_FORMS = (
    "inc", "incorporated", "corp", "corporation", "co", "company", "llc", "llp", "ltd", "limited", "plc",
    "gmbh", "mbh", "ag", "kg", "kgaa", "ohg", "gmbh and co kg", "sa", "sas", "sarl", "srl", "spa", "bv", "nv",
    "aps", "oy", "oyj", "kk", "pte", "pty", "pvt",
)  # fmt: skip
"""Legal forms at the end of a company's name, in normal form. Those that are also words of other names, such
as
"AS", "SE" or "LP", are left to the settings."""

Method = Literal["normal form", "alias", "near"]

_ROW_SCHEMA = {
    "canonical": pl.Int64,
    "merged": pl.Int64,
    "method": pl.Utf8,
    "score": pl.Float64,
    "decision": pl.Utf8,
}
REORDERED = 0.9
"""Similarity of names with the same words in another order, and the most that names of unequal numbers of
words
can have: likely enough to be listed, not enough to be merged."""
MAX_BLOCK = 500
"""Names that are compared with each other because they begin or end alike; larger blocks are divided."""

_IGNORED = r"[™®©℠\u{200B}-\u{200D}\u{FEFF}]"
_MARKS = r"(\p{Latin})[\x{0300}-\x{036F}]+"
# What separates words: punctuation and space, but not the signs that tell "C#" from "C" and "50%" from "50".
_SEPARATORS = r"[[\p{P}\p{Z}\p{Cc}]--[#%]]+"
# Between digits these say what number it is: "1.5" is not "15", "16:9" not "169".
_IN_NUMBERS = {".": "\ue000", ",": "\ue001", "/": "\ue002", ":": "\ue003", "-": "\ue004"}


class NameSettings(StrictModel):
    """What doesn't count when names are compared."""

    legal_forms: tuple[str, ...] = LEGAL_FORMS
    """Words at the end of a name that are no part of it."""
    articles: tuple[str, ...] = ("the",)
    """Words at the beginning of a name that are no part of it."""


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


def name_forms(labels: pl.Series, settings: NameSettings | None = None) -> pl.DataFrame:
    """Return what is left of names when spelling doesn't count.

    Case, Unicode compatibility forms, Latin accents, trade mark signs, punctuation, legal forms at the end
    and articles at the beginning are left out, "&" is read as "and". Numbers stay as they are: "1.5" is not
    "15".

    Returns
    -------
    pl.DataFrame
        Columns ``form`` (words separated by one space) and ``key`` (without the spaces, those between digits
        apart): names are the same if their keys are. A name that is all punctuation is its own form.

    Examples
    --------
    >>> name_forms(pl.Series(["The SONY Corp.", "Black & Decker Co., Ltd.", "Hip-Hop", "1.5 l"])).rows()
    [('sony', 'sony'), ('black and decker', 'blackanddecker'), ('hip hop', 'hiphop'), ('1.5 l', '1.5l')]
    """
    settings = settings or NameSettings()
    text = labels.cast(pl.Utf8).str.replace_all(_IGNORED, "").str.normalize("NFKC")
    folded = fold_case(text).str.strip_chars()
    form = (
        folded.str.normalize("NFKD")
        .str.replace_all(_MARKS, "$1")
        .str.normalize("NFC")
        .str.replace_all("&", " and ", literal=True)
        .str.replace_all(r"\p{Pd}|−", "-")
        .str.replace_all(r"(^|\s)-(\d)", "$1 minus $2")
        # An apostrophe joins what is around it, after a number it is a measure; dots join initials.
        .str.replace_all(r"(\w)['’](\p{L})", "$1$2")
        .str.replace_all(r"(\d)[\"”″]", "$1 in ")
        .str.replace_all(r"(\d)['’′]", "$1 ft ")
        .str.replace_all(r"\b(\p{L})\.", "$1")
    )
    for sign, stand_in in _IN_NUMBERS.items():
        for _ in range(2):  # Twice, since the digit between two signs belongs to both.
            form = form.str.replace_all(rf"(\d)[{sign}](\d)", f"${{1}}{stand_in}${{2}}")
    form = form.str.replace_all(_SEPARATORS, " ").str.strip_chars()
    for sign, stand_in in _IN_NUMBERS.items():
        form = form.str.replace_all(stand_in, sign, literal=True)
    articles, legal = _alternatives(settings.articles), _alternatives(settings.legal_forms)
    if articles:
        form = form.str.replace(rf"^(?:{articles}) (\S)", "$1")
    if legal:
        form = form.str.replace(rf"^(.*?\S)(?: (?:{legal}))+$", "$1")
    frame = pl.DataFrame({"form": form, "folded": folded})
    frame = frame.select(form=pl.when(pl.col("form").str.len_bytes() > 0).then("form").otherwise("folded"))
    spaced = pl.col("form")
    for _ in range(2):
        spaced = spaced.str.replace_all(r"(\d) (\d)", "${1}_${2}")
    key = spaced.str.replace_all(" ", "", literal=True).str.replace_all(r"(\d)_(\d)", "$1 $2")
    return frame.with_columns(key=key.str.replace_all(r"(\d)_(\d)", "$1 $2"))


def _alternatives(words: tuple[str, ...]) -> str:
    """Return a regular expression for any of the words, written in any way."""
    if not words:
        return ""
    plain = NameSettings(legal_forms=(), articles=())
    forms = name_forms(pl.Series(list(words), dtype=pl.Utf8), plain)["form"].unique().to_list()
    # The longest first, since the first that fits is taken.
    forms.sort(key=lambda form: (-len(form), form))
    return "|".join(re.sub(r"([\\\.+*?()|\[\]{}^$#&~-])", r"\\\1", form) for form in forms)


def read_aliases(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Read a table of aliases.

    Parameters
    ----------
    path
        A YAML file that maps names to lists of other names, or a CSV or TSV file with a header and two
        columns: the name, and one other name.

    Raises
    ------
    InputError
        If the file can't be read or has another form, with the line where there is one.
    """
    path = Path(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        frame = read_delimited(path, "," if path.suffix.lower() == ".csv" else "\t", quote='"')
        columns = [column for column in frame.columns if column != LINE]
        if len(columns) != 2:
            raise InputError(
                f"{path}: has {len(columns)} columns; expected two, a name and another name for it"
            )
        empty = frame.filter(pl.any_horizontal(pl.col(columns).is_null()))
        if len(empty):
            raise InputError(f"{path}, line {empty[LINE][0]}: a name is empty; expected two names")
        grouped = frame.group_by(columns[0], maintain_order=True).agg(pl.col(columns[1]))
        return {name: tuple(others) for name, others in grouped.iter_rows()}
    data = load_yaml(path)
    if not isinstance(data, Mapping):
        raise InputError(f"{path}: expected names with lists of other names, such as 'Hewlett-Packard: [HP]'")
    for name, others in data.items():
        if not isinstance(name, str) or not (
            isinstance(others, list) and all(isinstance(other, str) for other in others)
        ):
            raise InputError(f"{path}: alias {name!r}: expected a text and a list of texts (quote numbers)")
    return {name: tuple(others) for name, others in data.items()}


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
    component = _components(group, unit)
    torn = kept[:, component[kept[0]] == component[kept[1]]]
    # The lesser of two that a person keeps apart, but that would be one, is merged with nothing any more.
    alone = np.isin(unit, unit[_lesser(torn, place)])
    if alone.any():
        group = np.where(alone, len(names) + unit, group)
        component = _components(group, unit)
    head = _best(component, unit, place)
    method = _methods(names, head, unit)
    # What a decision brings along with a name that is spelled the same is there because of the spelling.
    automatic = [*settings.automatic, *(["review"] if "normal form" in settings.automatic else [])]
    joined = np.bincount(unit, np.isin(method, automatic), len(names))[unit] > 0
    joined |= unit == head
    near = _no_pairs()
    if settings.near:
        heads = np.flatnonzero(head == np.arange(len(names)))
        found = near_duplicates(names[heads], settings.suggest, settings.min_length)
        near = found.with_columns(pl.Series(end, heads[found[end]]) for end in ("first", "second"))
    accept = settings.accept if "near" in settings.automatic else np.inf
    chosen, score = _assign(near, head[kept], place, accept, alone)
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
    return _merge(kg, target), Review(_described(rows, decided, names), stale)


def near_duplicates(names: pl.DataFrame, suggest: float, min_length: int = 1) -> pl.DataFrame:
    """Find pairs of names of the same kind that differ by little.

    Names are compared if they hold the same numbers in the same order and begin or end with the same three
    characters, or have the same words in another order. The similarity of a pair is the lesser of that of
    the keys and that of each word with the word at its place, so that a word that is quite another, such as
    "post" and "pop", makes quite another name, however long the rest; similarity of two texts of lengths
    ``n`` and ``m`` with a longest common subsequence of length ``c`` is ``2 c / (n + m)`` (normalised Indel
    similarity).

    Parameters
    ----------
    names
        Columns ``kind``, ``form`` and ``key``, see ``name_forms``.
    suggest
        The least similarity.
    min_length
        Length of the shortest keys that are compared.

    Returns
    -------
    pl.DataFrame
        Columns ``first`` and ``second`` (numbers of rows, the first the smaller) and ``score``, sorted.

    Raises
    ------
    InputError
        If RapidFuzz isn't installed.
    """
    try:
        from rapidfuzz import process  # noqa: PLC0415
        from rapidfuzz.distance import Indel  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InputError("near-duplicates need RapidFuzz; expected pip install rapidfuzz") from error
    rows = (
        names.select("kind", "form", "key").with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    )
    rows = rows.filter(pl.col("key").str.len_chars() >= min_length).with_columns(
        numbers=pl.col("form").str.extract_all(r"\d+(?:[.,/:-]\d+)*").list.join(" ")
    )
    keys = rows["key"].to_list()
    found = [_reordered(rows)]
    for end in ("head", "tail"):
        for block in _blocks(rows, end):
            members = [keys[row] for row in block]
            scores = process.cdist(
                members, members, scorer=Indel.normalized_similarity, score_cutoff=suggest, dtype=np.float32
            )
            first, second = np.nonzero(scores)
            upper = first < second
            found.append(np.stack([block[first[upper]], block[second[upper]]]))
    both = np.concatenate(found, axis=1)
    first, second = np.divmod(np.unique(both[0] * len(rows) + both[1]), max(len(rows), 1))
    words = rows["form"].str.split(" ")
    table = pl.DataFrame({"first": first, "second": second}).with_row_index("pair").with_columns(
        whole=pl.Series(
            process.cpdist(
                [keys[row] for row in first], [keys[row] for row in second],
                scorer=Indel.normalized_similarity, dtype=np.float64,
            ),
            dtype=pl.Float64,
        ),
        left=words[first],
        right=words[second],
    )  # fmt: skip
    aligned = table.filter(pl.col("left").list.len() == pl.col("right").list.len())
    apart = (
        aligned.select("pair", "left", "right")
        .explode("left", "right")
        .filter(pl.col("left") != pl.col("right"))
    )
    apart = apart.with_columns(
        word=pl.Series(
            process.cpdist(
                apart["left"].to_list(), apart["right"].to_list(),
                scorer=Indel.normalized_similarity, dtype=np.float64,
            ),
            dtype=pl.Float64,
        )
    )  # fmt: skip
    least = apart.group_by("pair").agg(pl.col("word").min())
    reordered = pl.col("left").list.sort() == pl.col("right").list.sort()
    unequal = pl.col("left").list.len() != pl.col("right").list.len()
    # One name is the other and more words: "black metal" is not "raw black metal".
    longer = pl.min_horizontal(
        pl.col("left").list.set_difference("right").list.len(),
        pl.col("right").list.set_difference("left").list.len(),
    )
    score = (
        pl.when(reordered)
        .then(REORDERED)
        .when(longer == 0)
        .then(0.0)
        .when(unequal)
        .then(pl.min_horizontal("whole", pl.lit(REORDERED)))
        .otherwise(pl.min_horizontal("whole", "word"))
    )
    numbered = rows["row"]
    return (
        table.join(least, on="pair", how="left", maintain_order="left")
        .select(first=numbered[first], second=numbered[second], score=score.round(4))
        .filter(pl.col("score") >= suggest)
        .sort("first", "second")
    )


def _blocks(rows: pl.DataFrame, end: Literal["head", "tail"]) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of rows that may be near-duplicates because their keys begin (or end) alike."""
    pending = rows.select(
        pl.struct("kind", "numbers").rank("dense").alias("signature"),
        "key",
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
    )
    longest = int(pending["key"].str.len_chars().max() or 0)  # type: ignore[arg-type]
    length = 3
    while len(pending):
        part = pl.col("key").str.head(length) if end == "head" else pl.col("key").str.tail(length)
        sized = pending.with_columns(part.alias("part")).with_columns(
            pl.len().over("signature", "part").alias("size")
        )
        full = (pl.col("size") > MAX_BLOCK) & (length < longest)
        ready = sized.filter(~full & (pl.col("size") > 1)).sort("signature", "part", "row")
        starts = ready.select(pl.struct("signature", "part").is_first_distinct().arg_true()).to_series()
        yield from np.split(ready["row"].to_numpy(), starts.to_numpy()[1:]) if len(ready) else ()
        pending = sized.filter(full).drop("part", "size")
        length *= 2


def _reordered(rows: pl.DataFrame) -> NDArray[np.int64]:
    """Return [2, pairs], rows with the same words in another order."""
    ordered = rows.select(
        "kind",
        words=pl.col("form").str.split(" ").list.sort().list.join(" "),
        row=pl.int_range(pl.len(), dtype=pl.Int64),
    ).filter(pl.struct("kind", "words").is_duplicated())
    pairs = ordered.join(ordered, on=["kind", "words"], suffix="_other").filter(
        pl.col("row") < pl.col("row_other")
    )
    return pairs.select("row", "row_other").to_numpy().T


def _no_pairs() -> pl.DataFrame:
    return pl.DataFrame(schema={"first": pl.Int64, "second": pl.Int64, "score": pl.Float64})


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
    names = kg.entities.filter(pl.col("kind").is_in(chosen)).with_columns(
        pl.col("label").fill_null(pl.col("id"))
    )
    forms = name_forms(names["label"], settings)
    names = names.with_columns(forms["form"], plain=forms["key"])
    names = names.with_columns(key=pl.col("plain").replace(_alias_keys(settings, folder)))
    names = names.with_columns(group=pl.struct("kind", "key").rank("dense").cast(pl.Int64) - 1)
    return names.join(_item_counts(kg), on="entity", how="left", maintain_order="left").with_columns(
        pl.col("items").fill_null(0)
    )


def _alias_keys(settings: ResolveSettings, folder: Path) -> dict[str, str]:
    """Return the key of each alias and that of the name that it stands for in the end."""
    aliases = settings.aliases
    where = "resolve: aliases"
    if isinstance(aliases, str):
        where = str(folder / aliases)
        aliases = read_aliases(folder / aliases)
    pairs = [(name, other) for name, others in aliases.items() for other in others]
    keys = name_forms(pl.Series([text for pair in pairs for text in pair], dtype=pl.Utf8), settings)[
        "key"
    ].to_list()
    stands_for: dict[str, str] = {}
    called: dict[str, str] = {}
    for (name, other), key, other_key in zip(pairs, keys[::2], keys[1::2], strict=True):
        if stands_for.setdefault(other_key, key) != key:
            raise InputError(
                f"{where}: {other!r} stands for {called[other_key]!r} and for {name!r}; expected one name"
            )
        called.setdefault(other_key, name)
    for start in list(stands_for):
        if stands_for[start] == start:
            del stands_for[start]
    for start in list(stands_for):
        seen = {start}
        while stands_for[start] in stands_for:
            if stands_for[start] in seen:
                raise InputError(
                    f"{where}: {called[start]!r} is an alias in a circle; expected one name that isn't"
                )
            seen.add(stands_for[start])
            stands_for[start] = stands_for[stands_for[start]]
    return stands_for


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


def _components(group: NDArray[np.int64], unit: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the component of each name: same unit or group, directly or by others."""
    count = len(unit)
    groups = np.unique(group, return_inverse=True)[1] + count
    ends = np.arange(count), np.arange(count)
    joins = sparse.coo_matrix(
        (
            np.ones(2 * count, dtype=np.int8),
            (np.concatenate(ends), np.concatenate([unit, groups])),
        ),
        shape=(2 * count, 2 * count),
    )
    return connected_components(joins, directed=False)[1][:count].astype(np.int64)


def _best(
    component: NDArray[np.int64], unit: NDArray[np.int64], place: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each name the one of its component that stays."""
    order = np.lexsort((place, component))
    first = np.flatnonzero(np.diff(component[order], prepend=-1))
    return unit[order[first]][component]


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


def _assign(
    near: pl.DataFrame,
    apart: NDArray[np.int64],
    place: NDArray[np.int64],
    accept: float,
    alone: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Decide which near-duplicates become one, without chains.

    Those that stay are the greedy independent set: going from the first rank to the last, a name stays
    unless one that stays is near. Each other one goes to the nearest of those that stay.

    Parameters
    ----------
    near
        Columns ``first``, ``second`` and ``score``.
    apart
        [2, pairs] of names that a person keeps apart.
    place
        [names], their rank.
    accept
        The least similarity.
    alone
        [names], those that are merged with nothing.

    Returns
    -------
    NDArray, NDArray
        [names] each: the name that stays in place of each name, and the similarity to it.
    """
    count = len(place)
    chosen, score = np.arange(count, dtype=np.int64), np.ones(count)
    strong = near.filter(pl.col("score") >= accept)
    ends = strong.select("first", "second").to_numpy().T.astype(np.int64)
    told = np.isin(_pair_codes(ends, count), _pair_codes(apart, count))
    settled = alone.copy()
    settled[_lesser(ends[:, told], place)] = True
    allowed = ~told & ~settled[ends].any(axis=0)
    ends, likeness = ends[:, allowed], strong["score"].to_numpy()[allowed]
    lesser = _lesser(ends, place)
    better = ends.sum(axis=0) - lesser
    stays, open_ = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    open_[ends] = True
    while open_.any():
        beaten = np.zeros(count, dtype=bool)
        beaten[lesser[open_[better]]] = True
        stays |= open_ & ~beaten
        open_ &= beaten
        open_[lesser[stays[better]]] = False
    moving = stays[better] & ~stays[lesser]
    order = np.lexsort((place[better[moving]], -likeness[moving], lesser[moving]))
    goer, stayer, likeness = lesser[moving][order], better[moving][order], likeness[moving][order]
    first = np.flatnonzero(np.diff(goer, prepend=-1))
    chosen[goer[first]], score[goer[first]] = stayer[first], likeness[first]
    # Two that a person keeps apart don't meet at a third: the lesser one stays by itself.
    clash = apart[:, chosen[apart[0]] == chosen[apart[1]]]
    loser = _lesser(clash, place)
    chosen[loser] = loser
    return chosen, score


def _lesser(ends: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the end of each pair that ranks after the other."""
    return np.where(place[ends[0]] > place[ends[1]], ends[0], ends[1])


def _pair_codes(ends: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return one number a pair, whatever the order of its ends."""
    return ends.min(axis=0, initial=count) * count + ends.max(axis=0, initial=0)


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
        _pair_codes(ends, count), _pair_codes(head[kept], count)
    )
    ends, score = root[ends[:, open_]], near["score"].to_numpy()[open_]
    best = np.lexsort((_pair_codes(ends, count), -score))
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


def _merge(kg: KnowledgeGraph, target: NDArray[np.int64]) -> KnowledgeGraph:
    """Put other entities in the place of some.

    Parameters
    ----------
    target
        [entities], the entity that each one becomes.
    """
    stays = target == np.arange(len(target))
    if stays.all():
        return kg
    number = (np.cumsum(stays) - 1)[target]
    entities = number_rows(kg.entities.filter(pl.Series(stays)).drop("entity"), "entity")
    head, tail = kg.triples["head"].to_numpy(), kg.triples["tail"].to_numpy()
    loop = (number[head] == number[tail]) & (head != tail)
    head, tail = number[head], number[tail]
    # In a symmetric relation the smaller number comes first, as wherever a graph is made.
    symmetric = kg.relations["symmetric"].to_numpy()
    if symmetric.any():
        turned = symmetric[kg.triples["relation"].to_numpy()] & (head > tail)
        head, tail = np.where(turned, tail, head), np.where(turned, head, tail)
    triples = kg.triples.with_columns(head=pl.Series(head), tail=pl.Series(tail))
    if loop.any():
        triples = triples.filter(pl.Series(~loop))
    merged = KnowledgeGraph(entities, kg.relations, triples.clear())
    return merged.with_triples(triples)
