"""One call from a recipe to a graph and its report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import kg_builders
from kg_builders import (
    InputError,
    KnowledgeGraph,
    build_graph,
    describe,
    load_recipe,
    render,
    write_knowledge_graph,
)
from kg_builders.build import read_features
from kg_builders.encoders import encode_items
from kg_builders.encoders.tfidf import TfidfEncoder, TfidfSettings
from kg_builders.schema import ITEM, NAMED_SCHEMA

RECIPE = """
source: {kind: table, path: items.csv, id: sku, label: name, lists: {tags: "|"}, numbers: [price]}
rules:
  - {kind: list, field: tags, relation: tag}
  - {kind: number, field: price, edges: [10]}
external:
  - {kind: triples, triples: kg.txt, links: map.txt, entity: wiki}
features:
  look: {path: look.npy, neighbours: 1, clusters: 2}
prune: {max_share: 0.9}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "items.csv").write_text(
        "sku,name,tags,price\na,Axe,tool|all,5\nb,Bow,all,20\nc,Cup,home|all,7\n"
    )
    (tmp_path / "kg.txt").write_text("q1\tmade_of\tq9\nq2\tmade_of\tq9\n")
    (tmp_path / "map.txt").write_text("a\tq1\nb\tq2\n")
    np.save(tmp_path / "look.npy", np.array([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.5]], dtype=np.float32))
    return tmp_path


def text_of(renderable: object) -> str:
    with open("/dev/null", "w") as sink:
        console = Console(width=200, record=True, file=sink)
        console.print(renderable)
        return console.export_text()


def test_build_joins_everything(folder: Path) -> None:
    kg, report = build_graph(load_recipe(folder / "recipe.yaml"), folder)
    named = kg.to_named()
    assert set(named.select("head_id", "relation", "tail_kind", "tail_id").rows()) == {
        ("a", "tag", "tag", "tool"), ("c", "tag", "tag", "home"),
        ("a", "price", "price", "below 10"), ("c", "price", "price", "below 10"),
        ("b", "price", "price", "10 and above"),
        ("a", "made_of", "wiki", "q9"), ("b", "made_of", "wiki", "q9"),
        ("a", "look_neighbour", ITEM, "b"),
        ("a", "in_look_cluster", "look_cluster", "0"), ("b", "in_look_cluster", "look_cluster", "0"),
        ("c", "in_look_cluster", "look_cluster", "1"),
    }  # fmt: skip
    assert kg.entities["label"].to_list()[:3] == ["Axe", "Bow", "Cup"]
    assert set(named["source"]) >= {"items.csv:tags:list", "items.csv:price:number", "kg.txt:made_of:given"}
    told = json.loads(json.dumps(report.to_dict()))
    assert told["links"][0]["linked"] == 2
    assert told["modalities"]["look"]["clusters"] == 2
    common = next(step for step in told["pruning"] if step["name"] == "common entities")
    assert (common["triples"], common["examples"]) == (3, ["all (tag)"])
    assert told["graph"]["triples"] == kg.n_triples
    text = text_of(report.render())
    assert "kg.txt: 2 triples; 2 of 3 items are linked (66.7%)" in text
    assert "features look: 1 pairs of neighbours, 2 clusters" in text


def test_given_items_and_features_replace_those_of_the_recipe(folder: Path) -> None:
    items = pl.DataFrame({"id": ["c", "new", "a"], "label": [None, "New", None]})
    features = {"look": np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]])}
    kg, report = build_graph(load_recipe(folder / "recipe.yaml"), folder, items, features)
    assert kg.entities["id"].to_list()[:3] == ["c", "new", "a"]
    assert kg.n_items == 3
    assert report.extraction is not None
    assert report.extraction.items == 3
    near = kg.to_named().filter(pl.col("relation") == "look_neighbour")
    assert {frozenset(pair) for pair in near.select("head_id", "tail_id").rows()} == {frozenset(("c", "new"))}
    with pytest.raises(InputError, match=r"features 'look': have 3 rows; expected one for each of 2 items"):
        build_graph(load_recipe(folder / "recipe.yaml"), folder, items.tail(2), features)


