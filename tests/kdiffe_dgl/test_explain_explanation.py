"""What an explanation says is what the graphs hold, in all its forms, whatever the labels are."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path as FilePath
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest
import torch
from matplotlib.patches import FancyBboxPatch

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.explain import Edge, Explainer, Explanation, Node
from kdiffe_dgl.explain.arrange import columns_of
from kdiffe_dgl.explain.picture import colours_of, picture_bytes
from kdiffe_dgl.explain.words import path_sentence
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig

HOSTILE = [
    "</script><script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "costs $5 or $x^2_{\\frac$",
    "שלום \u202ealert & \"quotes\" 'too'",
    "\u0007bell \U0001f3b5 中文",
    "a very long label that goes on and on until nobody would want to read it in any picture " * 3,
]


def explainer_of(dataset: Any, **settings: Any) -> Explainer:
    generator = torch.Generator().manual_seed(0)
    config = KDiffEConfig.model_validate({"dim": 4, **settings})
    model = KDiffE(dataset, config, generator, torch.device("cpu"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    model.begin_epoch(generator)
    return Explainer(model.eval(), dataset)


@pytest.fixture(scope="module")
def explainer(tiny_dataset: Any) -> Explainer:
    return explainer_of(tiny_dataset, knowledge={"main": "regenerated", "candidates": ["two_hop"]})


@pytest.fixture(scope="module")
def explanation(explainer: Explainer) -> Explanation:
    return explainer.explain("u4", "i7", paths=4)


@pytest.fixture(scope="module")
def hostile(tiny_dataset: Any) -> Explanation:
    labels = [HOSTILE[n % len(HOSTILE)] + f" {n}" for n in range(tiny_dataset.n_items)]
    items = tiny_dataset.items.with_columns(label=pl.Series(labels))
    named = [HOSTILE[n % len(HOSTILE)] for n in range(tiny_dataset.kg.n_entities)]
    kg = dataclasses.replace(
        tiny_dataset.kg,
        entities=tiny_dataset.kg.entities.with_columns(label=pl.Series(named)),
        relations=tiny_dataset.kg.relations.with_columns(label=pl.lit("<b>$has$</b> " + 40 * "relation ")),
    )
    users = tiny_dataset.users.with_columns(label=pl.lit(HOSTILE[0]))
    return explainer_of(tiny_dataset.replace(items=items, users=users, kg=kg)).explain("u4", "i7", paths=6)


def test_edges_are_those_of_the_data_with_attention_and_fate(
    explainer: Explainer, explanation: Explanation, tiny_dataset: Any
) -> None:
    kg, links = tiny_dataset.kg, explainer.score.edges.links
    assert links is not None
    assert explainer.attention is not None
    trained = {tuple(pair) for pair in tiny_dataset.pairs("train").tolist()}
    triples = {(h, r, t) for h, r, t in kg.triples.select("head", "relation", "tail").iter_rows()}
    names = dict(kg.relations.select("name", "relation").iter_rows())
    seen = set()
    for edge in explanation.edges:
        ends = [int(key.partition(":")[2]) for key in (edge.source, edge.target)]
        if "user:" in edge.source + edge.target:
            user, item = ends if edge.source.startswith("user") else ends[::-1]
            assert ((user, item) in trained) == (edge.kind == "interaction")
            continue
        seen.add(edge.state)
        if edge.state != "proposed":
            head, tail = ends[::-1] if edge.reads_to_source else ends
            assert (head, names[edge.relation], tail) in triples
        directed = (links.tail == ends[0]) & (links.head == ends[1])
        if edge.state == "dropped":
            assert not directed.any()
            assert edge.weight is None
        else:
            weights = explainer.attention[directed.numpy()]
            other = explainer.attention[((links.tail == ends[1]) & (links.head == ends[0])).numpy()]
            assert np.isclose(np.concatenate([weights, other]), edge.weight).any()
    assert {"kept", "dropped"} <= seen


def test_paths_run_over_shown_edges_and_add_up(explainer: Explainer, explanation: Explanation) -> None:
    shown = {(edge.source, edge.target) for edge in explanation.edges if edge.on_path}
    keys = {node.key for node in explanation.nodes}
    numbers = []
    for path in explanation.paths:
        assert path.nodes[0] == explanation.user.key
        assert path.nodes[-1] == explanation.item.key
        assert set(path.nodes) <= keys
        assert set(zip(path.nodes[:-1], path.nodes[1:], strict=True)) <= shown
        assert path.sentence.startswith("Because ")
    table = explainer.paths(4, 7)
    n_users = explainer.dataset.n_users
    for path in explanation.paths:
        wanted = [
            int(key.partition(":")[2]) + (0 if key.startswith("user") else n_users) for key in path.nodes
        ]
        row = next(n for n in range(len(table)) if table.nodes[n][table.nodes[n] >= 0].tolist() == wanted)
        numbers.append(table.edges_of(row))
    left = explainer.score.without(4, 7, [np.unique(np.concatenate(numbers))])[0]
    total = sum(path.contribution for path in explanation.paths)
    assert explanation.score - total == pytest.approx(left)
    assert explanation.n_paths == len(table)
    assert explanation.to_dict()["score_without_paths"] == pytest.approx(left)


def test_paths_over_facts_alone(explainer: Explainer) -> None:
    found = explainer.explain("u4", "i7", facts_only=True)
    assert "other user" not in {one.role for one in found.nodes}
    table = explainer.paths(4, 7)
    over_users = sum(any(0 <= n < 24 for n in row[1:]) for row in table.nodes.tolist())
    assert found.n_paths == len(table) - over_users
    assert 0 < over_users < len(table)


def test_what_was_cut_is_told(explainer: Explainer, explanation: Explanation) -> None:
    assert f"4 of {explanation.n_paths} connecting paths within 3 hops are shown." in explanation.notes
    from kdiffe_dgl.explain import Limits

    cut = explainer.explain("u4", "i7", limits=Limits(neighbours=1))
    assert any(note.startswith("Not followed: items of the user: the 1 of greatest") for note in cut.notes)


def node(label: str, role: str = "history") -> Node:
    return Node(f"entity:{label}", role, "item", label, label, 1)


def edge(
    kind: Any = "knowledge", label: str = "is tagged", weight: float | None = 0.412, **more: Any
) -> Edge:
    return Edge("a", "b", kind, more.pop("relation", label), label, weight, more.pop("state", "kept"), True)


def test_sentences() -> None:
    user, a, b, x = node("u", "user"), node("A"), node("B"), node("X", "item")
    tag, other = node("trip-hop", "entity"), Node("user:9", "other user", "user", "9", "9", 2)
    met = edge("interaction", "interacted with", 0.25, state=None)
    said = path_sentence([user, a, tag, x], [[met], [edge()], [edge()]], [b])
    assert said == "Because you interacted with A and B, both tagged “trip-hop”, kept with weight 0.41."
    dropped = edge(label="genre", state="dropped")
    said = path_sentence([user, a, tag, x], [[met], [dropped], [dropped]], [])
    assert said.endswith("with A, also genre “trip-hop”, read with weight 0.41 though diffusion dropped it.")
    said = path_sentence([user, a, other, x], [[met], [met], [met]], [])
    assert said == (
        "Because you interacted with A, as did user 9, who also interacted with X (walk similarity 0.25)."
    )
    said = path_sentence([user, a, x], [[met], [edge(label="similar", state=None, weight=None)]], [])
    assert said == "Because you interacted with A, joined with X by “similar”, as the knowledge graph says."
    generated = edge("generated", "generated", None, relation="text", state="proposed")
    assert path_sentence([user, x], [[generated]], []) == "Because diffusion over text joins you with X."


def test_columns_keep_all_nodes_and_long_edges_have_their_places(hostile: Explanation) -> None:
    for found in (hostile, *[dataclasses.replace(hostile, edges=hostile.edges[::-1])]):
        columns, places = columns_of(found)
        at = {key: number for number, column in enumerate(columns) for key in column}
        assert {one.key for one in found.nodes} <= set(at)
        assert sum(len(column) for column in columns) == len(at)
        for (source, target), keys in places.items():
            assert [at[key] for key in keys] == list(range(at[source] + 1, at[target]))


def test_a_relation_has_the_same_colour_in_every_picture(explainer: Explainer) -> None:
    seen: dict[tuple[str, str], set[str]] = {}
    for item in ("i7", "i1", "i12", "i16"):
        for key, (colour, _) in colours_of(explainer.explain("u4", item)).items():
            seen.setdefault(key, set()).add(colour)
    assert all(len(colours) == 1 for colours in seen.values())
    assert len({next(iter(seen["knowledge", name])) for name in ("genre", "colour")}) == 2


@pytest.mark.parametrize("which", ["explanation", "hostile"])
def test_no_text_of_the_picture_overlaps_or_leaves_it(which: str, request: pytest.FixtureRequest) -> None:
    figure = request.getfixturevalue(which).draw()
    renderer = figure.canvas.get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    extents = [text.get_window_extent(renderer) for text in texts]
    width, height = figure.canvas.get_width_height()
    for extent in extents:
        assert extent.x0 >= 0
        assert extent.y0 >= 0
        assert extent.x1 <= width
        assert extent.y1 <= height
    boxes = [p.get_window_extent(renderer) for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    for group in (extents, boxes):
        for number, first in enumerate(group):
            for second in group[:number]:
                overlap = [
                    min(first.max[n], second.max[n]) - max(first.min[n], second.min[n]) for n in (0, 1)
                ]
                assert min(overlap) <= 1.0  # a pixel
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize(("form", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_pictures_are_files_of_their_kind_and_reproducible(
    hostile: Explanation, form: str, magic: bytes
) -> None:
    content = picture_bytes(hostile, form)
    assert content.startswith(magic)
    assert picture_bytes(hostile, form) == content


def test_json_and_networkx_and_graphml_hold_the_same(explanation: Explanation, hostile: Explanation) -> None:
    for found in (explanation, hostile):
        told = json.loads(found.to_json())
        assert [path["sentence"] for path in told["paths"]] == found.sentences
        graph = found.to_networkx()
        assert graph.number_of_edges() == len(told["edges"]) == len(found.edges)
        read = nx.read_graphml(io.BytesIO(found.to_graphml()), force_multigraph=True)
        assert set(read.nodes) == {one.key for one in found.nodes}
        assert read.number_of_edges() == len(found.edges)
    first = explanation.item.key
    assert read.nodes[hostile.item.key]["id"] == "i7"
    assert explanation.to_networkx().nodes[first]["label"] == "Item 7"


def test_page_holds_labels_as_data_alone(hostile: Explanation) -> None:
    page = hostile.to_html()
    # One script of data, one of ours; no tag of a label.
    assert page.count("<script") == page.count("</script") == 2
    tags: list[tuple[str, dict[str, str | None]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))  # type: ignore[method-assign]
    parser.feed(page)
    assert "img" not in {tag for tag, _ in tags}
    assert not {"src", "href", "onerror"} & {name for _, attributes in tags for name in attributes}
    assert "url(" not in page
    assert "@import" not in page
    data = re.search(r'<script type="application/json" id="explanation">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    told = json.loads(data[1])
    assert told["item"]["label"] == hostile.item.label
    assert "default-src 'none'" in page
    fragment = hostile._repr_html_()
    assert fragment.count("<img") == 1
    assert "<script" not in fragment


def test_page_works_in_a_browser(hostile: Explanation, tmp_path: FilePath) -> None:
    names = ("chromium-headless-shell", "chromium", "google-chrome")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no headless browser here")
    (tmp_path / "page.html").write_text(hostile.to_html(), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    address = (tmp_path / "page.html").as_uri()
    done = subprocess.run(
        [browser, *options, "--dump-dom", address], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.count('<g class="node') == len(hostile.nodes)
    assert done.stdout.count('<g class="edge') == len(hostile.edges)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title is not None
    assert title[1].startswith("Why ")


def test_bad_input_is_told(explainer: Explainer, tiny_dataset: Any) -> None:
    with pytest.raises(InputError, match=r"explain: unknown user 'u44'; the nearest ids are .*'u4'"):
        explainer.explain("u44", "i7")
    with pytest.raises(InputError, match="explain: unknown item 'i77'"):
        explainer.explain("u4", "i77")
    with pytest.raises(InputError, match="expected at least 1 of each"):
        explainer.explain("u4", "i7", paths=0)
    own = explainer.score.edges.pairs
    far = next(i for i in range(18) if not own.numbers[4, i])
    with pytest.raises(
        InputError, match=rf"nothing connects user 'u4' and item 'i{far}' within 1 hops"
    ) as told:
        explainer.explain("u4", f"i{far}", hops=1)
    assert f"the closest facts: Item {far} has " in str(told.value)
    assert "genre g" in str(told.value)
    lightgcn = LightGCN(tiny_dataset, LightGCNConfig(dim=4), torch.Generator(), torch.device("cpu"))
    with pytest.raises(InputError, match=r"model 'lightgcn' .*expected a run of kdiffe"):
        Explainer(lightgcn, tiny_dataset)


def test_data_without_knowledge_or_features(tiny_dataset: Any) -> None:
    plain = explainer_of(tiny_dataset.replace(kg=None, features={}), ranking="softmax")
    found = plain.explain("u4", "i7")
    assert {one.role for one in found.nodes} <= {"user", "history", "other user", "item"}
    assert found.draw().axes
