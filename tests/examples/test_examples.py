"""Every example runs as a user would run it, and its result is what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from kdiffe_dgl.data import RecDataset
from kg_builders import read_knowledge_graph

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


CHECKS: dict[str, Callable[[Path, str], None]] = {
    "01_build_knowledge_graph.py": check_knowledge_graph,
    "02_train_and_recommend.py": check_training,
    "03_attention_subgraph.py": check_attention,
    "04_own_csv.py": check_own_files,
}


def test_every_example_is_checked():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_example_does_what_it_says(name, tmp_path):
    # Where other programs run, threads that spin while they wait hold each other up many times over.
    threads = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    environment = {**os.environ, **threads, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(EXAMPLES / name), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    CHECKS[name](tmp_path / "out", done.stdout)
