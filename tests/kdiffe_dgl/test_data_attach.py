"""``kdiffe data attach``: another graph or more features, all else as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from kdiffe_dgl.cli import main
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kg_builders import KnowledgeGraph, write_knowledge_graph
from kg_builders.encoders import encode_items
from kg_builders.encoders.tfidf import TfidfEncoder, TfidfSettings
from kg_builders.schema import NAMED_SCHEMA


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "attach", *map(str, arguments)])


def _graph(*pairs: tuple[str, str]) -> KnowledgeGraph:
    rows = [("item", item, "genre", "genre", genre, None, "test") for item, genre in pairs]
    return KnowledgeGraph.from_named(pl.DataFrame(rows, schema=NAMED_SCHEMA, orient="row"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "planted"
    planted(PlantedConfig(n_users=20, n_items=15)).dataset.save(folder)
    return folder


def test_items_meet_by_their_ids_and_all_else_stays(data: Path, tmp_path: Path) -> None:
    before = RecDataset.load(data)
    ids = before.items["id"].to_list()
    write_knowledge_graph(_graph((ids[3], "a"), (ids[1], "b"), ("of nowhere", "b")), tmp_path / "kg")
    np.save(tmp_path / "sound.npy", np.ones((before.n_items, 2), dtype=np.float32))
    result = _run(
        data,
        "--kg",
        tmp_path / "kg",
        "--features",
        f"sound={tmp_path / 'sound.npy'}",
        "--out",
        tmp_path / "new",
    )
    assert result.exit_code == 0, result.output
    assert "3 triples; it knows 2 of 15 items" in result.stdout
    after = RecDataset.load(tmp_path / "new")
    assert after.kg is not None
    facts = after.kg.to_named().select("head_kind", "head_id", "tail_id").rows()
    assert sorted(facts) == [("item", ids[1], "b"), ("item", ids[3], "a"), ("item", "of nowhere", "b")]
    assert after.kg.entities["id"].head(15).to_list() == ids
    assert after.interactions.equals(before.interactions)
    assert set(after.features) == {*before.features, "sound"}
    assert after.fingerprint != before.fingerprint


def test_items_without_a_name_take_that_of_the_graph(data: Path, tmp_path: Path) -> None:
    before = RecDataset.load(data)
    ids = before.items["id"].to_list()
    named = before.items.with_columns(
        pl.when(pl.col("id") == ids[0]).then(pl.lit("Own name")).otherwise("id").alias("label")
    )
    before.replace(items=named).save(tmp_path / "unnamed")
    titles = pl.DataFrame({"id": ids[:2], "label": ["Title 0", "Title 1"]})
    graph = _graph((ids[0], "a"), (ids[1], "b"), (ids[2], "b")).align_items(titles)
    write_knowledge_graph(graph, tmp_path / "kg")
    assert _run(tmp_path / "unnamed", "--kg", tmp_path / "kg", "--out", tmp_path / "new").exit_code == 0
    after = RecDataset.load(tmp_path / "new")
    assert after.kg is not None
    for labels in (after.items["label"], after.kg.entities["label"]):
        assert labels.head(3).to_list() == ["Own name", "Title 1", ids[2]]


def test_a_matrix_of_other_items_is_refused(data: Path, tmp_path: Path) -> None:
    ids = RecDataset.load(data).items["id"].to_list()
    for name, order in (("same", ids), ("turned", ids[::-1])):
        texts = pl.DataFrame({"id": order, "title": [f"title of {item}" for item in order]})
        encode_items(
            texts, order, TfidfEncoder(TfidfSettings(min_items=1)), tmp_path / f"{name}.npy", fields=["title"]
        )
    attach = (data, "--out", tmp_path / "new", "--features")
    told = _run(*attach, f"words={tmp_path / 'turned.npy'}")
    assert told.exit_code == 2
    assert "turned.npy: encoded for other items, or in another order; expected" in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()
    assert _run(*attach, f"words={tmp_path / 'same.npy'}").exit_code == 0
    words = RecDataset.load(tmp_path / "new").features["words"]
    assert np.array_equal(words, np.load(tmp_path / "same.npy"))
    # A matrix that took the place of the encoded one is another, whatever the record beside it says.
    np.save(tmp_path / "same.npy", np.ones((len(ids), 2), dtype=np.float32))
    told = _run(data, "--out", tmp_path / "other", "--features", f"words={tmp_path / 'same.npy'}")
    assert told.exit_code == 2
    assert "is not the matrix that" in told.stderr


def test_one_file_for_a_modality(data: Path, tmp_path: Path) -> None:
    given = ("--features", "z=a.npy", "--features", "z=b.npy")
    told = _run(data, *given, "--out", tmp_path / "new")
    assert told.exit_code == 2
    assert told.stderr == "error: --features: 'z' is given as a.npy and as b.npy; expected one file\n"


def test_a_graph_can_be_taken_away(data: Path, tmp_path: Path) -> None:
    assert _run(data, "--no-kg", "--out", tmp_path / "bare").exit_code == 0
    assert RecDataset.load(tmp_path / "bare").kg is None
    assert RecDataset.load(data).kg is not None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "expected --kg, --no-kg or --features"),
        (("--kg", "kg", "--no-kg"), "expected --kg, --no-kg or --features"),
        (("--kg", "kg", "--no-kg", "--features", "z=short.npy"), "expected --kg, --no-kg or --features"),
        (("--kg", "kg"), "knows no item of data set"),
        (("--kg", "missing"), "no such folder"),
        (("--features", "sound=short.npy"), "short.npy"),
    ],
)
def test_bad_input(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_knowledge_graph(_graph(("of nowhere", "b")), tmp_path / "kg")
    np.save("short.npy", np.ones((3, 2), dtype=np.float32))
    result = _run(data, *arguments, "--out", "new")
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("new").exists()


def test_a_graph_made_from_held_out_interactions_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "planted"
    dataset = planted(PlantedConfig(n_users=150, n_items=120, seed=3)).dataset
    dataset.save(folder)
    held_out = dataset.interactions.filter(pl.col("split").is_in(["validation", "test"]))
    users, items = dataset.users["id"].to_list(), dataset.items["id"].to_list()
    rows = [
        ("item", items[item], "chosen_by", "reader", users[user], None, "log.csv")
        for user, item in held_out.select("user", "item").iter_rows()
    ]
    leaking = KnowledgeGraph.from_named(pl.DataFrame(rows, schema=NAMED_SCHEMA, orient="row"))
    write_knowledge_graph(leaking, tmp_path / "kg")
    result = _run(folder, "--kg", tmp_path / "kg", "--out", tmp_path / "new")
    assert result.exit_code == 2
    assert "relation 'chosen_by' was made from held-out interactions" in result.stderr
    assert not (tmp_path / "new").exists()
