"""The page of a report: whole, closed, harmless, and the same each time."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders.errors import InputError
from kg_builders.report import describe, json_text, write_report
from kg_builders.reporting.markup import text
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></svg><b>",
    "a\x00b\x1b[31m",
    "$\\frac{1$ {{x}} &amp; --> <!--",
    "鬼束ちひろ",
    "ヘブライ \u202egnirts",
    "x" * 5000,
    "",
]
VOID = {"meta", "br", "wbr", "img"}


class Page(HTMLParser):
    """What a browser would find: elements, attributes, text; open tags must close in order."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def _graph(labels: list[str]) -> KnowledgeGraph:
    rows = [
        (
            ITEM,
            f"i{number}",
            f"has {label[:40]}" if label else "has",
            f"kind {number % 3}",
            f"t{number}",
            label or None,
            f"f:{label}:r",
        )
        for number, label in enumerate(labels)
    ]
    rows += [
        (ITEM, f"i{number}", "shares", "tag", "common", labels[0] or None, "f.csv:y:list")
        for number in range(len(labels))
    ]
    items = pl.DataFrame(
        {"id": [f"i{number}" for number in range(len(labels))], "label": [label or None for label in labels]}
    )
    return KnowledgeGraph.from_named(pl.DataFrame(rows, schema=NAMED_SCHEMA, orient="row"), items)


def _check(content: str) -> Page:
    page = Page(content)
    names = [name for name, _ in page.elements]
    assert not {"script", "iframe", "link", "object", "embed", "base", "form", "img"} & set(names)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "xlink:href", "src"):
            target = attributes.get(name)
            assert target is None or target[1:] in ids, target
    for reference in content.split("url(")[1:]:
        assert reference.startswith("#")
        assert reference[1 : reference.index(")")] in ids
    assert not [character for character in content if ord(character) < 32 and character != "\n"]
    return page


BUILD: dict[str, Any] = {
    "warnings": ["what <kg.txt> says is odd"],
    "bad_records": {
        "file": "items.jsonl",
        "records": 1000,
        "bad": 3,
        "max_bad": 0.01,
        "first": [{"line": 7, "text": "'<script>'", "reason": "isn't JSON"}],
        "values": {"price, no number": {"count": 2, "first": [{"line": 9, "text": "n/a", "reason": "x"}]}},
        "cut": {},
    },
    "extraction": {
        "items": 9,
        "coverage": 0.5,
        "rules": [
            {
                "relation": "tag", "kind": "list", "field": "tags", "file": "items.jsonl",
                "records": 9, "records_with_value": 6, "values": 12, "entities": 3, "triples": 7, "items": 5,
                "dropped": [{"reason": "rare", "entities": 4, "triples": 4, "examples": ["<b>odd"]}],
                "merged": [{"label": "Sony", "spellings": {"Sony": 5, "SONY Corp.": 2}}],
            }
        ],
    },
    "links": [
        {"file": "kg.txt", "link_file": "map.txt", "items": 9, "linked": 4, "unlinked": ["Bow"],
         "foreign_links": 2, "idle_links": 1, "triples": 44,
         "agreement": {"items": 4, "score": -1.5, "by_chance": True}}
    ],
    "modalities": {"text": {"items": 9, "width": 4, "missing": 1}},
    "resolution": {"merged": 4, "kept_apart": 2, "counts": [{"kind": "brand", "rows": 4}], "stale": 0},
    "pruning": [
        {"name": "common entities", "reason": "entities of too many items", "triples": 30,
         "entities": 1, "relations": 0, "items": 9, "examples": ["has picture (kind)"]},
        {"name": "2-core", "reason": "why", "triples": 0, "entities": 0, "items": 0, "examples": []},
    ],
    "brand_new": {"deep": [{"a": 1, "b": [1, {"c": float("nan")}]}, {"a": None, "d": "<i>x"}], 5: ("one",)},
    "empty": {},
}  # fmt: skip


def test_a_page_of_hostile_labels(tmp_path: Path) -> None:
    kg = _graph(HOSTILE)
    path = write_report(kg, tmp_path / "out", BUILD, "<title>")
    assert path == tmp_path / "out" / "report.html"
    page = _check(path.read_text(encoding="utf-8"))
    shown = page.text
    assert "<script>alert(1)</script>" in shown
    assert "鬼束ちひろ" in shown
    for word in (
        "what <kg.txt> says is odd", "isn't JSON", "<b>odd", "Sony (5) · SONY Corp. (2)",
        "no better than by chance", "entities of too many items", "has picture (kind)",
        "Steps that took nothing: 2-core", "4 entities were merged", "Brand new", "<i>x", "such as Bow",
        "44.4%",
    ):  # fmt: skip
        assert word in shown, word
    order = [attributes["id"] for name, attributes in page.elements if name == "section"]
    assert order.index("warnings") < order.index("build-bad-records") < order.index("coverage")
    assert order.index("redundancy") < order.index("build-pruning") < order.index("picture")
    assert "build-empty" not in order
    told = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert told["graph"] == describe(kg)
    # What the build did is on the page, and as JSON in a file of its own.
    assert set(told) == {"title", "graph"}
    assert json.loads(json_text(BUILD))["brand_new"]["deep"][0]["b"][1] == {"c": None}


def test_same_graph_same_bytes_and_no_leftovers(tmp_path: Path) -> None:
    kg = _graph(["Axe", "Bow", "Cup"])
    first = write_report(kg, tmp_path / "a.html")
    described = {"graph": describe(kg)}
    second = write_report(kg, tmp_path / "b.html", described)
    again = write_report(kg, tmp_path / "a.html")
    assert first.read_bytes() == second.read_bytes() == again.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.html", "a.json", "b.html", "b.json"]
    _check(first.read_text(encoding="utf-8"))


def test_a_description_of_another_graph_is_not_used(tmp_path: Path) -> None:
    kg = _graph(["Axe", "Bow", "Cup"])
    other = {"graph": describe(_graph(["Dog", "Eel"]))}
    told = json.loads(write_report(kg, tmp_path, other).with_suffix(".json").read_text(encoding="utf-8"))
    assert told["graph"]["items"] == 3


@pytest.mark.parametrize(
    "kg",
    [KnowledgeGraph.empty(), KnowledgeGraph.empty().align_items(pl.DataFrame({"id": ["a"], "label": ["A"]}))],
)
def test_graphs_without_triples(kg: KnowledgeGraph, tmp_path: Path) -> None:
    page = _check(write_report(kg, tmp_path).read_text(encoding="utf-8"))
    assert "There is no triple to draw" in page.text


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    kg = _graph(["Axe"])
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"file: can't be made .*; expected a folder for the report"):
        write_report(kg, tmp_path / "file")
    (tmp_path / "r.json").mkdir()
    with pytest.raises(InputError, match=r"r.json: is a folder; expected a file"):
        write_report(kg, tmp_path / "r.html")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "r.json"]


@settings(max_examples=200)
@given(st.text())
def test_escaped_text_is_text(value: str) -> None:
    page = Page(f"<p>{text(value, None)}</p>")
    assert [name for name, _ in page.elements] == ["p"]
    kept = "".join(character for character in "".join(page.words) if character != "\ufffd")
    assert set(kept) <= set(value) | {"\n"}
    if value.isascii() and value.isprintable():
        assert "".join(page.words) == value
