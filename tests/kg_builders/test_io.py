"""The Parquet folder of a knowledge graph: round trip, same bytes, nothing half-written."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from kg_builders import InputError, KnowledgeGraph
from kg_builders.io import (
    BUILD_FILE,
    REVIEW_FILE,
    SIDE_FILES,
    read_knowledge_graph,
    staged_knowledge_graph,
    to_networkx,
    write_knowledge_graph,
)
from kg_builders.schema import ENTITY_SCHEMA, NAMED_SCHEMA, RELATION_SCHEMA, TRIPLE_SCHEMA


@pytest.fixture
def graph() -> KnowledgeGraph:
    rows = [
        ("item", "1", "genre", "genre", "drama", "Drama", "f:class:list"),
        ("item", "2", "genre", "genre", "comédie", "Comédie", "f:class:list"),
        ("item", "2", "near", "item", "1", None, "x"),
    ]
    relations = pl.DataFrame({"name": ["near"], "label": ["is near"], "symmetric": [True]})
    return KnowledgeGraph.from_named(
        pl.DataFrame(rows, schema=NAMED_SCHEMA, orient="row"), relations=relations
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_round_trip_and_same_bytes(graph: KnowledgeGraph, tmp_path: Path) -> None:
    write_knowledge_graph(graph, tmp_path / "deep" / "one")
    write_knowledge_graph(graph, tmp_path / "two")
    again = read_knowledge_graph(tmp_path / "two")
    for table in ("entities", "relations", "triples"):
        assert getattr(again, table).equals(getattr(graph, table))
        assert getattr(again, table).schema == getattr(graph, table).schema
    assert contents(tmp_path / "deep" / "one") == contents(tmp_path / "two")
    assert set(contents(tmp_path / "two")) == {"entities.parquet", "relations.parquet", "triples.parquet"}
    write_knowledge_graph(again, tmp_path / "two", overwrite=True)
    assert contents(tmp_path / "deep" / "one") == contents(tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "two"]


def test_empty_graph_round_trip(tmp_path: Path) -> None:
    write_knowledge_graph(KnowledgeGraph.empty(), tmp_path / "kg")
    assert read_knowledge_graph(tmp_path / "kg").n_entities == 0


def test_what_exists_is_not_overwritten(graph: KnowledgeGraph, tmp_path: Path) -> None:
    write_knowledge_graph(graph, tmp_path / "kg")
    before = contents(tmp_path / "kg")
    with pytest.raises(InputError, match="kg: exists already"):
        write_knowledge_graph(KnowledgeGraph.empty(), tmp_path / "kg")
    assert contents(tmp_path / "kg") == before
    (tmp_path / "kg" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="isn't a knowledge graph folder"):
        write_knowledge_graph(KnowledgeGraph.empty(), tmp_path / "kg", overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="isn't a knowledge graph folder"):
        write_knowledge_graph(graph, tmp_path / "file", overwrite=True)
    with pytest.raises(InputError, match="can't be written"):
        write_knowledge_graph(graph, tmp_path / "file" / "kg")


def test_a_failed_write_leaves_nothing(graph: KnowledgeGraph, tmp_path: Path) -> None:
    write_knowledge_graph(graph, tmp_path / "kg")
    before = contents(tmp_path / "kg")

    class Broken(KnowledgeGraph):
        def __getattribute__(self, name: str) -> object:
            if name == "triples":
                raise KeyboardInterrupt
            return super().__getattribute__(name)

    broken = object.__new__(Broken)
    object.__setattr__(broken, "entities", graph.entities)
    object.__setattr__(broken, "relations", graph.relations)
    with pytest.raises(KeyboardInterrupt):
        write_knowledge_graph(broken, tmp_path / "kg", overwrite=True)
    assert contents(tmp_path / "kg") == before
    assert [path.name for path in tmp_path.iterdir()] == ["kg"]


@pytest.mark.parametrize("table", ["entities", "relations", "triples"])
def test_truncated_missing_and_foreign_files(graph: KnowledgeGraph, tmp_path: Path, table: str) -> None:
    write_knowledge_graph(graph, tmp_path / "kg")
    path = tmp_path / "kg" / f"{table}.parquet"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1], b"", b"id,label\n1,2\n"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=f"{table}.parquet: can't be read as Parquet"):
            read_knowledge_graph(tmp_path / "kg")
    os.remove(path)
    with pytest.raises(InputError, match=f"{table}.parquet: no such file"):
        read_knowledge_graph(tmp_path / "kg")
    pl.DataFrame({"x": [1]}).write_parquet(path)
    with pytest.raises(InputError, match=f"kg: knowledge graph: {table} lack the column"):
        read_knowledge_graph(tmp_path / "kg")
    with pytest.raises(InputError, match="no such folder"):
        read_knowledge_graph(tmp_path / "absent")


def test_unknown_relation_in_a_file_is_refused(graph: KnowledgeGraph, tmp_path: Path) -> None:
    write_knowledge_graph(graph, tmp_path / "kg")
    graph.triples.with_columns(relation=pl.lit(9)).write_parquet(tmp_path / "kg" / "triples.parquet")
    with pytest.raises(InputError, match="kg: knowledge graph: triple 0 has unknown relation 9"):
        read_knowledge_graph(tmp_path / "kg")


def test_to_networkx(graph: KnowledgeGraph) -> None:
    result = to_networkx(graph)
    assert result.nodes[3] == {"id": "drama", "label": "Drama", "kind": "genre"}
    assert sorted(result.edges(keys=True)) == [(0, 1, "near"), (0, 3, "genre"), (1, 2, "genre")]
    assert result.edges[0, 3, "genre"] == {"source": "f:class:list"}


def test_side_files_appear_with_the_graph(graph: KnowledgeGraph, tmp_path: Path) -> None:
    path = tmp_path / "kg"
    with staged_knowledge_graph(graph, path) as folder:
        for name in SIDE_FILES:
            (folder / name).write_text(name)
        assert not path.exists()
    assert set(contents(path)) == {"entities.parquet", "relations.parquet", "triples.parquet", *SIDE_FILES}
    read_knowledge_graph(path)
    with pytest.raises(FileNotFoundError), staged_knowledge_graph(graph, path, True) as folder:
        (folder / BUILD_FILE).write_text((tmp_path / "absent").read_text())
    assert contents(path)[BUILD_FILE] == BUILD_FILE.encode()
    with staged_knowledge_graph(graph, path, overwrite=True) as folder:
        (folder / BUILD_FILE).write_text("new")
    # What was told of the old graph is gone; what a person may have edited is not.
    assert {name: contents(path)[name] for name in SIDE_FILES if name in contents(path)} == {
        BUILD_FILE: b"new",
        REVIEW_FILE: REVIEW_FILE.encode(),
    }
    with staged_knowledge_graph(graph, path, overwrite=True) as folder:
        (folder / REVIEW_FILE).write_text("other")
    assert contents(path)[REVIEW_FILE] == b"other"
    with (
        pytest.raises(ValueError, match="holds files besides"),
        staged_knowledge_graph(graph, tmp_path / "new") as folder,
    ):
        (folder / "notes.txt").write_text("x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["kg"]


def test_row_groups_are_bounded_and_bytes_are_of_the_rows_alone(tmp_path: Path) -> None:
    count = (1 << 20) + 5
    triples = pl.DataFrame(
        {"head": pl.int_range(count, eager=True) % 3, "relation": 0, "tail": 1, "source": "file:field:rule"},
        schema=TRIPLE_SCHEMA,
    )
    entities = pl.DataFrame(
        [(n, str(n), str(n), "item") for n in range(3)], schema=ENTITY_SCHEMA, orient="row"
    )
    relations = pl.DataFrame([(0, "r", "r", False)], schema=RELATION_SCHEMA, orient="row")
    whole = KnowledgeGraph(entities, relations, triples)
    parts = KnowledgeGraph(
        entities, relations, pl.concat([triples[:7], triples[7:900_000], triples[900_000:]], rechunk=False)
    )
    assert parts.triples.n_chunks() == 3
    write_knowledge_graph(whole, tmp_path / "whole")
    write_knowledge_graph(parts, tmp_path / "parts")
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")
    metadata = pq.read_metadata(tmp_path / "whole" / "triples.parquet")
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [1 << 20, 5]
    assert read_knowledge_graph(tmp_path / "parts").triples.equals(triples)
