"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with published data sets (tiktok/, lfm2k/); the test is skipped where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KDIFFE_SHARED_DATA", default))
    if not (folder / "tiktok").is_dir() or not (folder / "lfm2k").is_dir():
        pytest.skip("published data sets are not here (set KDIFFE_SHARED_DATA to their folder)")
    return folder


@pytest.fixture(scope="session")
def tiny_dataset():
    """24 users, 18 items, a KG and two modalities; users like the items of one genre.

    Relation ``genre`` causes the interactions, ``colour`` is noise, ``similar`` is symmetric between
    items. Item 17 is cold (no interactions at all), user 23 has no training item (test only).
    """
    from kdiffe_dgl.data import RecDataset
    from kg_builders.schema import KnowledgeGraph

    rng = np.random.default_rng(7)
    n_users, n_items = 24, 18
    users = pl.DataFrame({"user": range(n_users), "id": [f"u{i}" for i in range(n_users)]}).with_columns(
        label=pl.lit("User ") + pl.col("user").cast(pl.Utf8)
    )
    items = pl.DataFrame({"item": range(n_items), "id": [f"i{i}" for i in range(n_items)]}).with_columns(
        label=pl.lit("Item ") + pl.col("item").cast(pl.Utf8)
    )
    genre = np.arange(n_items) % 3
    preference = np.where(genre[None, :] == (np.arange(n_users) % 3)[:, None], 5.0, 0.0)
    order = np.argsort(-(preference + rng.random((n_users, n_items)))[:, :-1], axis=1)
    chosen = order[:, :6]
    split = np.array(["train"] * 4 + ["validation", "test"])
    interactions = pl.DataFrame(
        {
            "user": np.repeat(np.arange(n_users), 6),
            "item": chosen.reshape(-1),
            "split": np.tile(split, n_users),
        }
    ).filter((pl.col("user") != n_users - 1) | (pl.col("split") == "test"))

    def triples(relation: str, kind: str, tails: list[str]) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "head_kind": ["item"] * n_items,
                "head_id": items["id"],
                "relation": [relation] * n_items,
                "tail_kind": [kind] * n_items,
                "tail_id": tails,
                "tail_label": [None] * n_items,
                "source": ["tiny"] * n_items,
            },
            schema_overrides={"tail_label": pl.Utf8},
        )

    colour = rng.integers(0, 4, n_items)
    named = pl.concat(
        [
            triples("genre", "genre", [f"g{g}" for g in genre]),
            triples("colour", "colour", [f"c{c}" for c in colour]),
            triples("similar", "item", [f"i{(i + 3) % n_items}" for i in range(n_items)]),
        ]
    )
    relations = pl.DataFrame(
        {
            "name": ["genre", "colour", "similar"],
            "label": ["genre", "colour", "similar to"],
            "symmetric": [False, False, True],
        }
    )
    kg = KnowledgeGraph.from_named(named, items.select("id", "label"), relations)
    centres = rng.normal(size=(3, 6))
    features = {
        "image": (centres[genre] + 0.1 * rng.normal(size=(n_items, 6))).astype(np.float32),
        "text": (np.eye(3)[genre] @ rng.normal(size=(3, 5)) + 0.1 * rng.normal(size=(n_items, 5))).astype(
            np.float32
        ),
    }
    return RecDataset("tiny", users, items, interactions, kg, features, {"reader": "tiny"})


@pytest.fixture(scope="session", autouse=True)
def _interrupts_arrive() -> Iterator[None]:
    """Take Ctrl-C as in a terminal: a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
