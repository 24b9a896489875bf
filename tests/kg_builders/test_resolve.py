"""Entity resolution: what is merged, what is only listed, and that both are as the review says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kg_builders.errors import InputError
from kg_builders.names import read_aliases
from kg_builders.resolve import ResolveSettings, resolve_entities
from kg_builders.review import KEEP, MERGE, REVIEW_SCHEMA, Review
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph

BRANDS = ResolveSettings(kinds=("brand",))


def graph(labels: dict[str, int], kind: str = "brand") -> KnowledgeGraph:
    """Make a graph of labels and how many items each has; the id of a label is the label itself."""
    named, item = [], 0
    for label, count in labels.items():
        for _ in range(count):
            named.append((ITEM, f"i{item}", kind, kind, label, label, f"{label}.csv:{kind}:categorical"))
            item += 1
    return KnowledgeGraph.from_named(pl.DataFrame(named, schema=NAMED_SCHEMA, orient="row"))


def decisions(review: Review) -> set[tuple[str, str, str, str]]:
    return set(review.table.select("canonical_label", "merged_label", "method", "decision").rows())


def edit(review: Review, merged: str, decision: str) -> Review:
    chosen = pl.when(pl.col("merged_label") == merged).then(pl.lit(decision)).otherwise("decision")
    return Review(review.table.with_columns(decision=chosen))


def facts(kg: KnowledgeGraph) -> list[tuple[str, ...]]:
    return sorted(kg.to_named().select("head_id", "relation", "tail_id", "source").rows())


def test_spellings_are_merged_into_the_one_with_most_items() -> None:
    kg = graph({"SONY Corp.": 1, "Sony": 3, "Sony inc": 2, "Canon": 1})
    resolved, review = resolve_entities(kg, BRANDS)
    assert decisions(review) == {
        ("Sony", "SONY Corp.", "normal form", MERGE),
        ("Sony", "Sony inc", "normal form", MERGE),
    }
    assert review.table.select("canonical_items", "merged_items", "score").rows() == [
        (3, 1, 1.0),
        (3, 2, 1.0),
    ]
    assert resolved.entities.filter(pl.col("kind") == "brand")["label"].to_list() == ["Canon", "Sony"]
    assert resolved.n_triples == kg.n_triples
    # The file of each triple is still told.
    assert {source for *_, source in facts(resolved)} == {source for *_, source in facts(kg)}
    assert "3 entities merged" not in review.sentence()
    assert "2 entities merged into others (2 by normal form)" in review.sentence()


def test_legal_forms_are_those_of_names_with_a_capital() -> None:
    labels = {"Dove Inc.": 1, "Dove": 2, "Canon": 3, "Canon Inc.": 2, "canon inc": 1, "CANON, INC": 1}
    tags = {"feel good inc": 1, "feelgood": 2, "new ag": 1, "new": 5, "feel good": 1}
    _, review = resolve_entities(graph(labels | tags), BRANDS)
    assert decisions(review) == {
        ("Dove", "Dove Inc.", "normal form", MERGE), ("Canon", "Canon Inc.", "normal form", MERGE),
        ("Canon", "canon inc", "normal form", MERGE), ("Canon", "CANON, INC", "normal form", MERGE),
        ("feelgood", "feel good", "normal form", MERGE),
    }  # fmt: skip
    # A capital of another kind's name says nothing; an alias is a name of each kind.
    kg = graph({"feel good inc": 1, "feelgood": 2}, "tag").union(graph({"Feel Good Inc": 1}))
    every = ResolveSettings(kinds="all")
    assert resolve_entities(kg, every)[1].merged == 0
    aliases = {"Gorillaz": ("Feel Good Inc",)}
    assert resolve_entities(kg, every.model_copy(update={"aliases": aliases}))[1].merged == 1
    lower = {"hewlett packard inc": ("hp",)}
    known = graph({"HP": 1, "Hewlett Packard Inc.": 1, "Hewlett-Packard": 2})
    assert resolve_entities(known, BRANDS.model_copy(update={"aliases": lower}))[1].merged == 2


def test_a_prefix_is_left_out_before_another_name() -> None:
    labels = {
        "Nike": 3, "by Nike": 1, "by\n    \n    NIKE, Inc.": 1, "The North Face": 2, "by The North Face": 1,
        "by Acme": 1, "By the Sword": 1, "by the sword": 1, "the sword": 2, "by": 1, "Byron": 1, "Ron": 1,
        "By Night": 1, "Night": 1,
    }  # fmt: skip
    _, review = resolve_entities(graph(labels), BRANDS)
    assert {row for row in decisions(review) if row[3] == MERGE} == {
        ("Nike", "by Nike", "normal form", MERGE),
        ("Nike", "by\n    \n    NIKE, Inc.", "normal form", MERGE),
        ("The North Face", "by The North Face", "normal form", MERGE),
        ("By the Sword", "by the sword", "normal form", MERGE),
    }
    other_kind = graph({"by Nike": 1}).union(graph({"Nike": 1}, "store"))
    assert resolve_entities(other_kind, ResolveSettings(kinds="all"))[1].merged == 0
    off = BRANDS.model_copy(update={"prefixes": ()})
    assert resolve_entities(graph({"Nike": 1, "by Nike": 1}), off)[1].merged == 0
    signs = BRANDS.model_copy(update={"prefixes": ("by", "(c)")})
    assert resolve_entities(graph({"Nike": 1, "(c) Nike": 1, "c Nike": 1}), signs)[1].merged == 1


def test_ties_go_to_the_first_label() -> None:
    _, review = resolve_entities(graph({"sony": 2, "Sony": 2, "SONY": 2}), BRANDS)
    assert set(review.table["canonical_label"]) == {"SONY"}


def test_only_the_named_kinds_are_touched() -> None:
    kg = graph({"Sony": 1, "SONY": 1}).union(graph({"Sony": 1, "SONY": 1}, "store"))
    resolved, review = resolve_entities(kg, ResolveSettings(kinds=("store",)))
    assert review.table["kind"].to_list() == ["store"]
    assert resolved.entities["kind"].to_list().count("brand") == 2
    both, review = resolve_entities(kg, ResolveSettings(kinds="all"))
    assert review.table["kind"].to_list() == ["brand", "store"]
    assert both.n_items == kg.n_items
    with pytest.raises(InputError, match=r"no entities of kind 'brnd'; did you mean 'brand'\?"):
        resolve_entities(kg, ResolveSettings(kinds=("brnd",)))


def test_items_are_merged_only_if_asked() -> None:
    items = pl.DataFrame({"id": ["1", "2"], "label": ["Heat", "HEAT"]})
    rows = [(ITEM, i, "genre", "genre", "drama", None, "x") for i in ("1", "2")]
    kg = KnowledgeGraph.from_named(pl.DataFrame(rows, schema=NAMED_SCHEMA, orient="row"), items)
    assert resolve_entities(kg, ResolveSettings(kinds="all"))[0].n_items == 2
    one, review = resolve_entities(kg, ResolveSettings(kinds=(ITEM,)))
    assert (one.n_items, one.n_triples, review.merged) == (1, 1, 1)


def test_triples_that_become_equal_or_loops_are_merged() -> None:
    rows = [
        (ITEM, "i1", "brand", "brand", "Sony", None, "b:x"),
        (ITEM, "i1", "brand", "brand", "SONY", None, "a:x"),
        ("brand", "SONY", "owns", "brand", "Sony", None, "c"),
        ("brand", "Sony", "owns", "brand", "Aiwa", None, "c"),
        ("brand", "SONY", "like", "brand", "Aiwa", None, "c"),
        ("brand", "Aiwa", "like", "brand", "Sony", None, "b"),
    ]
    like = pl.DataFrame({"name": ["like"], "label": ["like"], "symmetric": [True]})
    kg = KnowledgeGraph.from_named(pl.DataFrame(rows, schema=NAMED_SCHEMA, orient="row"), relations=like)
    resolved, _ = resolve_entities(kg, BRANDS)
    assert facts(resolved) == [
        ("Aiwa", "like", "SONY", "b"), ("SONY", "owns", "Aiwa", "c"), ("i1", "brand", "SONY", "a:x"),
    ]  # fmt: skip


def test_aliases_by_table_and_by_file(tmp_path: Path) -> None:
    kg = graph({"HP": 1, "Hewlett-Packard": 3, "hewlett packard Co": 1, "IBM": 1, "Big Blue": 1})
    aliases = {"Hewlett Packard": ("HP",), "International Business Machines": ("I.B.M.", "big blue")}
    resolved, review = resolve_entities(kg, BRANDS.model_copy(update={"aliases": aliases}))
    assert decisions(review) == {
        ("Hewlett-Packard", "HP", "alias", MERGE),
        ("Hewlett-Packard", "hewlett packard Co", "normal form", MERGE),
        ("Big Blue", "IBM", "alias", MERGE),
    }
    (tmp_path / "a.csv").write_text('name,other\nHewlett Packard,HP\n"International Business Machines",IBM\n')
    (tmp_path / "a.yaml").write_text("Hewlett Packard: [HP]\nBig Blue: [IBM]\n")
    assert read_aliases(tmp_path / "a.csv") == {
        "Hewlett Packard": ("HP",), "International Business Machines": ("IBM",)
    }  # fmt: skip
    by_file, _ = resolve_entities(kg, BRANDS.model_copy(update={"aliases": "a.yaml"}), folder=tmp_path)
    assert by_file.entities.equals(resolved.entities)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "name,other,more\na,b,c\n", r"a.csv: has 3 columns; expected two"),
        ("a.csv", "name,other\nHP,\n", r"a.csv, line 2: a name is empty"),
        ("a.yaml", "- HP\n", r"a.yaml: expected names with lists"),
        ("a.yaml", "HP: [1]\n", r"a.yaml: alias 'HP': expected a text and a list of texts"),
        ("a.yaml", "A: [HP]\nB: [hp]\n", r"a.yaml: 'hp' stands for 'A' and for 'B'"),
        ("a.yaml", "A: [B]\nB: [A]\n", r"a.yaml: '[AB]' is an alias in a circle"),
    ],
)
def test_broken_aliases(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        resolve_entities(
            graph({"HP": 1}), BRANDS.model_copy(update={"aliases": name}), folder=tmp_path
        )  # fmt: skip


def test_chains_of_aliases_are_followed() -> None:
    settings_ = BRANDS.model_copy(update={"aliases": {"A": ("B",), "B": ("C",), "a": ("A!",)}})
    _, review = resolve_entities(graph({"a": 3, "b": 1, "c": 2}), settings_)
    assert decisions(review) == {("a", "b", "alias", MERGE), ("a", "c", "alias", MERGE)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rock", "rocky"), ("post-rock", "pop-rock"), ("80s", "90s"),
        ("male vocalist", "female vocalists"), ("Rocky II", "Rocky III"), ("Type A", "Type B"),
        ("american", "americana"), ("electronic", "electronica"), ("Canon 50D", "Canon 60D"),
        ("black metal", "raw black metal"), ("dance pop", "pop dance"), ("Final Fantasy X", "Final Fantasy"),
        ("classic", "classical"), ("Dolby Digital 5.1", "Dolby Digital 51"), ("Austria", "Australia"),
    ],
)  # fmt: skip
def test_different_things_are_not_merged(one: str, other: str) -> None:
    kg = graph({one: 2, other: 1})
    resolved, review = resolve_entities(kg, BRANDS)
    assert review.merged == 0
    assert resolved is kg


def test_near_duplicates_are_merged_or_listed_by_their_score() -> None:
    kg = graph({"Instrumental": 5, "Instrumentals": 1, "Panasonic": 4, "Pansonic": 1, "Toshiba": 2})
    _, review = resolve_entities(kg, BRANDS)
    assert decisions(review) == {
        ("Instrumental", "Instrumentals", "near", MERGE),
        ("Panasonic", "Pansonic", "near", KEEP),
    }
    # 2 * 8 / 17 and 2 * 12 / 25
    assert review.table["score"].to_list() == [0.96, 0.9412]
    _, strict = resolve_entities(kg, BRANDS.model_copy(update={"accept": 1.0}))
    assert strict.merged == 0
    _, loose = resolve_entities(kg, BRANDS.model_copy(update={"accept": 0.94}))
    assert loose.merged == 2
    _, off = resolve_entities(kg, BRANDS.model_copy(update={"near": False}))
    assert off.table.is_empty()


def test_what_is_not_automatic_is_only_listed() -> None:
    kg = graph({"Sony": 3, "SONY": 1, "Vaio": 1, "Instrumental": 2, "Instrumentals": 1})
    listed = BRANDS.model_copy(update={"aliases": {"Sony": ("Vaio",)}, "automatic": ()})
    same, review = resolve_entities(kg, listed)
    assert same is kg
    assert decisions(review) == {
        ("Sony", "SONY", "normal form", KEEP), ("Sony", "Vaio", "alias", KEEP),
        ("Instrumental", "Instrumentals", "near", KEEP),
    }  # fmt: skip
    accepted, _ = resolve_entities(kg, listed, edit(review, "Vaio", MERGE))
    assert "Vaio" not in accepted.entities["label"].to_list()
    assert "SONY" in accepted.entities["label"].to_list()


def test_near_duplicates_make_no_chain() -> None:
    # Each is near the next, but the first and the last are not near each other.
    labels = {"abcdefghijklmnop": 9, "abcdefghijklmnopq": 5, "abcdefghijklmnopqr": 1}
    _, review = resolve_entities(graph(labels), BRANDS.model_copy(update={"accept": 0.96}))
    assert decisions(review) == {
        ("abcdefghijklmnop", "abcdefghijklmnopq", "near", MERGE),
        ("abcdefghijklmnop", "abcdefghijklmnopqr", "near", KEEP),
    }


def test_wrong_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"suggest is 0.9, more than accept, 0.8"):
        ResolveSettings(kinds="all", accept=0.8, suggest=0.9)


def misspell(name: str, rng: np.random.Generator) -> str:
    """Make one typing error in a name: a letter left out, doubled or changed for another."""
    at = int(rng.integers(1, len(name)))
    other = chr(int(rng.integers(ord("a"), ord("z") + 1)))
    choices = [name[:at] + name[at + 1 :], name[:at] + name[at - 1 :], name[:at] + other + name[at + 1 :]]
    return choices[int(rng.integers(len(choices)))]


def test_quality_on_generated_brands() -> None:
    """Nearly all merges are right; all spellings are found, and most misspellings are listed."""
    rng = np.random.default_rng(11)
    syllables = [a + b for a in "bcdfghjklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "el", "or")]
    brands = sorted({"".join(rng.choice(syllables, int(rng.integers(3, 7)))).title() for _ in range(1_500)})
    labels: dict[str, int] = {brand: 4 for brand in brands}
    spelt: dict[str, str] = {}
    typed: dict[str, str] = {}
    endings = [" Inc.", ", Ltd", " GmbH", " Corporation", "®", " S.A."]
    for brand in brands[:600]:
        variant = [brand.upper(), brand + endings[int(rng.integers(len(endings)))], "The " + brand][
            int(rng.integers(3))
        ]
        spelt[variant] = brand
    for brand in brands[600:1_000]:
        typed[misspell(brand, rng)] = brand
    typed = {variant: brand for variant, brand in typed.items() if variant not in labels}
    kg = graph({**labels, **dict.fromkeys(spelt, 1), **dict.fromkeys(typed, 1)})
    _, review = resolve_entities(kg, BRANDS)
    truth = {(brand, variant) for variant, brand in {**spelt, **typed}.items()}
    listed = set(review.table.select("canonical_label", "merged_label").rows())
    merged = set(review.table.filter(decision=MERGE).select("canonical_label", "merged_label").rows())
    assert len(merged & truth) / len(merged) > 0.99
    assert {(brand, variant) for variant, brand in spelt.items()} <= merged
    found = {(brand, variant) for variant, brand in typed.items()} & listed
    assert len(found) / len(typed) > 0.95
    assert len(listed & truth) / len(listed) > 0.95


def test_the_order_of_the_graph_does_not_matter() -> None:
    kg = graph({"Sony": 2, "SONY": 2, "Instrumental": 1, "Instrumentals": 1, "Panasonic": 1, "Pansonic": 1})
    order = np.random.default_rng(0).permutation(kg.n_entities)
    entities = kg.entities[order].with_columns(entity=pl.int_range(len(order), dtype=pl.Int64))
    new = np.argsort(order)
    triples = kg.triples.with_columns(
        head=pl.Series(new[kg.triples["head"]]), tail=pl.Series(new[kg.triples["tail"]])
    )
    shuffled = KnowledgeGraph(entities, kg.relations, triples)
    first, second = resolve_entities(kg, BRANDS), resolve_entities(shuffled, BRANDS)
    assert first[1].table.equals(second[1].table)
    assert facts(first[0]) == facts(second[0])


def test_tags_of_listeners(shared_data: Path) -> None:
    """On the tags of Last.fm 2K, spellings are merged and what only looks alike is not."""
    tags = pl.read_csv(
        shared_data / "lfm2k" / "lfm2k_text.tsv", separator="\t", quote_char=None, has_header=False
    )
    values = tags[tags.columns[-1]].str.split(",").explode().str.strip_chars().str.to_lowercase()
    counts = values.value_counts().filter(pl.col(values.name).str.len_chars() > 0)
    kg = graph({label: count // 5 + 1 for label, count in counts.rows()}, "tag")
    _, review = resolve_entities(kg, ResolveSettings(kinds=("tag",)))
    merged = dict(review.table.filter(decision=MERGE).select("merged_label", "canonical_label").rows())
    assert merged["hip hop"] == merged["hiphop"] == "hip-hop"
    assert merged["80's"] == "80s"
    assert merged["synth pop"] == "synthpop"
    near = review.table.filter(pl.col("method") == "near")
    assert near.filter(decision=MERGE)["merged_label"].to_list() == ["instrumentals"]
    pairs = {frozenset(pair) for pair in near.select("canonical_label", "merged_label").rows()}
    assert frozenset(("electronic", "electronica")) in pairs
    assert frozenset(("post-rock", "pop rock")) not in pairs


def test_empty_graphs() -> None:
    empty = KnowledgeGraph.empty()
    same, review = resolve_entities(empty, ResolveSettings(kinds="all"))
    assert same is empty
    assert review.table.is_empty()
    assert review.table.schema == pl.Schema(REVIEW_SCHEMA)
