"""Linking by label: what is sure is linked, what is not is told, and a person decides."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders.errors import InputError
from kg_builders.label_link import LabelLinkSettings, link_by_label
from kg_builders.link import link_external
from kg_builders.review import KEEP, MERGE, Review, read_review, write_review
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph
from kg_builders.sources import ExternalTriples, read_item_links

OWN = pl.DataFrame(
    {
        "id": ["1", "2", "3", "4", "5"],
        "label": ["The Beatles", "Heat", "Air", "Sigur Rós", None],
        "year": [1960, 1995, 1995, 1994, 2000],
    }
)
OTHER = pl.DataFrame(
    {
        "id": ["2", "m.1", "m.2", "m.3", "m.4", "m.5"],
        "label": ["beatles", "HEAT", "Heat", "Air", "Sigur Ros", None],
        "type": [["band"], ["film"], ["film", "remake"], ["gas"], ["band"], ["band"]],
        "year": [1960.0, 1995.0, 1986.0, None, 1994.0, 2000.0],
    }
)


def pairs(links: pl.DataFrame) -> set[tuple[str, str]]:
    return set(links.select("item", "entity").rows())


def test_a_label_of_one_here_and_one_there_is_linked() -> None:
    links, review, report = link_by_label(OWN, OTHER)
    assert pairs(links) == {("1", "2"), ("3", "m.3"), ("4", "m.4")}
    assert links["line"].to_list() == [1, 2, 3]
    assert review.table.select("canonical_id", "merged_id", "method", "decision").rows() == [
        ("3", "m.3", "normal form", MERGE), ("2", "m.1", "ambiguous", KEEP), ("2", "m.2", "ambiguous", KEEP),
        ("4", "m.4", "normal form", MERGE), ("1", "2", "normal form", MERGE),
    ]  # fmt: skip
    coverage = report.kinds[0]
    assert (coverage.linked, coverage.ambiguous, coverage.unconfirmed, coverage.unlinked) == (3, 1, 0, 1)
    assert (coverage.ambiguous_examples, coverage.unlinked_examples) == (("Heat",), ("5",))
    assert "item: 3 of 5 linked by label (60.0%), 1 ambiguous" in report.sentence()
    assert report.to_dict()["kinds"][0]["entities"] == 5


def test_types_and_values_decide_between_equal_labels() -> None:
    films = LabelLinkSettings(types={ITEM: ("film", "band")}, same={"year": "year"})
    links, _, report = link_by_label(OWN, OTHER, films)
    assert pairs(links) == {("1", "2"), ("2", "m.1"), ("4", "m.4")}
    assert report.kinds[0].unlinked == 2
    # Without a year, nothing says that it is another one, but nothing says that it is the same.
    links, review, report = link_by_label(OWN, OTHER, LabelLinkSettings(same={"year": "year"}))
    assert ("3", "m.3") not in pairs(links)
    assert review.table.filter(canonical_id="3").select("method", "decision").row(0) == ("unconfirmed", KEEP)
    assert report.kinds[0].unconfirmed == 1
    one_type = OTHER.with_columns(pl.col("type").list.first())
    assert pairs(link_by_label(OWN, one_type, films)[0]) == {("1", "2"), ("2", "m.1"), ("4", "m.4")}


def test_types_are_those_of_the_kind() -> None:
    own = pl.DataFrame({"id": ["1", "b"], "label": ["Apple", "Apple"], "kind": [ITEM, "brand"]})
    other = pl.DataFrame({"id": ["f", "c"], "label": ["apple", "Apple Inc."], "type": ["fruit", "company"]})
    chosen = LabelLinkSettings(types={"brand": ("company",), ITEM: ("fruit",)})
    links, _, report = link_by_label(own, other, chosen)
    assert set(links.select("kind", "item", "entity").rows()) == {("brand", "b", "c"), (ITEM, "1", "f")}
    assert [coverage.kind for coverage in report.kinds] == ["brand", ITEM]
    assert link_by_label(own, other)[0].is_empty()


def test_how_one_side_writes_a_name_counts_for_the_other() -> None:
    own = pl.DataFrame({"id": ["1", "2", "3"], "label": ["apple inc", "by Nike", "new ag"]})
    other = pl.DataFrame({"id": ["a", "n", "w"], "label": ["Apple Inc.", "Nike", "new"]})
    links, _, _ = link_by_label(own, other)
    assert pairs(links) == {("1", "a"), ("2", "n")}


def test_other_names_of_an_entity_link_it_once() -> None:
    other = pl.DataFrame({"id": ["e", "e", "e"], "label": ["The Fab Four", "Beatles", "the beatles"]})
    links, review, _ = link_by_label(OWN, other)
    assert pairs(links) == {("1", "e")}
    assert len(review.table) == 1


def test_a_label_of_two_own_entities_is_ambiguous() -> None:
    own = pl.DataFrame({"id": ["1", "2"], "label": ["Heat", "heat"]})
    links, review, report = link_by_label(own, OTHER.filter(pl.col("id") == "m.1"))
    assert links.is_empty()
    assert review.table["method"].to_list() == ["ambiguous", "ambiguous"]
    assert report.kinds[0].ambiguous == 2


def test_near_labels_are_listed_for_the_review_only() -> None:
    own = pl.DataFrame({"id": ["1", "2"], "label": ["Radiohaed", "Portishead"]})
    other = pl.DataFrame({"id": ["r", "p"], "label": ["Radiohead", "Portishead"]})
    links, review, report = link_by_label(own, other, LabelLinkSettings(near=0.85))
    assert pairs(links) == {("2", "p")}
    # 2 * 8 / 18
    assert review.table.filter(method="near").select(
        "canonical_id", "merged_id", "score", "decision"
    ).rows() == [("1", "r", 0.8889, KEEP)]
    assert report.kinds[0].unconfirmed == 1


def test_decisions_are_obeyed(tmp_path: Path) -> None:
    _, review, _ = link_by_label(OWN, OTHER)
    write_review(review, tmp_path / "links.csv")
    text = (tmp_path / "links.csv").read_text()
    lines = [line[: -len(KEEP)] + MERGE if ",m.1," in line else line for line in text.splitlines()]
    lines = [line[: -len(MERGE)] + KEEP if ",m.3," in line else line for line in lines]
    (tmp_path / "links.csv").write_text(
        "\n".join([*lines, "item,5,,,m.5,,,,,merge", "item,5,,,gone,,,,,keep"])
    )
    edited = read_review(tmp_path / "links.csv", external=True)
    links, told, report = link_by_label(OWN, OTHER, None, edited)
    assert pairs(links) == {("1", "2"), ("2", "m.1"), ("4", "m.4"), ("5", "m.5")}
    assert told.stale["merged_id"].to_list() == ["gone"]
    assert told.table.filter(merged_id="m.5")["method"].to_list() == ["review"]
    assert report.kinds[0].linked == 4
    again, same, _ = link_by_label(OWN, OTHER, None, told)
    assert again.equals(links)
    assert same.table.equals(told.table)


def test_a_review_of_links_is_not_one_of_merges(tmp_path: Path) -> None:
    # The same id here and there is no circle and no entity merged into itself.
    text = "kind,canonical_id,merged_id,decision\nitem,1,2,merge\nitem,2,1,merge\nitem,3,3,keep\n"
    (tmp_path / "links.csv").write_text(text)
    assert read_review(tmp_path / "links.csv", external=True).merged == 2
    with pytest.raises(InputError, match=r"line 4: '3' is paired with itself"):
        read_review(tmp_path / "links.csv")
    (tmp_path / "links.csv").write_text(text + "item,1,9,merge\n")
    with pytest.raises(InputError, match=r"line 5: '1' is linked to '9' and, in a row above, to another"):
        read_review(tmp_path / "links.csv", external=True)
    with pytest.raises(InputError, match=r"link: the review is one of merges within a graph"):
        link_by_label(OWN, OTHER, None, Review.empty())


def test_missing_columns_are_told() -> None:
    with pytest.raises(InputError, match=r"link: the external entities have no column 'type'"):
        link_by_label(OWN, OTHER.drop("type"), LabelLinkSettings(types={ITEM: ("film",)}))
    with pytest.raises(InputError, match=r"own entities have no column 'yaer'; did you mean 'year'"):
        link_by_label(OWN, OTHER, LabelLinkSettings(same={"yaer": "year"}))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from("aAbBcd"), max_size=6), st.lists(st.sampled_from("aAbBce"), max_size=6))
def test_links_against_counting(left: list[str], right: list[str]) -> None:
    own = pl.DataFrame(
        {"id": [f"i{n}" for n in range(len(left))], "label": left}, schema={"id": pl.Utf8, "label": pl.Utf8}
    )
    other = pl.DataFrame(
        {"id": [f"i{n}" for n in range(len(right))], "label": right}, schema={"id": pl.Utf8, "label": pl.Utf8}
    )
    links, review, report = link_by_label(own, other)
    here, there = [label.lower() for label in left], [label.lower() for label in right]
    expected = {
        (f"i{n}", f"i{there.index(label)}")
        for n, label in enumerate(here)
        if here.count(label) == 1 and there.count(label) == 1
    }
    assert pairs(links) == expected
    assert len(review.table) == sum(there.count(label) for label in here)
    assert sum(coverage.linked + coverage.ambiguous + coverage.unlinked for coverage in report.kinds) == len(
        left
    )


def test_links_of_items_and_brands_join_the_graphs() -> None:
    rows = [
        (ITEM, "1", "brand", "brand", "apple", "Apple", "own"),
        (ITEM, "2", "brand", "brand", "sony", "Sony", "own"),
    ]
    own = KnowledgeGraph.from_named(pl.DataFrame(rows, schema=NAMED_SCHEMA, orient="row"))
    known = pl.DataFrame(
        {"id": ["Q312", "Q41187"], "label": ["Apple Inc.", "Sony"], "type": ["company", "company"]}
    )
    brands = own.entities.filter(pl.col("kind") == "brand")
    links, _, _ = link_by_label(brands, known, LabelLinkSettings(types={"brand": ("company",)}))
    triples = pl.DataFrame(
        {"head": ["Q312", "Q41187"], "relation": ["seat", "seat"], "tail": ["Q99", "Q1490"], "line": [1, 2]}
    )
    external = ExternalTriples(triples, links, "facts.nt", "review.csv")
    items = own.entities.filter(pl.col("kind") == ITEM).select("id", "label")
    linked, report = link_external(external, items, "wikidata")
    both = own.union(linked)
    assert set(both.to_named().select("head_kind", "head_id", "relation", "tail_kind", "tail_id").rows()) == {
        (ITEM, "1", "brand", "brand", "apple"), (ITEM, "2", "brand", "brand", "sony"),
        ("brand", "apple", "seat", "wikidata", "Q99"), ("brand", "sony", "seat", "wikidata", "Q1490"),
    }  # fmt: skip
    assert dict(both.entities.select("id", "label").rows())["apple"] == "Apple"
    assert (report.linked, report.foreign_links) == (0, 0)


def test_artists_find_themselves_by_name(shared_data: Path) -> None:
    """Links by name of the artists to the entities of the id map, called by the names of their artists."""
    folder = shared_data / "lfm2k"
    artists = pl.read_csv(
        folder / "artists.dat",
        separator="\t",
        quote_char=None,
        columns=["id", "name"],
        schema_overrides={"id": pl.Utf8},
    ).rename({"name": "label"})
    truth = read_item_links(folder / "item_index2entity_id.txt")
    entities = truth.join(artists, left_on="item", right_on="id").select(
        id="entity", label=pl.col("label").str.to_lowercase()
    )
    links, review, report = link_by_label(artists, entities)
    right = set(truth.select("item", "entity").rows())
    assert pairs(links) <= right
    assert len(links) > 0.98 * len(entities)
    # Artists that are spelled alike, such as "MGMT" and "mgmt", are told and not linked.
    assert report.kinds[0].ambiguous == review.table.filter(method="ambiguous")["canonical_id"].n_unique()
    assert report.kinds[0].linked == len(links)
