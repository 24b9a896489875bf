"""Names that differ by little: which are compared, and how alike they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.errors import InputError

__all__ = ["near_duplicates"]

REORDERED = 0.9
"""Similarity of names with the same words in another order, and the most that names of unequal numbers of
words can have: likely enough to be listed, not enough to be merged."""
MAX_BLOCK = 500
"""Names that are compared with each other because they begin or end alike; larger blocks are divided."""


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
