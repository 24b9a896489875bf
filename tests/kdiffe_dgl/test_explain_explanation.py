"""What an explanation says is what the graphs hold, in all its forms, whatever the labels are."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
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
from kdiffe_dgl.explain.arrange import columns_of, drawn_ends, rows_of
from kdiffe_dgl.explain.colours import RELATIONS, colours_of
from kdiffe_dgl.explain.picture import legend_of, picture_bytes
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


def test_shared_facts_that_are_left_out_are_told(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdiffe_dgl.explain.explainer.SHARED_FACTS", 1)
    found = explainer.explain("u4", "i7", paths=3)
    kg = explainer.dataset.kg
    assert kg is not None
    facts: dict[int, set[int]] = {}
    for head, tail in kg.triples.select("head", "tail").iter_rows():
        for one, other in ((head, tail), (tail, head)):
            facts.setdefault(one, set()).add(other)
    history = {int(one.key.partition(":")[2]) for one in found.nodes if one.role in ("history", "proposed")}
    shared = {fact for fact in facts[7] - set(range(18)) if facts[fact] & history}
    shown = {int(one.key.partition(":")[2]) for one in found.nodes if one.role == "entity"}
    assert 0 < len(shared & shown) < len(shared)
    told = f"{len(shared & shown)} of {len(shared)} facts that the item shares with these items are shown."
    assert told in found.notes
    whole = dataclasses.replace(found, notes=()).draw()
    assert whole.get_size_inches()[1] < found.draw().get_size_inches()[1]


def test_items_that_diffusion_alone_joins_with_the_user_are_not_called_history(explainer: Explainer) -> None:
    seen: set[str] = set()
    trained = {tuple(pair) for pair in explainer.dataset.pairs("train").tolist()}
    for user in range(0, 22, 3):
        for one in explainer.explain(f"u{user}", "i7", paths=6).nodes:
            if one.role in ("history", "proposed"):
                observed = (user, int(one.key.partition(":")[2])) in trained
                assert one.role == ("history" if observed else "proposed")
                seen.add(one.role)
    assert seen == {"history", "proposed"}


def test_layers_of_attention_are_told(tiny_dataset: Any) -> None:
    deep = explainer_of(tiny_dataset, knowledge={"layers": 3}).explain("u4", "i7")
    assert "Attention to facts: mean over the 3 layers, weighted as the view adds them up." in deep.notes


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
    of_genre = [Node("entity:g", "entity", "genre", "Drama", "Drama", 2)]
    said = path_sentence(
        [user, a, *of_genre, x], [[met], [edge(label="Genre")], [edge(label="Genre", weight=1e-9)]], []
    )
    assert said == "Because you interacted with A, also of Genre “Drama”, kept with weight below 0.001."
    generated = edge("generated", "generated", None, relation="text", state="proposed")
    said = path_sentence([user, a, other, x], [[generated], [met], [met]], [])
    assert said.startswith(
        "Because diffusion over text joins you with A, which user 9 interacted with, who also"
    )
    assert path_sentence([user, x], [[generated]], []) == "Because diffusion over text joins you with X."


def test_ends_of_edges_are_spread_within_their_boxes(hostile: Explanation, explanation: Explanation) -> None:
    for found in (hostile, explanation):
        columns, places = columns_of(found)
        rows = rows_of(found, columns, places, {found.item.key: 2})
        for column in columns:
            for upper, lower in pairwise(column):
                assert rows.centre[lower] - rows.centre[upper] >= rows.half[upper] + rows.half[lower] + 0.1
            assert rows.centre[column[0]] >= rows.half[column[0]]
            assert rows.centre[column[-1]] + rows.half[column[-1]] <= rows.height + 1e-9
        met: dict[tuple[str, int], list[float]] = {}
        for ends, levels in zip(drawn_ends(found, columns), rows.ends, strict=True):
            for side, (key, level) in enumerate(zip(ends, levels, strict=True)):
                assert abs(level - rows.centre[key]) < rows.half[key]
                met.setdefault((key, side), []).append(level)
        assert max(map(len, met.values())) > 3
        for levels in met.values():
            assert len(levels) == 1 or np.diff(np.sort(levels)).min() > 0.06


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


def test_relations_of_a_picture_have_colours_of_their_own(explanation: Explanation) -> None:
    names = [f"r{number}" for number in range(40)]
    first = next(edge for edge in explanation.edges if edge.kind == "knowledge")
    for present in (names[:3], names[5:40:13], names[::4], names[20:33]):
        edges = tuple(dataclasses.replace(first, relation=name, label=name, state="kept") for name in present)
        found = colours_of(dataclasses.replace(explanation, edges=edges, relations=tuple(names)))
        assert len({colour for colour, _ in found.values()}) == len(present)
    # More than there are colours: the rest is grey, and none of the others changes.
    edges = tuple(dataclasses.replace(first, relation=name, label=name) for name in names[:20])
    found = colours_of(dataclasses.replace(explanation, edges=edges, relations=tuple(names)))
    assert [found["knowledge", name][0] for name in names[: len(RELATIONS)]] == list(RELATIONS)
    assert len({found["knowledge", name][0] for name in names[len(RELATIONS) : 20]}) == 1


def test_legend_tells_what_is_drawn_and_nothing_else(explanation: Explanation) -> None:
    told = [name for name, *_ in legend_of(explanation)]
    assert "interacted with" in told
    assert any(name.startswith("dashed") for name in told)
    assert told[-1].startswith("faint")
    plain = tuple(edge for edge in explanation.edges if edge.kind == "interaction")
    left = [name for name, *_ in legend_of(dataclasses.replace(explanation, edges=plain))]
    assert left == ["interacted with"]


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


@pytest.mark.parametrize("which", ["explanation", "hostile"])
def test_page_works_in_a_browser(
    which: str, request: pytest.FixtureRequest, browser: Any, tmp_path: FilePath
) -> None:
    found: Explanation = request.getfixturevalue(which)
    page = tmp_path / "page.html"
    page.write_text(found.to_html(), encoding="utf-8")
    browser.open(page)

    def count(selector: str) -> int:
        return int(browser.tell(f"document.querySelectorAll({selector!r}).length"))

    assert count("svg .node") == len(found.nodes)
    assert count("svg .edge") == len(found.edges)
    assert count("svg .rank") == count("#paths li") == len(found.paths)
    assert browser.tell("document.title").startswith("Why ")
    # What is beside a path fades while the mouse is at its sentence.
    second = found.paths[1]
    steps = set(zip(second.nodes[:-1], second.nodes[1:], strict=True))
    beside = sum((edge.source, edge.target) not in steps for edge in found.edges)
    assert count(".edge.faded") == 0
    browser.point("#paths li:nth-child(2)")
    assert count(".edge.faded") == beside
    assert browser.tell("document.getElementById('hint').textContent") == second.sentence
    browser.point("h1")
    assert count(".edge.faded") == 0
    # A click keeps it, another one, or Escape, lets it go.
    browser.point("#paths li:nth-child(2)", click=True)
    browser.point("h1")
    assert count(".edge.faded") == beside
    browser("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    assert count(".edge.faded") == 0
    browser.point("svg .node.item")
    own = sum(found.item.key in (edge.source, edge.target) for edge in found.edges)
    assert count(".edge.faded") == len(found.edges) - own
    # Nothing but the page itself was asked for, and nothing went wrong.
    assert browser.requests == [page.as_uri()]
    assert browser.complaints == []


def test_page_zooms_and_its_boxes_keep_apart(hostile: Explanation, browser: Any, tmp_path: FilePath) -> None:
    page = tmp_path / "page.html"
    page.write_text(hostile.to_html(), encoding="utf-8")
    browser.open(page)

    def view() -> list[float]:
        told = browser.tell("document.querySelector('svg').getAttribute('viewBox')")
        return [float(part) for part in told.split()]

    whole = view()
    browser.point("#zoom-in", click=True)
    larger = view()
    assert larger[2] == pytest.approx(whole[2] / 1.4)
    # The wheel scrolls; with Ctrl it zooms, and what is larger than the frame can be dragged.
    browser.point("svg")
    spot = browser.tell("(({x, y, width: w, height: h}) => [x + w / 2, y + h / 2])"
                        "(document.querySelector('svg').getBoundingClientRect())")  # fmt: skip
    place = {"x": spot[0], "y": spot[1]}
    browser("Input.dispatchMouseEvent", type="mouseWheel", deltaX=0, deltaY=-90, modifiers=2, **place)
    wheeled = view()
    assert wheeled[2] == pytest.approx(larger[2] / np.exp(0.3))
    browser("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **place)
    moved = {"x": place["x"] - 50, "y": place["y"]}
    browser("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **moved)
    browser("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **moved)
    assert view()[0] > wheeled[0]
    browser.point("#zoom-whole", click=True)
    assert view() == whole
    # Boxes neither overlap nor leave the picture, whatever fonts the browser has.
    boxes = browser.tell(
        "Array.from(document.querySelectorAll('svg rect')).map((one) => { const b = one.getBBox();"
        " return [b.x, b.y, b.x + b.width, b.y + b.height]; })"
    )
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0
        assert top >= 0
        assert right <= whole[2]
        assert bottom <= whole[3]
        for x, y, u, v in boxes[:number]:
            assert min(right, u) - max(left, x) <= 0 or min(bottom, v) - max(top, y) <= 0
    assert browser.requests == [page.as_uri()]
    assert browser.complaints == []


def test_browser_of_these_tests_tells_what_a_page_asks_for_and_what_fails(
    browser: Any, tmp_path: FilePath
) -> None:
    page = tmp_path / "page.html"
    page.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.error('no')</script>", "utf-8")
    browser.open(page)
    assert browser.requests == [page.as_uri(), "http://127.0.0.1:9/x.png"]
    assert any("no" in complaint for complaint in browser.complaints)


def test_bad_input_is_told(explainer: Explainer, tiny_dataset: Any) -> None:
    with pytest.raises(InputError, match=r"explain: unknown user 'u44'; the nearest ids are .*'u4'"):
        explainer.explain("u44", "i7")
    with pytest.raises(InputError, match="explain: unknown item 'i77'"):
        explainer.explain("u4", "i77")
    for paths, hops in ((0, 2), (5, 0), (5, 6)):
        with pytest.raises(InputError, match="expected at least 1 path, and 1 to 5 hops"):
            explainer.explain("u4", "i7", paths=paths, hops=hops)
    with pytest.raises(InputError, match="unknown user"):
        explainer.explain("\udcff", "i7")
    own = explainer.score.edges.pairs
    far = next(i for i in range(18) if not own.numbers[4, i])
    with pytest.raises(
        InputError, match=rf"nothing connects user 'u4' and item 'i{far}' within 1 hop;"
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
