"""The data set: what a valid one is, and that saving and loading lose nothing."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdiffe_dgl.data import SPLITS, RecDataset
from kdiffe_dgl.errors import InputError


def test_tiny_dataset_is_what_its_docstring_says(tiny_dataset):
    assert (tiny_dataset.n_users, tiny_dataset.n_items) == (24, 18)
    assert tiny_dataset.matrix().getnnz(axis=0)[17] == 0
    assert tiny_dataset.matrix("train").getnnz(axis=1)[23] == 0
    assert len(tiny_dataset.pairs("test")) == 24


def test_pairs_and_matrix_agree_with_the_table(tiny_dataset):
    for split in SPLITS:
        expected = sorted(
            (row["user"], row["item"])
            for row in tiny_dataset.interactions.iter_rows(named=True)
            if row["split"] == split
        )
        pairs = tiny_dataset.pairs(split)
        assert pairs.dtype == np.int64
        assert [tuple(pair) for pair in pairs] == expected
        matrix = tiny_dataset.matrix(split)
        assert matrix.dtype == np.float32
        assert set(zip(*matrix.nonzero(), strict=True)) == set(expected)
        assert (matrix.data == 1).all()
    both = tiny_dataset.matrix("train", "validation")
    assert both.nnz == len(tiny_dataset.pairs("train")) + len(tiny_dataset.pairs("validation"))


_texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)


@st.composite
def datasets(draw):
    n_users, n_items = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    ids = [draw(st.lists(_texts, min_size=n, max_size=n, unique=True)) for n in (n_users, n_items)]
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, n_users - 1), st.integers(0, n_items - 1)), unique=True, max_size=12
        )
    )
    splits = draw(st.lists(st.sampled_from([*SPLITS, None]), min_size=len(pairs), max_size=len(pairs)))
    table = {
        "user": pl.Series([u for u, _ in pairs], dtype=pl.Int64),
        "item": pl.Series([i for _, i in pairs], dtype=pl.Int64),
        "split": pl.Series(splits, dtype=pl.Utf8),
    }
    if draw(st.booleans()):
        times = draw(
            st.lists(st.none() | st.integers(-(2**40), 2**40), min_size=len(pairs), max_size=len(pairs))
        )
        table["timestamp"] = pl.Series(times, dtype=pl.Int64)
    width = draw(st.integers(1, 3))
    values = draw(
        st.lists(
            st.floats(-1e6, 1e6, width=32, allow_nan=False),
            min_size=n_items * width,
            max_size=n_items * width,
        )
    )
    return RecDataset(
        "any",
        pl.DataFrame({"user": range(n_users), "id": ids[0], "label": ids[0]}),
        pl.DataFrame({"item": range(n_items), "id": ids[1], "label": ids[1]}),
        pl.DataFrame(table),
        features={"a-b.c": np.array(values, dtype=np.float32).reshape(n_items, width)},
        provenance={"note": "αβ"},
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dataset=datasets())
def test_save_and_load_lose_nothing(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("round") / "data"
    dataset.save(path)
    loaded = RecDataset.load(path)
    RecDataset.verify(path)
    for table in ("users", "items", "interactions"):
        assert getattr(loaded, table).equals(getattr(dataset, table))
    np.testing.assert_array_equal(loaded.features["a-b.c"], dataset.features["a-b.c"])
    assert loaded.provenance == dataset.provenance
    assert loaded.fingerprint == dataset.fingerprint
    assert [entry.name for entry in path.parent.iterdir()] == ["data"]


def test_graph_and_features_survive_and_features_are_memory_mapped(tiny_dataset, tmp_path):
    tiny_dataset.save(tmp_path / "d")
    loaded = RecDataset.load(tmp_path / "d")
    assert isinstance(loaded.features["image"], np.memmap)
    assert loaded.kg is not None
    assert loaded.kg.triples.equals(tiny_dataset.kg.triples)
    assert loaded.kg.entities.equals(tiny_dataset.kg.entities)
    assert loaded.fingerprint == tiny_dataset.fingerprint
    index = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert index["fingerprint"] == loaded.fingerprint


def test_fingerprint_follows_content_and_not_names(tiny_dataset):
    base = tiny_dataset.fingerprint
    assert tiny_dataset.replace(name="other", provenance={}).fingerprint == base
    shuffled = tiny_dataset.interactions.sample(fraction=1.0, shuffle=True, seed=1)
    assert tiny_dataset.replace(interactions=shuffled).fingerprint == base
    changed = [
        {"kg": None},
        {"interactions": tiny_dataset.interactions.head(20)},
        {"features": {"image": tiny_dataset.features["image"]}},
        {"features": dict(tiny_dataset.features) | {"image": tiny_dataset.features["image"] + 1}},
        {"users": tiny_dataset.users.with_columns(pl.col("id") + "x")},
    ]
    prints = {tiny_dataset.replace(**change).fingerprint for change in changed}
    assert len(prints) == len(changed)
    assert base not in prints


def _broken(tiny_dataset):
    table = tiny_dataset.interactions
    first = table.head(1)
    features = tiny_dataset.features["image"]
    holed = features.copy()
    holed[3, 1] = np.nan
    infinite = features.copy()
    infinite[5, 0] = np.inf
    return {
        "splits overlap": {
            "interactions": pl.concat([table, first.with_columns(split=pl.lit("test"))]),
        },
        "more than once": {"interactions": pl.concat([table, first])},
        "unknown user 24": {"interactions": table.with_columns(pl.col("user") + 1)},
        "unknown item -1": {"interactions": table.with_columns(pl.col("item") - 1)},
        "'holdout'": {"interactions": table.with_columns(split=pl.lit("holdout"))},
        "lack the column 'item'": {"interactions": table.drop("item")},
        "row order": {"users": tiny_dataset.users.with_columns(pl.col("user") + 1)},
        "unique ids": {"items": tiny_dataset.items.with_columns(id=pl.lit("x"))},
        "17 rows; expected 18": {"features": {"image": features[:17]}},
        "row 3 holds NaN": {"features": {"image": holed}},
        "row 5 holds NaN or infinite": {"features": {"image": infinite}},
        "expected numbers": {"features": {"image": features.astype(object)}},
        "dimensions": {"features": {"image": features[0]}},
        "plain name": {"features": {"../image": features}},
        "not aligned": {"items": tiny_dataset.items.with_columns(pl.col("id").reverse())},
    }


@pytest.mark.parametrize("number", range(15))
def test_broken_rules_are_refused(tiny_dataset, number):
    cases = _broken(tiny_dataset)
    assert len(cases) == 15
    message, change = list(cases.items())[number]
    with pytest.raises(InputError, match=message):
        tiny_dataset.replace(**change)


def test_half_precision_that_overflows_nothing_is_widened(tiny_dataset):
    halves = tiny_dataset.features["image"].astype(np.float16)
    assert tiny_dataset.replace(features={"image": halves}).features["image"].dtype == np.float32


def test_damaged_files_are_found(tiny_dataset, tmp_path):
    path = tmp_path / "d"
    tiny_dataset.save(path)
    table = path / "interactions.parquet"
    content = table.read_bytes()
    table.write_bytes(content[:-20])
    with pytest.raises(InputError, match=r"interactions.parquet: content differs"):
        RecDataset.load(path)
    table.unlink()
    with pytest.raises(InputError, match=r"interactions.parquet: missing"):
        RecDataset.load(path)
    table.write_bytes(content)
    features = path / "features" / "text.npy"
    whole = features.read_bytes()
    features.write_bytes(whole[:-4])
    with pytest.raises(InputError, match=r"text.npy: is not a complete .npy"):
        RecDataset.load(path)
    features.write_bytes(whole[:-4] + b"\x00\x00\x00\x00")
    RecDataset.load(path)
    with pytest.raises(InputError, match=r"text.npy: content differs"):
        RecDataset.verify(path)
    (path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        RecDataset.load(path)
    (path / "dataset.json").write_text('{"schema_version": 99}')
    with pytest.raises(InputError, match="schema version 99; expected 1"):
        RecDataset.load(path)
    with pytest.raises(InputError, match=r"dataset.json is missing"):
        RecDataset.load(tmp_path)


def test_a_target_is_replaced_only_when_asked_and_only_if_a_dataset(tiny_dataset, tmp_path):
    path = tmp_path / "d"
    tiny_dataset.save(path, sidecars=lambda folder: (folder / "raw").mkdir())
    with pytest.raises(InputError, match="already exists"):
        tiny_dataset.save(path)
    tiny_dataset.replace(kg=None).save(path, overwrite=True)
    assert RecDataset.load(path).kg is None
    assert not (path / "raw").exists()
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="not a data set folder"):
        tiny_dataset.save(precious, overwrite=True)
    assert (precious / "letter.txt").read_text() == "dear"


def test_a_failed_save_leaves_nothing(tiny_dataset, tmp_path):
    def fail(folder):
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError):
        tiny_dataset.save(tmp_path / "d", sidecars=fail)
    assert list(tmp_path.iterdir()) == []
