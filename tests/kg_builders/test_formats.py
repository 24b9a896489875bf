"""Graphs in the formats of other tools: what is written is read back, by us and by those tools' readers."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kg_builders import InputError, KnowledgeGraph
from kg_builders.formats.percent import IN_IRI, IN_LABEL, IN_TOKEN, percent_decode, percent_encode
from kg_builders.io import export_formats, export_graph, from_networkx, import_graph, to_networkx
from kg_builders.schema import ENTITY_SCHEMA, ITEM, RELATION_SCHEMA, TRIPLE_SCHEMA

HOSTILE = [
    "", " ", "a b", "tab\there", "line\nbreak", "\r\n", 'quo"te', '"quoted"', "'", "007", "1", "1.0", "1e5",
    "NA", "null", "nan", "None", "[PAD]", "é", "日本", "a:b", ":", "a/b", "%", "%20", "100%", "\\", "\\n",
    "\\u0041", "<b>&amp;</b>", "#", "?q=1", "http://x.org/y#z", "\u2028", "\x85", "\ufeff", "\xa0", "{}|^`",
    "\U0001f3b5", "\ue000", "\ufffd", "^-1", "genre^-1", "..", "item", "entity", "_:b0", "-", ",", ";",
    "]]>", "a,b",
]  # fmt: skip
CONTROLS = ["\0", "\x01", "a\x1fb", "\x7f", "\ufffe"]


def texts(controls: bool = True) -> st.SearchStrategy[str]:
    every = st.text(st.characters(codec="utf-8", exclude_categories=() if controls else ("Cc",)), max_size=4)
    if not controls:
        every = every.filter(lambda text: not {"\ufffe", "\uffff"} & set(text))
    return st.sampled_from(HOSTILE + (CONTROLS if controls else [])) | every


SAFE_ID = st.text(
    st.characters(codec="utf-8", exclude_characters='\0\t\n\r"'), min_size=1, max_size=5
).filter(lambda text: text.lower() not in {"na", "n/a", "nan", "null", "none", "<na>", "#na", "#n/a", "-nan"})


@st.composite
def graphs(
    draw: st.DrawFn, controls: bool = True, items: st.SearchStrategy[str] | None = None, least: int = 0
) -> KnowledgeGraph:
    """Graphs of hostile ids and labels; with ``least`` triples, items come among other entities."""
    text = texts(controls)
    item_ids = draw(
        st.lists(text if items is None else items, unique=True, min_size=1 if least else 0, max_size=4)
    )
    kinds = text.filter(lambda kind: kind != ITEM)
    others = draw(st.lists(st.tuples(kinds, text), unique=True, max_size=5))
    named = draw(st.permutations([(ITEM, id_) for id_ in item_ids] + others))
    names = draw(st.lists(text.filter(bool), unique=True, min_size=1 if least else 0, max_size=3))
    entities = [(number, id_, draw(text), kind) for number, (kind, id_) in enumerate(named)]
    relations = [(number, name, draw(text), draw(st.booleans())) for number, name in enumerate(names)]
    every = list(itertools.product(range(len(named)), range(len(names)), range(len(named))))
    chosen = draw(st.lists(st.sampled_from(every), unique=True, min_size=least, max_size=8)) if every else []
    triples = [(*triple, draw(text)) for triple in chosen]
    return KnowledgeGraph(
        pl.DataFrame(entities, schema=ENTITY_SCHEMA, orient="row"),
        pl.DataFrame(relations, schema=RELATION_SCHEMA, orient="row"),
        pl.DataFrame(triples, schema=TRIPLE_SCHEMA, orient="row"),
    )


def assert_same(found: KnowledgeGraph, expected: KnowledgeGraph, sources: bool = True) -> None:
    assert found.entities.rows() == expected.entities.rows()
    assert found.relations.rows() == expected.relations.rows()
    columns = list(TRIPLE_SCHEMA) if sources else ["head", "relation", "tail"]
    assert found.triples.select(columns).rows() == expected.triples.select(columns).rows()


def facts(kg: KnowledgeGraph) -> set[tuple[str, ...]]:
    """Triples without regard to numbers."""
    columns = ["head_kind", "head_id", "relation", "tail_kind", "tail_id", "tail_label"]
    return set(kg.to_named().select(columns).rows())


def facts_in_plain_python(kg: KnowledgeGraph) -> set[tuple[str, str, str]]:
    ids = kg.entities["id"].to_list()
    names = kg.relations["name"].to_list()
    return {(ids[head], names[relation], ids[tail]) for head, relation, tail, _ in kg.triples.rows()}


quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
counter = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


@pytest.fixture
def graph() -> KnowledgeGraph:
    entities = [
        (0, "drama", "Drama", "genre"),
        (1, "10", "Toy Story", "item"),
        (2, "1", 'Say "Hi" & <go>', "item"),
        (3, "1", "One", "genre"),
        (4, "2", "Alone", "item"),
    ]
    relations = [
        (0, "genre", "has genre", False),
        (1, "near", "is near", True),
        (2, "unused", "unused", False),
    ]
    triples = [
        (1, 0, 0, "f.item:class:list"),
        (2, 0, 0, "f.item:class:list"),
        (2, 0, 3, "x"),
        (1, 1, 2, "knn"),
    ]
    return KnowledgeGraph(
        pl.DataFrame(entities, schema=ENTITY_SCHEMA, orient="row"),
        pl.DataFrame(relations, schema=RELATION_SCHEMA, orient="row"),
        pl.DataFrame(triples, schema=TRIPLE_SCHEMA, orient="row"),
    )


@given(st.lists(texts() | st.none()), st.sampled_from([IN_TOKEN, IN_LABEL, IN_IRI]))
@quick
def test_percent_encoding_can_be_undone(values: list[str | None], unsafe: str) -> None:
    series = pl.Series("text", values, dtype=pl.Utf8)
    encoded = percent_encode(series, unsafe)
    assert percent_decode(encoded).to_list() == values
    assert not encoded.str.contains(unsafe.replace("%", "")).any()


@given(kg=graphs(items=SAFE_ID, least=1), items=st.booleans())
@quick
def test_recbole_round_trip(folder: Path, kg: KnowledgeGraph, items: bool) -> None:
    path = folder / f"recbole{next(counter)}"
    export_graph(kg, path, "recbole", items=items, provenance=True)
    assert_same(import_graph(path, "recbole"), kg)


@given(kg=graphs(items=SAFE_ID, least=1))
@quick
def test_pandas_reads_what_recbole_would(folder: Path, kg: KnowledgeGraph) -> None:
    """RecBole reads atomic files by ``pandas.read_csv`` with these arguments."""
    path = folder / f"pandas{next(counter)}"
    export_graph(kg, path, "recbole", name="set", items=True)
    tables = {
        suffix: pd.read_csv(path / f"set.{suffix}", delimiter="\t", dtype=str, engine="python")
        for suffix in ("kg", "link", "item")
    }
    assert not any(tables[suffix].drop(columns="item_label:token", errors="ignore").isna().any(axis=None)
                   for suffix in tables)  # fmt: skip
    expected = kg.entities.filter(pl.col("kind") == ITEM)["id"].to_list()
    assert tables["link"]["item_id:token"].tolist() == expected
    assert tables["item"]["item_id:token"].tolist() == expected
    tokens = {token for column in ("head_id:token", "tail_id:token") for token in tables["kg"][column]}
    used = set(kg.triples["head"]) | set(kg.triples["tail"])
    assert len(tokens) == len(used)
    assert len(tables["kg"]) == kg.n_triples
    assert tables["kg"]["relation_id:token"].nunique() == kg.triples["relation"].n_unique()


@given(kg=graphs(least=1))
@quick
def test_kgat_round_trip(folder: Path, kg: KnowledgeGraph) -> None:
    path = folder / f"kgat{next(counter)}"
    export_graph(kg, path, "kgat")
    found = import_graph(path, "kgat")
    assert found.relations.rows() == kg.relations.rows()
    assert facts(found) == facts(kg)
    items = kg.entities.filter(pl.col("kind") == ITEM).drop("entity")
    others = kg.entities.filter(pl.col("kind") != ITEM).drop("entity")
    assert found.entities.drop("entity").rows() == items.rows() + others.rows()
    # As KGAT's loader reads it.
    numbers = np.loadtxt(path / "kg_final.txt", dtype=np.int32, ndmin=2)
    assert numbers.tolist() == [list(row) for row in found.triples.select("head", "relation", "tail").rows()]
    lines = (path / "item_list.txt").read_text(encoding="utf-8").split("\n")[1:-1]
    assert [line.split(" ")[1] for line in lines] == [str(number) for number in range(len(items))]


@given(kg=graphs(), base=st.sampled_from(["https://example.org/kg/", "urn:kg:", "http://x.org/é#"]))
@quick
def test_ntriples_round_trip(folder: Path, kg: KnowledgeGraph, base: str) -> None:
    path = folder / f"{next(counter)}.nt"
    export_graph(kg, path, "ntriples", base=base, provenance=True)
    assert_same(import_graph(path, "ntriples"), kg)


@given(kg=graphs())
@quick
def test_ntriples_are_those_of_another_parser(folder: Path, kg: KnowledgeGraph) -> None:
    pyoxigraph = pytest.importorskip("pyoxigraph")
    path = folder / f"{next(counter)}.nt"
    export_graph(kg, path, "ntriples", base="http://x.org/")
    statements = list(pyoxigraph.parse(path=str(path), format=pyoxigraph.RdfFormat.N_TRIPLES))
    label = "http://www.w3.org/2000/01/rdf-schema#label"
    labels = [each.object.value for each in statements if each.predicate.value == label]
    assert labels == kg.relations["label"].to_list() + kg.entities["label"].to_list()
    entities = {
        each.subject.value
        for each in statements
        if each.predicate.value.endswith("#type") and each.object.value.startswith("http://x.org/kind/")
    }
    assert len(entities) == kg.n_entities
    told = [each for each in statements if each.predicate.value.startswith("http://x.org/relation/")]
    assert len({(e.subject.value, e.predicate.value, e.object.value) for e in told}) == kg.n_triples
    assert {e.subject.value for e in told} | {e.object.value for e in told} <= entities


@given(kg=graphs(controls=False))
@quick
def test_graphml_round_trip(folder: Path, kg: KnowledgeGraph) -> None:
    path = folder / f"{next(counter)}.graphml"
    export_graph(kg, path, "graphml")
    found = import_graph(path, "graphml")
    # NetworkX keeps edges by their heads.
    assert sorted(found.triples.rows()) == sorted(kg.triples.rows())
    assert_same(found, KnowledgeGraph(kg.entities, kg.relations, found.triples))
    other = nx.read_graphml(path)
    assert [tuple(facts.values()) for _, facts in other.nodes(data=True)] == kg.entities.select(
        "id", "label", "kind"
    ).rows()
    assert other.number_of_edges() == kg.n_triples or not other.is_multigraph()


@given(kg=graphs())
@quick
def test_networkx_round_trip(kg: KnowledgeGraph) -> None:
    found = from_networkx(to_networkx(kg))
    assert found.entities.rows() == kg.entities.rows()
    assert found.relations.rows() == kg.relations.rows()
    assert set(found.triples.rows()) == set(kg.triples.rows())


@pytest.mark.parametrize("name", [each.name for each in export_formats()])
def test_same_bytes_and_atomic(graph: KnowledgeGraph, tmp_path: Path, name: str) -> None:
    def contents(path: Path) -> dict[str, bytes]:
        files = [path] if path.is_file() else sorted(path.iterdir())
        return {file.name: file.read_bytes() for file in files}

    for place in ("one", "two"):
        export_graph(graph, tmp_path / place / "kg", name)
    first = contents(tmp_path / "one" / "kg")
    assert first == contents(tmp_path / "two" / "kg")
    with pytest.raises(InputError, match="kg: exists already"):
        export_graph(graph, tmp_path / "one" / "kg", name)
    parts = pl.concat([graph.triples[:1], graph.triples[1:]], rechunk=False)
    again = KnowledgeGraph(graph.entities, graph.relations, parts)
    export_graph(again, tmp_path / "one" / "kg", name, overwrite=True)
    assert contents(tmp_path / "one" / "kg") == first
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["kg"]
    with pytest.raises(InputError, match="x: can't be written"):
        export_graph(graph, tmp_path / "one" / "kg" / next(iter(first)) / "x", name)
    found = import_graph(tmp_path / "one" / "kg", name)
    assert facts(found) == facts(graph)
    assert found.relations.rows() == graph.relations.rows()


def test_formats_are_described() -> None:
    formats = {each.name: each for each in export_formats()}
    assert set(formats) == {"parquet", "recbole", "kgat", "ntriples", "graphml"}
    assert formats["recbole"].folder
    assert not formats["graphml"].folder
    assert dict(formats["recbole"].write_options) == {"name": None, "items": False, "provenance": False}
    assert dict(formats["recbole"].read_options) == {"name": None}
    assert set(formats["ntriples"].write_options) == {"base", "provenance"}
    assert dict(formats["kgat"].write_options) == {}


def test_recbole_files_are_as_published(graph: KnowledgeGraph, tmp_path: Path) -> None:
    export_graph(graph, tmp_path / "toys", "recbole", items=True)
    assert sorted(os.listdir(tmp_path / "toys")) == [
        f"toys.{x}" for x in ("entity", "item", "kg", "link", "relation")
    ]
    assert (tmp_path / "toys" / "toys.kg").read_text() == (
        "head_id:token\trelation_id:token\ttail_id:token\n"
        "item:10\tgenre\tgenre:drama\nitem:1\tgenre\tgenre:drama\nitem:1\tgenre\tgenre:1\nitem:10\tnear\titem:1\n"
    )
    assert (tmp_path / "toys" / "toys.link").read_text() == (
        "item_id:token\tentity_id:token\n10\titem:10\n1\titem:1\n2\titem:2\n"
    )
    found = import_graph(tmp_path / "toys", "recbole")
    assert_same(found, graph, sources=False)
    assert found.triples["source"].to_list() == ["toys.kg:genre:given"] * 3 + ["toys.kg:near:given"]


def test_recbole_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "ml.kg").write_text(
        "head_id:token\trelation_id:token\ttail_id:token\nm.1\tfilm.genre\tm.7\nm.2\tfilm.genre\tm.7\n"
    )
    (tmp_path / "ml.link").write_text("item_id:token\tentity_id:token\n20\tm.2\n30\tm.9\n")
    kg = import_graph(tmp_path, "recbole")
    assert facts(kg) == {
        ("entity", "m.1", "film.genre", "entity", "m.7", "m.7"),
        ("item", "20", "film.genre", "entity", "m.7", "m.7"),
    }
    assert kg.n_items == 2
    (tmp_path / "other.kg").write_text("")
    with pytest.raises(InputError, match=r"holds 2 .kg files \(ml.kg, other.kg\)"):
        import_graph(tmp_path, "recbole")
    assert import_graph(tmp_path, "recbole", name="ml").n_triples == 2


def test_kgat_files_are_as_published(graph: KnowledgeGraph, tmp_path: Path) -> None:
    export_graph(graph, tmp_path / "kgat", "kgat")
    texts = {path.name: path.read_text() for path in (tmp_path / "kgat").iterdir()}
    assert texts["kg_final.txt"] == "0 0 3\n1 0 3\n1 0 4\n0 1 1\n"
    assert texts["entity_list.txt"] == (
        "org_id remap_id\nitem:10 0\nitem:1 1\nitem:2 2\ngenre:drama 3\ngenre:1 4\n"
    )
    assert texts["item_list.txt"] == ("org_id remap_id freebase_id\n10 0 item:10\n1 1 item:1\n2 2 item:2\n")
    assert texts["relation_list.txt"] == "org_id remap_id\ngenre 0\nnear 1\nunused 2\n"


def test_kgat_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "kg_final.txt").write_text("0 0 2\n1 0 2\n")
    (tmp_path / "entity_list.txt").write_text("org_id remap_id\nm.1 0\nm.0 1\nm.5 2\n")
    (tmp_path / "relation_list.txt").write_text("org_id remap_id\nhttp://x.org/genre 0\n")
    (tmp_path / "item_list.txt").write_text("org_id remap_id freebase_id\nB01 0 m.1\nB02 1 m.0\n")
    kg = import_graph(tmp_path, "kgat")
    assert kg.entities.select("kind", "id").rows() == [("item", "B01"), ("item", "B02"), ("entity", "m.5")]
    assert kg.triples["source"].unique().to_list() == ["kg_final.txt:http://x.org/genre:given"]
    for name, text, message in (
        (
            "kg_final.txt",
            "0 0 2\n1 0 3\n",
            "kg_final.txt, line 2: tail is '3'; expected a number from 0 to 2",
        ),
        ("kg_final.txt", "0 0 2\n1 x 2\n", "line 2: relation is 'x'"),
        ("kg_final.txt", "0 0\n", "line 1"),
        ("entity_list.txt", "org_id remap_id\nm.1 0\nm.0 0\nm.5 2\n", "line 3: remap_id 0 occurs already"),
        ("entity_list.txt", "org_id number\nm.1 0\n", "no column 'remap_id'"),
        ("item_list.txt", "org_id remap_id\nB01 7\n", "line 2: remap_id is '7'"),
    ):
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=message):
            import_graph(tmp_path, "kgat")
        (tmp_path / name).write_text(before)
    os.remove(tmp_path / "kg_final.txt")
    with pytest.raises(InputError, match=r"kg_final\.txt"):
        import_graph(tmp_path, "kgat")


@pytest.mark.parametrize("id_", ["", "NA", "null", "[PAD]", "a\tb", "a\nb", "a\r", '"x"', "a\0"])
def test_recbole_refuses_item_ids_that_it_would_misread(tmp_path: Path, id_: str) -> None:
    kg = KnowledgeGraph(
        pl.DataFrame({"entity": [0], "id": [id_], "label": ["x"], "kind": [ITEM]}),
        pl.DataFrame({"relation": [0], "name": ["r"], "label": ["r"], "symmetric": [False]}),
        pl.DataFrame({"head": [0], "relation": [0], "tail": [0], "source": ["s"]}),
    )
    with pytest.raises(InputError, match=r"out: item id .* would be read as something else by RecBole"):
        export_graph(kg, tmp_path / "out", "recbole")
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold_is_refused(graph: KnowledgeGraph, tmp_path: Path) -> None:
    bare = graph.with_triples(graph.triples[:0])
    for name in ("recbole", "kgat"):
        with pytest.raises(InputError, match="out: the graph has no triple"):
            export_graph(bare, tmp_path / "out", name)
    nobody = graph.with_triples(graph.triples[:1])
    nobody = KnowledgeGraph(
        nobody.entities.with_columns(kind=pl.lit("thing")), nobody.relations, nobody.triples
    )
    with pytest.raises(InputError, match="out: the graph has no item"):
        export_graph(nobody, tmp_path / "out", "recbole")
    control = KnowledgeGraph(
        graph.entities.with_columns(label=pl.lit("a\x01")), graph.relations, graph.triples
    )
    with pytest.raises(InputError, match=r"out: entity 0 has 'a\\x01' as its label; XML"):
        export_graph(control, tmp_path / "out", "graphml")
    for base in ("kg/", "http://x.org/a b/", "http://x.org", "<http://x>/"):
        with pytest.raises(InputError, match="out: base is"):
            export_graph(graph, tmp_path / "out", "ntriples", base=base)
    with pytest.raises(InputError, match="no graph format 'graphlm'; did you mean 'graphml'"):
        export_graph(graph, tmp_path / "out", "graphlm")
    with pytest.raises(InputError, match="graph format ntriples: no option 'bass'; did you mean 'base'"):
        export_graph(graph, tmp_path / "out", "ntriples", bass=1)
    with pytest.raises(InputError, match="graph format kgat: no option 'base'; expected none"):
        import_graph(tmp_path, "kgat", base=1)
    assert not list(tmp_path.iterdir())


def test_foreign_things_are_not_overwritten(graph: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear")
    for each in export_formats():
        message = "isn't a" if each.folder else "isn't a file"
        with pytest.raises(InputError, match=message):
            export_graph(graph, tmp_path / "letters", each.name, overwrite=True)
    assert (tmp_path / "letters" / "dear.txt").read_text() == "Dear"


def test_nulls_are_what_stands_for_them(graph: KnowledgeGraph, tmp_path: Path) -> None:
    nothing = pl.lit(None, pl.Utf8)
    kg = KnowledgeGraph(
        graph.entities.with_columns(label=nothing),
        graph.relations.with_columns(label=nothing, symmetric=pl.lit(None, pl.Boolean)),
        graph.triples.with_columns(source=nothing),
    )
    for each in export_formats():
        if each.name == "parquet":
            continue
        export_graph(kg, tmp_path / each.name, each.name)
        found = import_graph(tmp_path / each.name, each.name)
        assert found.entities["label"].to_list() == found.entities["id"].to_list()
        assert found.relations["label"].to_list() == kg.relations["name"].to_list()
        assert not found.relations["symmetric"].any()
        assert found.n_triples == kg.n_triples


def test_damaged_recbole_files_name_the_line(graph: KnowledgeGraph, tmp_path: Path) -> None:
    path = tmp_path / "kg"
    export_graph(graph, path, "recbole")
    for name, text, message in (
        ("kg.kg", "head_id:token\trelation_id:token\ttail_id:token\nitem:1\tgenre\titem:9\n",
         "kg.kg, line 2: tail_id 'item:9' isn't in kg.entity"),
        ("kg.kg", "head_id:token\trelation_id:token\ttail_id:token\nitem:1\tgenre\n", "kg.kg, line 2"),
        ("kg.entity", "entity_id:token\tlabel:token\nitem\tx\n", "item is no entity"),
        ("kg.relation", "relation_id:token\tlabel:token\tsymmetric:float\n\tx\t0\n",
         "line 2: relation_id is empty"),
    ):  # fmt: skip
        before = (path / name).read_text()
        (path / name).write_text(text)
        with pytest.raises(InputError, match=message):
            import_graph(path, "recbole")
        (path / name).write_text(before)
    with pytest.raises(InputError, match="no such folder"):
        import_graph(tmp_path / "absent", "recbole")


def test_damaged_and_foreign_graphml(tmp_path: Path) -> None:
    path = tmp_path / "x.graphml"
    for text, message in (
        ("<graphml", r"x.graphml, line 1: isn't XML"),
        ("<html></html>", "isn't GraphML"),
        ("", "isn't XML"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            import_graph(path, "graphml")
    with pytest.raises(InputError, match="No such file"):
        import_graph(tmp_path / "absent", "graphml")
    other = nx.DiGraph()
    other.add_node("a", label="A", kind="item", size=3)
    other.add_edge("a", "b", weight=2.0)
    other.add_edge("b", "c", label="knows")
    nx.write_graphml(other, path)
    kg = import_graph(path, "graphml")
    assert kg.entities.rows() == [(0, "a", "A", "item"), (1, "b", "b", "entity"), (2, "c", "c", "entity")]
    assert facts_in_plain_python(kg) == {("a", "related", "b"), ("b", "knows", "c")}


def test_graphs_of_networkx() -> None:
    kg = from_networkx(nx.path_graph(3), kind="item")
    assert kg.entities["id"].to_list() == ["0", "1", "2"]
    assert kg.n_items == 3
    assert kg.relations.rows() == [(0, "related", "related", True)]
    assert facts_in_plain_python(kg) == {("0", "related", "1"), ("1", "related", "2")}
    clash = nx.Graph()
    clash.add_nodes_from([1, "1"])
    with pytest.raises(InputError, match="entity 'entity 1' occurs more than once"):
        from_networkx(clash)
    with pytest.raises(InputError, match="'relations' is of another form"):
        from_networkx(nx.MultiDiGraph(relations=[1]))


def test_graphml_tells_relations_as_json(graph: KnowledgeGraph, tmp_path: Path) -> None:
    export_graph(graph, tmp_path / "x", "graphml")
    told = json.loads(nx.read_graphml(tmp_path / "x").graph["relations"])
    assert [relation["name"] for relation in told] == ["genre", "near", "unused"]


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", ""])
def test_a_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected a file name without folders"):
        export_graph(KnowledgeGraph.empty(), tmp_path / "out" / "rb", "recbole", name=name)
    assert not list(tmp_path.rglob("*evil*"))


def test_options_of_another_type_are_refused(tmp_path: Path) -> None:
    kg = KnowledgeGraph.empty()
    with pytest.raises(InputError, match="ntriples: base is 5; expected a text"):
        export_graph(kg, tmp_path / "kg.nt", "ntriples", base=5)
    with pytest.raises(InputError, match="recbole: items is 'banana'; expected true or false"):
        export_graph(kg, tmp_path / "rb", "recbole", items="banana")
