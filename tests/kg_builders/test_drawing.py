"""Samples of a graph and their pictures."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from kg_builders.drawing import draw_subgraph, sample_subgraph
from kg_builders.errors import InputError
from kg_builders.reporting.fonts import find_fonts, plain_text, shorten
from kg_builders.reporting.layout import place_boxes
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph


def _kg(
    rows: list[tuple[str, str, str, str, str, str | None]], items: dict[str, str] | None = None
) -> KnowledgeGraph:
    table = pl.DataFrame([(*row, "f.csv:x:list") for row in rows], schema=NAMED_SCHEMA, orient="row")
    known = None if items is None else pl.DataFrame({"id": list(items), "label": list(items.values())})
    return KnowledgeGraph.from_named(table, known)


@st.composite
def _catalogues(draw: st.DrawFn) -> KnowledgeGraph:
    count = draw(st.integers(1, 12))
    pairs = draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, 25)), min_size=1, max_size=80))
    rows = [
        (ITEM, f"i{item}", f"r{tag % 4}", f"kind{tag % 3}", f"t{tag}", f"Tag {tag}") for item, tag in pairs
    ]
    rows += [(f"kind{tag % 3}", f"t{tag}", "broader", "top", f"p{tag % 2}", None) for _, tag in pairs[:5]]
    rows += [(ITEM, f"i{item}", "near", ITEM, f"i{(item + tag) % count}", None) for item, tag in pairs[:3]]
    return _kg(rows, {f"i{item}": f"Item {item}" for item in range(count)})


@settings(max_examples=40, deadline=None)
@given(_catalogues(), st.integers(1, 30))
def test_a_sample_is_a_part_of_the_graph(kg: KnowledgeGraph, max_nodes: int) -> None:
    part = sample_subgraph(kg, max_nodes=max_nodes)
    assert 1 <= part.n_entities <= max_nodes
    keys = ["kind", "id", "label"]
    assert part.entities.join(kg.entities, on=keys, how="anti").is_empty()
    assert part.to_named().join(kg.to_named(), on=list(NAMED_SCHEMA), how="anti", nulls_equal=True).is_empty()
    chosen = set(part.entities.select("kind", "id").rows())
    inside = [
        row for row in kg.to_named().rows(named=True)
        if {(row["head_kind"], row["head_id"]), (row["tail_kind"], row["tail_id"])} <= chosen
        and (row["head_kind"], row["head_id"]) != (row["tail_kind"], row["tail_id"])
    ]  # fmt: skip
    assert len(inside) == part.n_triples
    kinds = part.entities["kind"].to_list()
    assert kinds == sorted(kinds, key=lambda kind: kind != ITEM)
    same = sample_subgraph(kg, max_nodes=max_nodes)
    for name in ("entities", "relations", "triples"):
        assert getattr(part, name).equals(getattr(same, name))


def test_shared_entities_come_before_those_of_one_item() -> None:
    rows = [
        (ITEM, item, "tag", "tag", f"only {item} {n}", f"Only {item} {n}") for item in "ab" for n in range(9)
    ]
    rows += [(ITEM, item, "tag", "tag", "shared", "Shared") for item in "ab"]
    part = sample_subgraph(_kg(rows), max_nodes=9)
    assert part.entities["id"].to_list()[:2] in (["a", "b"], ["b", "a"])
    assert "Shared" in part.entities["label"].to_list()
    both = part.triples.group_by("head").len()["len"].to_list()
    assert abs(both[0] - both[1]) <= 1


def test_given_seeds_and_names_before_bare_ids() -> None:
    rows = [(ITEM, item, "tag", "tag", f"t{n}", f"Tag {n}") for item in "abc" for n in range(6)]
    actors = [(item, f"m.{number}") for item in "abc" for number in range(40)]
    given = pl.DataFrame(
        [(ITEM, item, "actor", "freebase", actor, None, "kg.txt:actor:given") for item, actor in actors],
        schema=NAMED_SCHEMA, orient="row",
    )  # fmt: skip
    kg = KnowledgeGraph.from_named(pl.concat([_kg(rows).to_named(), given]))
    part = sample_subgraph(kg, seeds=["c", "a"], max_nodes=24)
    assert part.entities["id"].to_list()[:2] == ["c", "a"]
    kinds = part.entities["kind"].value_counts()
    found = dict(kinds.rows())
    assert found["tag"] == 6
    assert 1 <= found["freebase"] <= 4
    with pytest.raises(InputError, match=r"sub-graph: no item 'aa'; did you mean 'a'"):
        sample_subgraph(kg, seeds=["aa"])
    with pytest.raises(InputError, match=r"max_nodes is 0; expected at least 1"):
        sample_subgraph(kg, max_nodes=0)


def test_the_generator_draws_the_first_item() -> None:
    rows = [(ITEM, f"i{n}", "tag", "tag", f"t{n}", None) for n in range(40)]
    first = {
        sample_subgraph(_kg(rows), generator=np.random.default_rng(seed)).entities["id"][0]
        for seed in range(8)
    }
    assert len(first) > 1


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**20), st.integers(0, 3))
def test_boxes_stay_in_the_frame_and_apart(count: int, edges: int, seed: int) -> None:
    rng = np.random.default_rng(edges)
    pairs = rng.integers(0, count, (2 * count, 2))
    sizes = rng.uniform(0.2, 1.2, (count, 2)) * [1.0, 0.3]
    layout = place_boxes(pairs, sizes, (0.0, 0.0, 10.0, 7.0), np.full(len(pairs), 0.5), seed)
    low, high = layout.centres - layout.halves, layout.centres + layout.halves
    assert (low > -1e-6).all()
    assert (high < np.array([10.0, 7.0]) + 1e-6).all()
    overlap = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    touching = (overlap > 0.01).all(axis=2) & ~np.eye(count, dtype=bool)
    assert not touching.any()
    again = place_boxes(pairs, sizes, (0.0, 0.0, 10.0, 7.0), np.full(len(pairs), 0.5), seed)
    np.testing.assert_array_equal(layout.centres, again.centres)


def test_a_picture_has_every_entity_line_and_kind(tmp_path: Path) -> None:
    kg = _kg(
        [
            (ITEM, "a", "made_by", "brand", "b1", "Sony"),
            (ITEM, "a", "sold_by", "brand", "b1", "Sony"),
            (ITEM, "b", "made_by", "brand", "b1", "Sony"),
            (ITEM, "b", "sold_by", "brand", "b2", "Bosch"),
            *((ITEM, "a", "genre", "genre", f"g{n}", f"Genre {n}") for n in range(4)),
        ],
        {
            "a": "Costs $5 or $6_x^2",
            "b": "A label of many words that no box can hold, however wide it may be",
        },
    )
    figure = draw_subgraph(kg, title="Part")
    (axes,) = figure.axes
    words = {word.get_text() for word in axes.texts}
    assert {"Sony", "Bosch", "Part", "Genre 3", "Costs $5 or $6_x^2"} <= words
    assert "made by\nsold by" in words
    assert any(word.startswith("A label of many") and word.endswith("…") for word in words)
    assert all(len(line) <= 26 for word in words for line in word.split("\n"))
    # A relation that leads to a kind again and again is named in the legend, not on each line.
    legend = axes.get_legend()
    assert legend is not None
    assert [word.get_text() for word in legend.get_texts()] == [ITEM, "brand", "genre (→ genre)"]
    assert "genre" not in words
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 7
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == 2 * kg.n_entities
    figure.savefig(tmp_path / "part.png")
    assert (tmp_path / "part.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "label", ["鬼束ちひろ", "ВИА Гра", "مرحبا", "\U0001fae8 \U00012000", "a\x00\u200b\nb", "\ue000"]
)
def test_labels_that_no_font_has_are_replaced(label: str) -> None:
    kg = _kg([(ITEM, "a1", "tag", "tag", "t", label)], {"a1": label})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_subgraph(kg, title=label)
        figure.savefig(io.BytesIO(), format="png")
    words = [word.get_text() for word in figure.axes[0].texts]
    fonts = find_fonts([plain_text(label)])
    if fonts.can_draw(plain_text(label)):
        assert shorten(plain_text(label), 20, 2) in words
    else:
        assert {"a1", "t"} <= set(words)
        assert not plain_text(label) or any("for want of a font" in word for word in words)


def test_symmetric_relations_have_no_arrow_head() -> None:
    table = pl.DataFrame(
        [(ITEM, "a", "near", ITEM, "b", None, "s"), (ITEM, "a", "next", ITEM, "c", None, "s"),
         (ITEM, "c", "next", ITEM, "a", None, "s")],
        schema=NAMED_SCHEMA, orient="row",
    )  # fmt: skip
    relations = pl.DataFrame(
        {"name": ["near", "next"], "label": ["near", "next"], "symmetric": [True, False]}
    )
    figure = draw_subgraph(KnowledgeGraph.from_named(table, relations=relations))
    arrows = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    styles = sorted(type(patch.get_arrowstyle()).__name__ for patch in arrows)
    assert styles == ["Curve", "CurveFilledAB"]


def test_graphs_too_large_or_empty() -> None:
    rows = [(ITEM, f"i{n}", "tag", "tag", "t", None) for n in range(201)]
    with pytest.raises(InputError, match=r"drawing: the graph has 202 entities; expected at most 200"):
        draw_subgraph(_kg(rows))
    figure = draw_subgraph(KnowledgeGraph.empty())
    assert [word.get_text() for word in figure.axes[0].texts] == ["no entities"]