def test_same_recipe_gives_the_same_bytes(folder: Path) -> None:
    for name in ("one", "two"):
        kg, _ = build_graph(load_recipe(folder / "recipe.yaml"), folder)
        write_knowledge_graph(kg, folder / name)
    for path in (folder / "one").iterdir():
        assert path.read_bytes() == (folder / "two" / path.name).read_bytes()


def test_features_alone() -> None:
    matrix = np.random.default_rng(0).normal(size=(9, 4))
    items = pl.DataFrame({"id": [str(number) for number in range(9)], "label": ["x"] * 9})
    kg, report = build_graph(
        {"features": {"anything": {"neighbours": 2}}}, items=items, features={"anything": matrix}
    )
    assert kg.relations["name"].to_list() == ["anything_neighbour", "in_anything_cluster"]
    assert report.extraction is None
    assert report.graph["item_facts"]["coverage"] == 1.0


TABLE = {"kind": "table", "path": "items.csv", "id": "sku"}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"sorce": {}}, r"recipe: unknown key 'sorce'; did you mean 'source'"),
        ({"source": {"kind": "tabel"}}, r"recipe: source: unknown kind 'tabel'; did you mean 'table'"),
        ({}, r"recipe: no source and no items"),
        ({"source": {"kind": "table", "path": "absent.csv"}}, r"absent.csv: can't be read"),
        ({"source": TABLE, "rules": "ml100k"},
         r"rules 'ml100k'.*did you mean 'ml-100k'"),
        ({"source": TABLE, "features": {"m": {}}},
         r"features 'm' are neither given nor in a file"),
        ({"source": TABLE, "features": {"m": {"path": "no.npy"}}},
         r"no.npy: no such file"),
    ],
)  # fmt: skip
def test_bad_recipes(folder: Path, recipe: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_graph(recipe, folder)


def test_bad_items_and_rules_without_source() -> None:
    with pytest.raises(InputError, match=r"items: expected a table with columns id and label"):
        build_graph({}, items=pl.DataFrame({"id": ["a"]}))
    with pytest.raises(InputError, match=r"has rules but no source"):
        build_graph({"rules": "lfm2k"}, items=pl.DataFrame({"id": ["a"], "label": ["A"]}))


def test_bad_feature_files(tmp_path: Path) -> None:
    path = tmp_path / "m.npy"
    np.save(path, np.eye(50))
    whole = path.read_bytes()
    for damaged in (whole[:-8], whole[:40], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"m.npy: can't be read as .npy; the file is truncated"):
            read_features(path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"holds Python objects"):
        read_features(path)
    np.save(path, np.array([[1.0], [np.nan]]))
    items = pl.DataFrame({"id": ["a", "b"], "label": ["A", "B"]})
    with pytest.raises(InputError, match=r"m.npy: features 'm': row 1 holds NaN or infinity"):
        build_graph({"features": {"m": {"path": "m.npy"}}}, tmp_path, items)


def test_wrong_links_are_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    genre = rng.integers(0, 5, 120)
    (tmp_path / "items.csv").write_text(
        "id,genre\n" + "".join(f"{row},g{value}\n" for row, value in enumerate(genre))
    )
    (tmp_path / "kg.txt").write_text("".join(f"e{row}\tkind\tk{value}\n" for row, value in enumerate(genre)))
    recipe = {
        "source": {"kind": "table", "path": "items.csv"},
        "rules": [{"kind": "categorical", "field": "genre"}],
        "external": [{"kind": "triples", "triples": "kg.txt", "links": "map.txt"}],
    }
    (tmp_path / "map.txt").write_text("".join(f"{row}\te{row}\n" for row in range(120)))
    assert build_graph(recipe, tmp_path)[1].warnings == []
    (tmp_path / "map.txt").write_text(
        "".join(f"{row}\te{other}\n" for row, other in enumerate(rng.permutation(120)))
    )
    _, report = build_graph(recipe, tmp_path)
    assert len(report.warnings) == 1
    assert "map.txt are probably those of another catalogue" in report.warnings[0]
    assert "Warning: what kg.txt says of 120 items" in text_of(report.render())


def test_describe_a_graph_by_hand() -> None:
    rows = [(ITEM, f"i{number}", "all", "x", "hub", "Hub", "s") for number in range(12)]
    rows += [(ITEM, "i0", "some", "y", "rare", "Rare", "s"), ("y", "rare", "of", "z", "far", None, "s")]
    items = pl.DataFrame(
        {"id": [f"i{number}" for number in range(13)], "label": [None] * 13},
        schema_overrides={"label": pl.Utf8},
    )
    kg = KnowledgeGraph.from_named(pl.DataFrame(rows, schema=NAMED_SCHEMA, orient="row"), items)
    told = describe(kg, few_facts=2)
    assert json.loads(json.dumps(told)) == told
    assert (told["entities"], told["items"], told["relations"], told["triples"]) == (16, 13, 3, 14)
    assert [(kind["kind"], kind["entities"]) for kind in told["kinds"]] == [
        (ITEM, 13),
        ("x", 1),
        ("y", 1),
        ("z", 1),
    ]
    assert told["item_facts"]["coverage"] == pytest.approx(12 / 13)
    assert told["item_facts"]["items_without_facts"] == 1
    assert told["item_facts"]["items_with_few_facts"] == 12
    assert told["item_facts"]["facts_per_item"]["max"] == 2
    assert told["components"] == {"count": 2, "largest_share": 15 / 16}
    assert [(row["name"], row["triples"], row["items"]) for row in told["relation_table"]] == [
        ("all", 12, 12), ("of", 1, 0), ("some", 1, 1),
    ]  # fmt: skip
    assert [example["head"] for example in told["relation_table"][0]["examples"]] == ["i0", "i4", "i8"]
    assert told["hubs"][0] == {"label": "Hub", "kind": "x", "items": 12, "share": pytest.approx(12 / 13)}
    assert len(told["warnings"]) == 2
    assert "relation 'all' has one tail for all its heads" in told["warnings"][0]
    assert "'Hub' (x) is joined to 92.3% of the items" in told["warnings"][1]
    assert "Hub" in text_of(render(told))
    empty = describe(KnowledgeGraph.empty())
    assert empty["items"] == 0
    assert "triples" in text_of(render(empty))


def test_every_public_name_can_be_imported() -> None:
    for name in kg_builders.__all__:
        assert getattr(kg_builders, name) is not None
        assert name in dir(kg_builders)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        kg_builders.nonsense  # noqa: B018


def test_a_recipe_knows_whose_features_they_are(tmp_path: Path) -> None:
    ids = ["a", "b", "c"]
    items = pl.DataFrame({"id": ids, "label": ids, "title": ["red lamp", "red bulb", "green bulb"]})
    encoder = TfidfEncoder(TfidfSettings(min_items=1))
    for name, order in (("same", items), ("turned", items.reverse())):
        encode_items(order, order["id"].to_list(), encoder, tmp_path / f"{name}.npy", fields=["title"])
    catalogue = items.select("id", "label")
    kg, _ = build_graph({"features": {"words": {"path": "same.npy"}}}, tmp_path, catalogue)
    assert len(kg.triples)
    with pytest.raises(InputError, match=r"turned.npy: encoded for other items, or in another order"):
        build_graph({"features": {"words": {"path": "turned.npy"}}}, tmp_path, catalogue)
    np.save(tmp_path / "same.npy", np.eye(3, dtype=np.float32))
    with pytest.raises(InputError, match=r"same.npy: is not the matrix that same.json describes"):
        build_graph({"features": {"words": {"path": "same.npy"}}}, tmp_path, catalogue)
