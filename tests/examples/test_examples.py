"""Every example runs, and its result is what it promises; training is kept short."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import polars as pl
import pytest
from PIL import Image

from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.models.registry import MODELS
from kdiffe_dgl.serving import RunFolder
from kg_builders import read_knowledge_graph
from kg_builders.encoders import read_features_record

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PNG = b"\x89PNG\r\n\x1a\n"


def check_knowledge_graph(folder: Path, printed: str) -> None:
    kg = read_knowledge_graph(folder / "graph")
    counts = dict(kg.relation_counts().select("name", "tails").iter_rows())
    # Counted by hand: spellings merged, 5 genres and 6 authors; 2 decades hold more than one book.
    assert counts == {"genre": 5, "author": 6, "decade": 2}
    assert (
        json.loads((folder / "report.json").read_text(encoding="utf-8"))["graph"]["triples"] == kg.n_triples
    )
    assert "Science fiction = Science" in printed


def check_training(folder: Path, printed: str) -> None:
    assert (folder / "curves.png").read_bytes().startswith(PNG)
    lists = pl.read_csv(folder / "recommendations.csv")
    assert lists.group_by("user").len()["len"].to_list() == [10] * 300
    means = [
        float(line.rpartition(" ")[2]) for line in printed.splitlines() if line.startswith("liked values")
    ]
    # Chance gives a ratio of 1.
    assert means[0] > 1.4 * means[1]


def check_attention(folder: Path, printed: str) -> None:
    assert (folder / "attention.png").read_bytes().startswith(PNG)
    edges = pl.read_csv(folder / "attention.csv")
    facts = edges.filter(pl.col("weight").is_not_null() & (pl.col("from") != "u012"))
    # A part of the facts of an item is drawn, and the weights of all of them add up to 1.
    assert facts["weight"].min() > 0
    assert facts.group_by("from").agg(pl.col("weight").sum())["weight"].max() <= 1
    recommended = set(edges.filter(pl.col("relation") == "recommended")["to"])
    sides = facts.group_by("to").agg(
        offered=pl.col("from").is_in(list(recommended)).any(),
        met=(~pl.col("from").is_in(list(recommended))).any(),
    )
    assert len(recommended) == 3
    assert len(sides)
    assert (sides["offered"] & sides["met"]).all()


def check_own_files(folder: Path, printed: str) -> None:
    dataset = RecDataset.load(folder / "data")
    assert (dataset.n_users, dataset.n_items, list(dataset.features)) == (150, 120, ["cover"])
    lists = pl.read_csv(folder / "recommendations.csv")
    assert lists["reason"].to_list() == ["model"] * 5 + ["popular: unknown user"] * 5
    loans = pl.read_csv(folder / "raw" / "loans.csv").filter(pl.col("reader") == "reader8")
    held_out = dataset.interactions.filter(pl.col("split") == "test").join(dataset.users, on="user")
    tested = held_out.filter(pl.col("id") == "reader8").join(dataset.items, on="item")["id_right"]
    offered = lists.filter(pl.col("user") == "reader8")["item"]
    assert not set(offered) & (set(loans["book"]) - set(tested))


def check_own_encoder(folder: Path, printed: str) -> None:
    colours = np.load(folder / "colours.npy")
    record = read_features_record(folder / "colours.npy", verify=True)
    assert record is not None
    # One picture is not there and one is none.
    assert record.missing_rows == (0, 1)
    assert [problem.reason for problem in record.problems] == [
        "no picture",
        "can't be read (UnidentifiedImageError)",
    ]
    pixels = np.asarray(Image.open(folder / "raw" / "pictures" / "i07.png")).reshape(-1, 3)
    edges = [np.arange(7) * 256 / 6] * 3
    counts, _ = np.histogramdd(pixels, bins=edges)
    np.testing.assert_allclose(colours[7], np.sqrt(counts.ravel() / len(pixels)), rtol=1e-6)
    assert list(RecDataset.load(folder / "data").features) == ["colours"]
    nearest, anyone = (float(line.rpartition(" ")[2]) for line in printed.splitlines() if "in common" in line)
    assert nearest > 2 * anyone
    assert (folder / "neighbours.png").read_bytes().startswith(PNG)


def check_own_model(folder: Path, printed: str) -> None:
    run = RunFolder(folder / "run")
    assert run.info.model == "entity-mean"
    weights = run.weights()
    dataset = planted(PlantedConfig(n_users=300, n_items=200)).dataset
    assert dataset.kg is not None
    # Item 3 by hand: its own vector, and the mean of the entities of its triples.
    tails = dataset.kg.triples.filter(pl.col("head") == 3)["tail"].to_list()
    expected = weights["item_embedding"][3] + weights["entity_embedding"][tails].mean(axis=0)
    np.testing.assert_allclose(run.representations()[1][3], expected, rtol=1e-4, atol=1e-6)
    recall = dict(pl.read_csv(folder / "comparison.csv").select("model", "recall@20").iter_rows())
    assert recall["entity-mean"] > recall["popularity"] > 0


def check_comparison(folder: Path, printed: str) -> None:
    text = (folder / "comparison" / "results.json").read_text(encoding="utf-8")
    facts = json.loads(text)["datasets"]["planted"]
    entries = facts["entries"]
    for found in facts["comparisons"]:
        metric = found["metric"]
        means = [np.mean([run["test"][metric] for run in entries[model]["runs"]]) for model in entries]
        # The mean over users of differences of means over seeds, in another order.
        assert found["difference"] == pytest.approx(means[0] - means[1], abs=1e-9)
        assert found["interval"][0] <= found["difference"] <= found["interval"][1]
    assert [len(entry["runs"]) for entry in entries.values()] == [2, 2]
    assert "recall@20: kdiffe minus lightgcn" in printed
    assert (folder / "comparison.png").read_bytes().startswith(PNG)


def check_cold_items(folder: Path, printed: str) -> None:
    seen = RunFolder(folder / "run").seen()
    assert 200 - seen["item"].n_unique() >= 40
    found = {row["model"]: row for row in pl.read_csv(folder / "cold.csv").iter_rows(named=True)}
    alone = {model: row["cold items alone"] for model, row in found.items()}
    assert alone["chance"] == 10 / 40
    # Nothing but chance decides between items that nobody has met.
    assert alone["popularity"] == pytest.approx(alone["chance"], abs=0.05)
    assert alone["profile of facts"] > 1.5 * alone["chance"]
    assert found["popularity"]["whole catalogue"] == 0
    assert (folder / "cold.png").read_bytes().startswith(PNG)


def check_other_tools(folder: Path, printed: str) -> None:
    assert printed.count("True") == 6
    assert "False" not in printed
    kg = planted(PlantedConfig(n_users=100, n_items=80)).dataset.kg
    assert kg is not None
    lines = (folder / "kgat" / "kg_final.txt").read_text(encoding="utf-8").splitlines()
    numbers = np.array([line.split() for line in lines], dtype=np.int64)
    assert len(numbers) == kg.n_triples
    assert numbers.max() < kg.n_entities
    assert pl.read_csv(folder / "central.csv")["pagerank"].sum() == pytest.approx(1)
    assert sorted(path.name for path in (folder / "mmrec").iterdir()) == [
        "image_feat.npy",
        "planted.inter",
        "text_feat.npy",
    ]


def check_records(folder: Path, printed: str) -> None:
    # Counted by hand in the records: triples and values of each relation.
    expected = {
        "amazon": {"bought_together": 8, "brand": 8, "broader": 5, "category": 9, "price_range": 7},
        "movielens": {"genre": 8, "release_decade": 5, "tag": 5, "title_word": 6},
    }
    for name, counts in expected.items():
        kg = read_knowledge_graph(folder / name)
        assert dict(kg.relation_counts().select("name", "triples").iter_rows()) == counts
        assert (folder / f"{name}.png").read_bytes().startswith(PNG)
        assert (folder / name / "report.html").is_file()
    assert "brands: Fenwick, LUMINA, Oriel Optics\n" in printed
    assert len(pl.read_csv(folder / "amazon" / "review.csv").filter(pl.col("decision") == "merge")) == 2


def check_explanations(folder: Path, printed: str) -> None:
    for name in ("why.png", "facts.png"):
        assert (folder / name).read_bytes().startswith(PNG)
    assert "<script" in (folder / "why.html").read_text(encoding="utf-8")
    graph = nx.read_graphml(folder / "why.graphml", force_multigraph=True)
    assert graph.graph["user"] == "user:12"
    assert nx.has_path(graph.to_undirected(), "user:12", graph.graph["item"])
    named = pl.read_csv(folder / "named.csv")
    world = planted(PlantedConfig(n_users=300, n_items=200))
    true = world.triples.filter("relevant").select(item="head_id", relation="relation").unique()
    assert set(named.filter("reason")["relation"]) <= set(true["relation"])
    facts = world.dataset.kg.to_named().select("relation", item="head_id", fact="tail_label")
    assert len(named.join(facts, on=["item", "relation"], how="semi")) == len(named)
    first, second = (
        float(line.rpartition(" ")[2]) for line in printed.splitlines() if line.startswith("reasons")
    )
    assert first == pytest.approx(named.filter("on_path")["reason"].mean(), abs=0.006)
    assert second == pytest.approx(world.triples["relevant"].mean(), abs=0.006)


CHECKS: dict[str, tuple[list[str], Callable[[Path, str], None]]] = {
    "01_build_knowledge_graph.py": ([], check_knowledge_graph),
    "02_train_and_recommend.py": (["--epochs", "8"], check_training),
    "03_attention_subgraph.py": (["--epochs", "2"], check_attention),
    "04_own_csv.py": (["--epochs", "2"], check_own_files),
    "05_own_encoder.py": (["--items", "80"], check_own_encoder),
    "06_own_model.py": (["--epochs", "30"], check_own_model),
    "07_compare_models.py": (["--seeds", "2", "--epochs", "2"], check_comparison),
    "08_cold_items.py": (["--epochs", "2"], check_cold_items),
    "09_other_tools.py": ([], check_other_tools),
    "10_amazon_and_movielens.py": ([], check_records),
    "11_explain_recommendations.py": (["--epochs", "8", "--users", "20"], check_explanations),
}
GALLERY = "make_gallery.py"
TWICE = ("01", "05", "09", "10")
"""Examples that take a second: they are run again over what the first run has left."""


def test_every_example_is_checked():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted([*CHECKS, GALLERY])


@pytest.mark.parametrize("name", CHECKS)
def test_example_does_what_it_says(name, tmp_path, monkeypatch, capsys):
    options, check = CHECKS[name]
    output = tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "--output", str(output), *options])
    before = dict(MODELS)
    try:
        # In this process: importing torch and DGL anew for each would take longer than the examples do.
        for _ in range(2 if name.startswith(TWICE) else 1):
            capsys.readouterr()
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        MODELS.clear()
        MODELS.update(before)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    check(output, printed.out)


def test_gallery_runs_examples_as_a_user_would(tmp_path, monkeypatch, capfd):
    images, runs = tmp_path / "images", tmp_path / "runs"
    gallery = runpy.run_path(str(EXAMPLES / GALLERY))
    monkeypatch.setattr(
        sys,
        "argv",
        [GALLERY, "--images", str(images), "--runs", str(runs), "--only", "10_amazon_and_movielens"],
    )
    gallery["main"]()
    assert capfd.readouterr().err == ""
    assert sorted(path.name for path in images.iterdir()) == ["amazon.png", "movielens.png"]
    assert all(path.stat().st_size < gallery["MOST_BYTES"] for path in images.iterdir())


def test_gallery_knows_every_picture_of_the_docs():
    gallery = runpy.run_path(str(EXAMPLES / GALLERY))
    wanted = {name for pictures in gallery["PICTURES"].values() for name in pictures.values()}
    committed = EXAMPLES.parent / "docs" / "images"
    assert {path.name for path in committed.glob("*.png")} == wanted
    assert all(path.stat().st_size < gallery["MOST_BYTES"] for path in committed.glob("*.png"))
    assert {f"{name}.py" for name in gallery["PICTURES"]} <= set(CHECKS)
