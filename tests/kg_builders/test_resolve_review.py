"""The review: written, edited and fed back, with every decision obeyed and every broken row refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders.errors import InputError
from kg_builders.resolve import ResolveSettings, resolve_entities
from kg_builders.review import KEEP, MERGE, REVIEW_SCHEMA, Review, read_review, write_review
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph

BRANDS = ResolveSettings(kinds=("brand",), accept=0.93, aliases={"Sony": ("Vaio",)})
LABELS = [
    "Sony",
    "SONY",
    "Sony inc",
    "Vaio",
    "Panasonic",
    "Pansonic",
    "Panasonics",
    "PANASONIC",
    "Pansonic Ltd",
    "Canon",
]


def graph(labels: list[str]) -> KnowledgeGraph:
    """Make a graph in which the first label has most items."""
    named = [
        (ITEM, f"i{label}{item}", "brand", "brand", label, label, "s")
        for place, label in enumerate(labels)
        for item in range(len(labels) - place)
    ]
    return KnowledgeGraph.from_named(pl.DataFrame(named, schema=NAMED_SCHEMA, orient="row"))


def review_of(*rows: tuple[str, str, str], kind: str = "brand") -> Review:
    """Make a review of (canonical, merged, decision), as a person writes it."""
    frame = pl.DataFrame(rows, schema=["canonical_id", "merged_id", "decision"], orient="row")
    absent = [
        pl.lit(None, dtype).alias(name) for name, dtype in REVIEW_SCHEMA.items() if name not in frame.columns
    ]
    return Review(frame.with_columns(*absent).with_columns(kind=pl.lit(kind)).select(list(REVIEW_SCHEMA)))


def clusters(
    kg: KnowledgeGraph, reviewed: Review | None = None, chosen: ResolveSettings = BRANDS
) -> dict[str, str]:
    """Return for each label the one that it became, as the graph has it, not as the review says."""
    resolved, _ = resolve_entities(kg, chosen, reviewed)
    tails = dict(resolved.to_named().select("head_id", "tail_id").rows())
    return {tail: tails[head] for head, tail in kg.to_named().select("head_id", "tail_id").rows()}


def test_a_decision_to_keep_undoes_a_merge() -> None:
    kg = graph(LABELS[:-2])
    resolved, review = resolve_entities(kg, BRANDS)
    assert review.merged == kg.n_entities - resolved.n_entities == 6
    nothing = Review(review.table.with_columns(decision=pl.lit(KEEP)))
    undone, again = resolve_entities(kg, BRANDS, nothing)
    assert undone.triples.equals(kg.triples)
    assert undone.entities.equals(kg.entities)
    assert again.merged == 0
    for merged in review.table.filter(decision=MERGE)["merged_id"]:
        chosen = pl.when(pl.col("merged_id") == merged).then(pl.lit(KEEP)).otherwise("decision")
        one, told = resolve_entities(kg, BRANDS, Review(review.table.with_columns(decision=chosen)))
        assert merged in one.entities["id"].to_list()
        assert told.merged == review.merged - 1


def test_spellings_of_a_name_that_is_kept_apart_are_still_one() -> None:
    kg = graph(["Panasonic", "Pansonic", "Pansonic Ltd"])
    _, review = resolve_entities(kg, BRANDS)
    assert review.merged == 2
    apart = Review(review.table.with_columns(decision=pl.lit(KEEP)))
    assert clusters(kg, apart) == {
        "Panasonic": "Panasonic",
        "Pansonic": "Pansonic",
        "Pansonic Ltd": "Pansonic",
    }


def test_a_decision_to_merge_merges_what_nothing_suggests() -> None:
    kg = graph(["Sony", "Aiwa", "AIWA", "Canon"])
    assert clusters(kg) == {"Sony": "Sony", "Aiwa": "Aiwa", "AIWA": "Aiwa", "Canon": "Canon"}
    by_hand = review_of(("Sony", "AIWA", MERGE))
    # What is spelled like the merged one comes along, unless the person says otherwise.
    assert clusters(kg, by_hand) == {"Sony": "Sony", "Aiwa": "Sony", "AIWA": "Sony", "Canon": "Canon"}
    apart = review_of(("Sony", "AIWA", MERGE), ("Sony", "Aiwa", KEEP))
    assert clusters(kg, apart) == {"Sony": "Sony", "Aiwa": "Aiwa", "AIWA": "Sony", "Canon": "Canon"}
    _, told = resolve_entities(kg, BRANDS, apart)
    assert told.table.select("merged_id", "method", "score", "decision").rows() == [
        ("AIWA", "review", None, MERGE), ("Aiwa", "review", None, KEEP),
    ]  # fmt: skip


def test_a_person_chooses_the_name_and_chains_are_followed() -> None:
    kg = graph(["Sony", "SONY", "Canon", "Kanon"])
    swapped = review_of(("SONY", "Sony", MERGE), ("Kanon", "SONY", MERGE))
    assert set(clusters(kg, swapped).items()) >= {("Sony", "Kanon"), ("SONY", "Kanon"), ("Canon", "Canon")}


def test_two_that_are_kept_apart_do_not_meet_at_a_third() -> None:
    kg = graph(["Panasonic", "Panasonics", "Panasonik"])
    loose = BRANDS.model_copy(update={"accept": 0.85})
    assert set(clusters(kg, None, loose).values()) == {"Panasonic"}
    found = clusters(kg, review_of(("Panasonics", "Panasonik", KEEP)), loose)
    assert found == {"Panasonic": "Panasonic", "Panasonics": "Panasonic", "Panasonik": "Panasonik"}


def test_rows_that_no_longer_exist_are_told() -> None:
    stale = review_of(("Sony", "Nokia", MERGE), ("Sony", "SONY", KEEP))
    resolved, review = resolve_entities(graph(["Sony", "SONY"]), BRANDS, stale)
    assert resolved.n_entities == graph(["Sony", "SONY"]).n_entities
    assert review.stale["merged_id"].to_list() == ["Nokia"]
    assert review.warnings()[0].startswith("1 row of the review name entities that are not here")
    assert "Nokia" not in review.table["merged_id"].to_list()
    other_kind = review_of(("Sony", "SONY", MERGE), kind="store")
    assert len(resolve_entities(graph(["Sony", "SONY"]), BRANDS, other_kind)[1].stale) == 1


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.sampled_from(LABELS), min_size=1, unique=True),
    st.dictionaries(st.sampled_from(LABELS), st.sampled_from([MERGE, KEEP])),
    st.booleans(),
)
def test_a_review_fed_back_gives_the_same_result_and_edits_are_obeyed(
    labels: list[str], edits: dict[str, str], near: bool
) -> None:
    kg, chosen = graph(labels), BRANDS.model_copy(update={"near": near})
    resolved, review = resolve_entities(kg, chosen)
    again, told = resolve_entities(kg, chosen, review)
    assert again.triples.equals(resolved.triples)
    assert again.entities.equals(resolved.entities)
    assert told.table.equals(review.table)
    decision = [edits.get(merged, old) for merged, old in review.table.select("merged_id", "decision").rows()]
    try:
        edited = Review(review.table.with_columns(pl.Series("decision", decision, dtype=pl.Utf8)))
    except InputError:
        return  # The edits contradict each other, which is refused elsewhere.
    became = clusters(kg, edited, chosen)
    for canonical, merged, what in edited.table.select("canonical_id", "merged_id", "decision").rows():
        assert (became[canonical] == became[merged]) == (what == MERGE)
    _, written = resolve_entities(kg, chosen, edited)
    listed = {
        frozenset(pair): what
        for *pair, what in written.table.select("canonical_id", "merged_id", "decision").rows()
    }
    for pair, what in listed.items():
        assert (len({became[label] for label in pair}) == 1) == (what == MERGE)
    # Nothing is merged silently: who is in one cluster is joined by rows that say so.
    gone = {label for label, target in became.items() if label != target}
    assert gone == set(written.table.filter(decision=MERGE)["merged_id"])


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        min_size=2,
        unique=True,
    ),
    st.sampled_from([".csv", ".tsv"]),
)
def test_a_written_review_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], ending: str
) -> None:
    rows = [("brand", names[0], names[0], 3, name, name, 1, "near", 0.9123, KEEP) for name in names[1:]]
    review = Review(pl.DataFrame(rows, schema=REVIEW_SCHEMA, orient="row"))
    path = tmp_path_factory.mktemp("review") / f"review{ending}"
    write_review(review, path)
    first = path.read_bytes()
    back = read_review(path)
    assert back.table.equals(review.table)
    write_review(back, path)
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_empty_review_can_be_written_and_read(tmp_path: Path) -> None:
    write_review(Review.empty(), tmp_path / "new" / "review.csv")
    assert read_review(tmp_path / "new" / "review.csv").table.is_empty()


def test_columns_that_nobody_needs_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text("note,kind,merged_id,canonical_id,decision\nwhy,brand,SONY,Sony, Keep \n")
    assert read_review(path).table.row(0) == (
        "brand",
        "Sony",
        None,
        None,
        "SONY",
        None,
        None,
        None,
        None,
        KEEP,
    )


HEADER = "kind,canonical_id,merged_id,decision\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("brand,Sony,SONY,merge\nbrand,Sony,sony,perhaps\n", r"line 3: decision 'perhaps'; expected merge"),
        ("brand,Sony,SONY,\n", r"line 2: decision ''; expected merge or keep"),
        ("brand,,SONY,merge\n", r"line 2: canonical_id is empty"),
        ("brand,Sony,SONY\n", r"line 2: has 3 values separated by comma, expected 4"),
        ("brand,Sony,Sony,merge\n", r"line 2: 'Sony' is paired with itself"),
        ("brand,a,b,merge\nbrand,a,b,keep\n", r"line 3: 'b' and 'a' are decided a second time"),
        ("\nbrand,a,b,merge\n\nbrand,c,b,merge\n", r"line 5: 'b' is merged into 'c' and, in a row above"),
        ("brand,a,b,merge\nbrand,b,c,merge\nbrand,c,a,merge\n", r"line 2: 'b' is merged in a circle"),
        ("brand,a,b,merge\nbrand,b,c,merge\nbrand,c,a,keep\n", r"line 4: 'a' is kept apart from 'c', but"),
    ],
)  # fmt: skip
def test_broken_rows_are_refused_with_their_line(tmp_path: Path, rows: str, message: str) -> None:
    path = tmp_path / "review.csv"
    path.write_text(HEADER + rows)
    with pytest.raises(InputError, match=rf"review.csv, {message}"):
        read_review(path)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"review.xlsx: unknown ending '.xlsx'; expected .csv or .tsv"):
        read_review(tmp_path / "review.xlsx")
    with pytest.raises(InputError, match=r"can't be read"):
        read_review(tmp_path / "review.csv")
    (tmp_path / "review.csv").write_text("kind,canonical_id,merged_id\n")
    with pytest.raises(InputError, match=r"review.csv: no column 'decision'"):
        read_review(tmp_path / "review.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"can't be written"):
        write_review(Review.empty(), tmp_path / "file" / "review.csv")
    with pytest.raises(InputError, match=r"review, row 0: merged_id is empty"):
        Review(
            pl.DataFrame(
                [("b", "a", "a", 1, None, "b", 1, "near", 1.0, KEEP)], schema=REVIEW_SCHEMA, orient="row"
            )
        )


def test_reviews_are_joined_and_counted() -> None:
    _, brands = resolve_entities(graph(["Sony", "SONY", "Canon"]), BRANDS)
    both = brands.union(review_of(("a", "b", KEEP), kind="tag"), brands)
    assert both.counts().rows() == [("brand", "normal form", MERGE, 1), ("tag", None, KEEP, 1)]
    assert both.to_dict()["merged"] == 1
    assert both.to_dict()["kept_apart"] == 1
