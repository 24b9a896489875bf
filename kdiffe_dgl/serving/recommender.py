"""Top-K recommendations from a run folder: original ids in, labels out; NumPy only."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.serving.ranking import rank_rows
from kdiffe_dgl.serving.run_folder import RunFolder

__all__ = ["RECOMMENDATION_SCHEMA", "Recommender", "nearest", "readable_id", "unknown_id"]

RECOMMENDATION_SCHEMA: dict[str, Any] = {
    "user": pl.Utf8,
    "rank": pl.Int64,
    "item": pl.Utf8,
    "label": pl.Utf8,
    "score": pl.Float32,
    "reason": pl.Utf8,
}
_BY_MODEL = "model"
_UNKNOWN_USER = "popular: unknown user"
_NO_HISTORY = "popular: no training items"

# Scores of one block take about 64 MiB.
_BLOCK_SCORES = 16 * 2**20
_MAX_COMPARED = 20_000


class Recommender:
    """Ranks the catalogue for users by the dot product of trained representations.

    A known user without training items has a representation that training never touched, so such a
    user gets the most popular items, as an unknown user does on demand. The column ``reason`` says which
    way a list was made.

    Parameters
    ----------
    users, items
        ``user`` / ``item`` (dense, in row order), ``id`` (original) and ``label``.
    user_representations, item_representations
        float32, finite. shapes: ``[users, dim]``, ``[items, dim]``
    seen
        ``user``, ``item`` and ``split``, sorted by user: what is left out of a user's list. Popularity
        is the number of rows of an item whose split is ``train``.
    """

    def __init__(
        self,
        users: pl.DataFrame,
        items: pl.DataFrame,
        user_representations: np.ndarray,
        item_representations: np.ndarray,
        seen: pl.DataFrame,
    ) -> None:
        self.users = users
        self.items = items
        self._user = user_representations
        self._item = item_representations
        seen = seen.sort("user", "item")
        self._seen_item = seen["item"].to_numpy()
        self._starts = np.searchsorted(seen["user"].to_numpy(), np.arange(len(users) + 1))
        train = seen.filter(pl.col("split") == "train")
        self._popularity = np.bincount(train["item"].to_numpy(), minlength=len(items)).astype(np.float32)
        self._has_history = np.bincount(train["user"].to_numpy(), minlength=len(users)) > 0

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Recommender:
        """Read a run folder; nothing else is needed.

        Raises
        ------
        InputError
            If the folder is not a finished run, or a file in it is damaged.
        """
        run = RunFolder(folder)
        user, item = run.representations()
        return cls(run.users(), run.items(), user, item, run.seen())

    def recommend(
        self,
        users: Sequence[str],
        k: int = 20,
        exclude_seen: bool = True,
        unknown: Literal["error", "popular"] = "error",
    ) -> pl.DataFrame:
        """Recommend items to users.

        Parameters
        ----------
        users
            Original user ids. An id given twice counts once.
        k
            Number of items for each user; fewer where the catalogue has no more to offer.
        exclude_seen
            Whether items that a user has met in training or validation are left out.
        unknown
            What to do with ids that were not in the data set: refuse them, or recommend the most
            popular items.

        Returns
        -------
        polars.DataFrame
            ``user`` and ``item`` (original ids), ``rank`` (from 1), ``label`` of the item, ``score`` and
            ``reason``: ``"model"`` (the score is the dot product), ``"popular: unknown user"`` or
            ``"popular: no training items"`` (the score is the number of training users of the
            item). Users in the order given; ties go to the item that comes first in the data set.

        Raises
        ------
        InputError
            If ``k`` is less than 1, or a user is unknown (the nearest ids are named).

        Examples
        --------
        >>> Recommender.load("runs/ml-100k").recommend(["u12"], k=20)  # doctest: +SKIP
        """
        if k < 1:
            raise InputError(f"recommend: k is {k}; expected at least 1")
        if unknown not in ("error", "popular"):
            raise InputError(f"recommend: unknown is {unknown!r}; expected 'error' or 'popular'")
        # A string is a sequence of one-letter ids, which nobody means.
        asked = [users] if isinstance(users, str) else users
        ids = [readable_id(user) for user in asked]
        wanted = pl.DataFrame({"id": ids}, schema={"id": pl.Utf8}).unique("id", maintain_order=True)
        rows = wanted.join(self.users.select("id", "user"), on="id", how="left", maintain_order="left")
        missing = rows.filter(pl.col("user").is_null())["id"]
        if len(missing) and unknown == "error":
            raise unknown_id("recommend", missing, self.users["id"], "user")
        numbers = rows["user"].fill_null(-1).to_numpy()
        block = max(1, _BLOCK_SCORES // max(1, len(self.items)))
        parts = [
            self._block(rows["id"][start : start + block], numbers[start : start + block], k, exclude_seen)
            for start in range(0, len(numbers), block)
        ]
        return pl.concat([pl.DataFrame(schema=RECOMMENDATION_SCHEMA), *parts])

    def _block(self, ids: pl.Series, numbers: np.ndarray, k: int, exclude_seen: bool) -> pl.DataFrame:
        """Recommend to a block of users; number -1 is an unknown user."""
        known = numbers >= 0
        by_model = known & self._has_history[numbers]
        scores = np.empty((len(numbers), len(self.items)), dtype=np.float32)
        scores[by_model] = self._user[numbers[by_model]] @ self._item.T
        scores[~by_model] = self._popularity
        if exclude_seen:
            scores[self._seen_pairs(numbers, known)] = -np.inf
        columns, values = rank_rows(scores, k)
        row, place = np.nonzero(values > -np.inf)
        item = columns[row, place]
        reason = np.where(by_model, 0, np.where(known, 1, 2))
        names = pl.Series([_BY_MODEL, _NO_HISTORY, _UNKNOWN_USER], dtype=pl.Utf8)
        return pl.DataFrame(
            {
                "user": ids.gather(row),
                "rank": place.astype(np.int64) + 1,
                "item": self.items["id"].gather(item),
                "label": self.items["label"].gather(item),
                "score": values[row, place],
                "reason": names.gather(reason[row]),
            },
            schema=RECOMMENDATION_SCHEMA,
        )

    def _seen_pairs(self, numbers: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of the block and items that their users have met."""
        starts = np.where(known, self._starts[numbers], 0)
        counts = np.where(known, self._starts[np.where(known, numbers + 1, 0)], 0) - starts
        rows = np.repeat(np.arange(len(numbers)), counts)
        # Positions in the list of pairs: each user's start, counted up within the user.
        first = np.repeat(starts - (np.cumsum(counts) - counts), counts)
        return rows, self._seen_item[first + np.arange(len(rows))]

    def similar_items(self, item: str, k: int = 20) -> pl.DataFrame:
        """Return the items whose representations point in the direction of an item's.

        Parameters
        ----------
        item
            Original item id.
        k
            Number of items.

        Returns
        -------
        polars.DataFrame
            ``rank``, ``item`` (original id), ``label`` and ``score``, the cosine similarity.

        Raises
        ------
        InputError
            If the item is unknown (the nearest ids are named) or ``k`` is less than 1.
        """
        if k < 1:
            raise InputError(f"similar items: k is {k}; expected at least 1")
        item = readable_id(item)
        found = self.items.filter(pl.col("id") == item)["item"]
        if not len(found):
            raise unknown_id("recommend", pl.Series([item]), self.items["id"], "item")
        number = int(found[0])
        norms = np.linalg.norm(self._item, axis=1)
        # A representation of length 0 has no direction; its similarity to anything is 0.
        lengths = np.maximum(norms * norms[number], np.finfo(np.float32).tiny)
        scores = (self._item @ self._item[number]) / lengths
        scores[number] = -np.inf
        columns, values = rank_rows(scores[None, :], k)
        chosen = columns[0][values[0] > -np.inf]
        return pl.DataFrame(
            {
                "rank": np.arange(1, len(chosen) + 1, dtype=np.int64),
                "item": self.items["id"].gather(chosen),
                "label": self.items["label"].gather(chosen),
                "score": scores[chosen].astype(np.float32),
            }
        )


