"""Recommendation lists of a few users, beside what they met."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.serving.recommender import Recommender, readable_id, unknown_id
from kg_builders.encoders.base import UnreadableError
from kg_builders.encoders.inputs import files_of_folder
from kg_builders.encoders.pictures import open_picture

__all__ = ["Pictures", "UserList", "choose_users", "user_lists"]

HISTORY = 8
"""Items of a user's history that are shown."""
_SIDE = 72
"""Pixels of a picture's longer side."""


@dataclass(frozen=True)
class Pictures:
    """Small pictures of items.

    Parameters
    ----------
    addresses
        Item number -> ``data:`` address of a JPEG.
    broken
        Files that are no pictures, with the reason.
    """

    addresses: dict[int, str] = field(default_factory=dict)
    broken: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path, dataset: RecDataset, items: Sequence[int]) -> Pictures:
        """Read the pictures of some items from a folder of files named by item ids.

        Raises
        ------
        InputError
            If the folder can't be read, or none of its files is named by an item id.
        """
        files = files_of_folder(folder, dataset.items["id"].to_list(), "image").values
        addresses, broken = {}, []
        for item in items:
            file = files[item]
            if file is None:
                continue
            try:
                picture = open_picture(file, _SIDE)
            except UnreadableError as error:
                broken.append(f"{Path(file).name}: {error}")
                continue
            picture.thumbnail((_SIDE, _SIDE))
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=85)
            addresses[item] = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        return cls(addresses, tuple(broken))


@dataclass(frozen=True)
class UserList:
    """What one user met and gets.

    Parameters
    ----------
    id, label
        Of the user.
    n_history
        Items of the user in training.
    history
        ``number``, ``item`` (original id) and ``label`` of some of them: those that fewest users met, which
        tell most of a taste.
    recommended
        ``rank``, ``number``, ``item``, ``label``, ``score``, ``reason`` and ``in_test``: whether the user met
        it in the test split.
    """

    id: str
    label: str
    n_history: int
    history: pl.DataFrame
    recommended: pl.DataFrame


def choose_users(dataset: RecDataset, wanted: Sequence[str], count: int = 3) -> list[str]:
    """Return the ids of users, or else of some whose histories are short, of middling length, and long.

    Raises
    ------
    InputError
        If a user is unknown; the nearest ids are named.
    """
    if wanted:
        wanted = list(dict.fromkeys(map(readable_id, wanted)))
        missing = pl.Series(wanted, dtype=pl.Utf8)
        missing = missing.filter(~missing.is_in(dataset.users["id"].implode()))
        if len(missing):
            raise unknown_id("inspect", missing, dataset.users["id"], "user")
        return wanted
    lengths = np.bincount(dataset.pairs("train")[:, 0], minlength=dataset.n_users)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    # The tenth, the middle and the ninetieth of a hundred.
    places = np.unique((np.linspace(0.1, 0.9, count) * len(order)).astype(np.int64))
    return dataset.users["id"].gather(order[places[places < len(order)]]).to_list()


def user_lists(recommender: Recommender, dataset: RecDataset, users: Sequence[str], k: int) -> list[UserList]:
    """Return history and recommendations of users, by their original ids.

    Raises
    ------
    InputError
        If a user is unknown.
    """
    found = recommender.recommend(users, k)
    numbers = dataset.items.select("id", number="item")
    counts = np.bincount(dataset.pairs("train")[:, 1], minlength=dataset.n_items)
    own = dataset.interactions.join(
        dataset.users.filter(pl.col("id").is_in(list(users))).select("user", owner="id"), on="user"
    )
    lists = []
    for user in users:
        met = own.filter(pl.col("owner") == user)
        trained = met.filter(pl.col("split") == "train")["item"].to_numpy()
        rarest = trained[np.lexsort([trained, counts[trained]])][:HISTORY]
        rows = dataset.items[rarest]
        history = rows.select(number="item", item="id", label="label")
        tested = met.filter(pl.col("split") == "test")["item"]
        recommended = (
            found.filter(pl.col("user") == user)
            .join(numbers, left_on="item", right_on="id", how="left", maintain_order="left")
            .select("rank", "number", "item", "label", "score", "reason")
            .with_columns(in_test=pl.col("number").is_in(tested.implode()))
        )
        label = dataset.users.filter(pl.col("id") == user)["label"][0]
        lists.append(UserList(user, label, len(trained), history, recommended))
    return lists