def readable_id(name: object) -> str:
    r"""Return an id as text that can be compared and printed; bytes that are no UTF-8 become ``\udc..``.

    A shell passes such bytes on, and Python keeps them as lone surrogates. No id of a data set has them.
    """
    return str(name).encode("utf-8", "backslashreplace").decode()


def unknown_id(command: str, missing: pl.Series, ids: pl.Series, what: str) -> InputError:
    """Return the error that names an unknown id, how many more there are, and the nearest known ones.

    Parameters
    ----------
    command
        What was asked for, for the beginning of the sentence.
    missing
        Unknown ids, one at least.
    ids
        All known ids.
    what
        What they belong to: ``"user"`` or ``"item"``.
    """
    name = missing[0]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    near = ", ".join(repr(match) for match in nearest(name, ids))
    expected = f"the nearest ids are {near}" if near else f"expected one of {len(ids)} original {what} ids"
    return InputError(f"{command}: unknown {what} {name!r}{more}; {expected}")


def nearest(name: str, ids: pl.Series) -> list[str]:
    """Return up to three ids that are spelt like a name."""
    if len(ids) > _MAX_COMPARED:
        # Comparing spellings is slow; in a large table only ids with the same start are worth it.
        alike = ids.str.starts_with(name[:1]) & ids.str.len_chars().is_between(
            max(len(name) - 1, 0), len(name) + 1
        )
        ids = ids.filter(alike).head(_MAX_COMPARED)
    return difflib.get_close_matches(name, ids.to_list(), n=3)
