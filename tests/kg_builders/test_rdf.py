"""RDF files: the grammar against another parser, labels, types, bad lines, and what becomes of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kg_builders import InputError
from kg_builders.link import link_external
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.rdf import RdfTables, read_rdf
from kg_builders.sources.rdf_statements import rdf_format, statement_blocks
from kg_builders.sources.streams import BLOCK

TYPE = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
LABEL = "<http://www.w3.org/2000/01/rdf-schema#label>"
XSD = "http://www.w3.org/2001/XMLSchema#"

FILMS = f"""# films
<http://x.org/film/1> {TYPE} <http://x.org/ns#Film> .
<http://x.org/film/2> {TYPE} <http://x.org/ns#Film> .
<http://x.org/film/2> {TYPE} <http://www.w3.org/2002/07/owl#Thing> .
<http://x.org/film/2> {TYPE} <http://x.org/ns#Short> .
<http://x.org/p/Jane_Doe> {TYPE} <http://x.org/ns#Person> .
<http://x.org/film/1> {LABEL} "Der Film"@de .
<http://x.org/film/1> {LABEL} "The film"@en-GB .
<http://x.org/film/1> <http://schema.org/name> "The Film"@en .
<http://x.org/film/2> {LABEL} "Zwei"@de .
<http://x.org/film/2> {LABEL} "Deux"@fr .
<http://x.org/film/1> <http://x.org/ns#directedBy> <http://x.org/p/Jane_Doe> .
<http://x.org/film/2> <http://x.org/ns#directedBy> _:someone .

<http://x.org/film/1>\t<http://x.org/ns#sequelOf>\t<http://x.org/film/2>\t. # tabs
<http://x.org/ns#sequelOf> {LABEL} "is a sequel of" .
<http://x.org/ns#near> {TYPE} <http://www.w3.org/2002/07/owl#SymmetricProperty> .
<http://x.org/film/1> <http://x.org/ns#near> <http://x.org/film/2>.
<http://x.org/film/1> <http://x.org/ns#year> "1999"^^<{XSD}gYear> .
<http://x.org/film/1> <http://x.org/ns#minutes> "90"^^<{XSD}integer> .
<http://x.org/film/1> <http://x.org/ns#tagline> "So \\"good\\"\\n\\u00e9" .
"""


@pytest.fixture
def films(tmp_path: Path) -> Path:
    path = tmp_path / "films.nt"
    path.write_text(FILMS, encoding="utf-8")
    return path


def statements(
    path: Path, format: str | None = None, max_bad: float = 1.0
) -> tuple[pl.DataFrame, BadRecords]:
    bad = BadRecords(str(path), max_bad)
    return pl.concat(list(statement_blocks(path, bad, format))), bad


def labels(tables: RdfTables) -> dict[str, str | None]:
    return dict(tables.entities.select("id", "label").rows())


# Lines in the categories of the W3C's tests for N-Triples, and worse.
LINES = [
    "<http://a/s> <http://a/p> <http://a/o> .",
    "<http://a/s>\t<http://a/p>\t<http://a/o>\t.",
    "<http://a/s> <http://a/p> <http://a/o>.",
    "<http://a/s><http://a/p><http://a/o>.",
    "  \t<http://a/s>   <http://a/p> \t <http://a/o>   .   ",
    "<http://a/s> <http://a/p> <http://a/o> . # comment .",
    "<http://a/s> <http://a/p> <http://a/o> .# <b> .",
    '<http://a/s> <http://a/p> "a . # b" . # c " .',
    "# only a comment",
    "",
    "   \t ",
    "_:a <http://a/p> _:b .",
    "_:a.b <http://a/p> _:b.c.",
    "_:a <http://a/p> _:b..",
    "_:0 <http://a/p> _:1a-\xb7 .",
    "_:-a <http://a/p> <http://a/o> .",
    "_: <http://a/p> <http://a/o> .",
    "_:a<http://a/p>_:b.",
    '<http://a/s> <http://a/p> "" .',
    '<http://a/s> <http://a/p> "a\tb" .',
    '<http://a/s>\t<http://a/p>\t"a\tb\tc"@en\t.',
    '<http://a/s> <http://a/p> "x"@en .',
    '<http://a/s> <http://a/p> "x"@EN-gb .',
    '<http://a/s> <http://a/p> "x"@1 .',
    '<http://a/s> <http://a/p> "x"@ .',
    '<http://a/s> <http://a/p> "x"@en- .',
    '<http://a/s> <http://a/p> "x" @en .',
    '<http://a/s> <http://a/p> "x"\t^^ <a:b>.',
    f'<http://a/s> <http://a/p> "1"^^<{XSD}integer> .',
    f'<http://a/s> <http://a/p> "1"^^<{XSD}string> .',
    '<http://a/s> <http://a/p> "1"^^integer .',
    '<http://a/s> <http://a/p> "1"^^<integer> .',
    '<http://a/s> <http://a/p> "\\t\\b\\n\\r\\f\\"\\\'\\\\" .',
    '<http://a/s> <http://a/p> "\\u00e9\\U0001F3B5" .',
    '<http://a/s> <http://a/p> "\\uD800" .',
    '<http://a/s> <http://a/p> "\\U00110000" .',
    '<http://a/s> <http://a/p> "\\u00g1" .',
    '<http://a/s> <http://a/p> "\\a" .',
    '<http://a/s> <http://a/p> "\\" .',
    '<http://a/s> <http://a/p> "a"b" .',
    "<http://a/s> <http://a/p> 'x' .",
    '<http://a/s> <http://a/p> """x""" .',
    "<http://a/s> <http://a/p> 1 .",
    "<http://a/s> <http://a/p> true .",
    "<http://a/\\u00e9> <http://a/p> <http://a/\\U000000e9> .",
    "<http://a/\\u0020> <http://a/p> <http://a/o> .",
    "<http://a/\\n> <http://a/p> <http://a/o> .",
    "<http://a/s s> <http://a/p> <http://a/o> .",
    "<http://a/{s}> <http://a/p> <http://a/o> .",
    "<s> <http://a/p> <http://a/o> .",
    "<http://a/s> <p> <http://a/o> .",
    "<http://a/s> <http://a/p> <o> .",
    "<http://a/s> _:p <http://a/o> .",
    '"s" <http://a/p> <http://a/o> .',
    "<http://a/s> <http://a/p> <http://a/o>",
    "<http://a/s> <http://a/p> .",
    "<http://a/s> <http://a/p> <http://a/o>, <http://a/o2> .",
    "<http://a/s> <http://a/p> <http://a/o> . .",
    "<http://a/s> <http://a/p> <http://a/o> <http://a/g> .",
    "@prefix a: <http://a/> .",
    "a:s a:p a:o .",
    "<urn:é> <scheme+1.0:x> <mailto:a@b.c> .",
    "<http://a/s> <http://a/p> <http://a/日本> .",
    '<http://a/s> <http://a/p> "日本\u2028\x85" .',
    "nonsense",
]


def by_oxigraph(line: str) -> list[tuple[str | None, ...]] | None:
    """Statements of a line as another parser reads them; None if it refuses it."""
    pyoxigraph = pytest.importorskip("pyoxigraph")
    try:
        found = list(pyoxigraph.parse(line.encode(), format=pyoxigraph.RdfFormat.N_TRIPLES))
    except SyntaxError:
        return None

    def text(term: object) -> str:
        blank = isinstance(term, pyoxigraph.BlankNode)
        return f"_:{term.value}" if blank else term.value  # type: ignore[attr-defined]

    rows = []
    for each in found:
        object_ = each.object
        if isinstance(object_, pyoxigraph.Literal):
            plain = object_.language or object_.datatype.value == f"{XSD}string"
            last = (object_.value, True, object_.language, None if plain else object_.datatype.value)
        else:
            last = (text(object_), False, None, None)
        rows.append((text(each.subject), each.predicate.value, *last))
    return rows


def by_us(folder: Path, line: str) -> list[tuple[str | None, ...]] | None:
    path = folder / "line.nt"
    # The first line keeps the file from being empty.
    path.write_bytes(f"<a:b> <a:b> <a:b> .\n{line}\n".encode())
    frame, bad = statements(path)
    string = pl.when(pl.col("datatype") != f"{XSD}string").then("datatype")
    return None if bad.count else frame.with_columns(datatype=string).drop("line").rows()[1:]


@pytest.mark.parametrize("line", LINES)
def test_lines_are_read_as_by_oxigraph(tmp_path: Path, line: str) -> None:
    assert by_us(tmp_path, line) == by_oxigraph(line)


PIECES = [
    "<http://a/s>",
    "<http://a/p>",
    "_:b",
    '"x"',
    "@en",
    "^^",
    ".",
    " ",
    "\t",
    "<",
    ">",
    '"',
    "\\",
    "#",
    "a",
    ":",
]


@given(st.lists(st.sampled_from(PIECES), min_size=4, max_size=10).map("".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mangled_lines_are_read_as_by_oxigraph(tmp_path: Path, line: str) -> None:
    assert by_us(tmp_path, line) == by_oxigraph(line)


def test_tables(films: Path) -> None:
    tables = read_rdf(films)
    assert labels(tables) == {
        "http://x.org/film/1": "The Film",
        "http://x.org/film/2": "Zwei",
        "http://x.org/p/Jane_Doe": None,
        "_:someone": None,
        "http://x.org/ns#Film": None,
        "http://x.org/ns#Short": None,
        "http://x.org/ns#Person": None,
        "http://www.w3.org/2002/07/owl#Thing": None,
    }
    assert dict(tables.entities.select("id", "type").drop_nulls().rows()) == {
        "http://x.org/film/1": "http://x.org/ns#Film",
        "http://x.org/film/2": "http://x.org/ns#Film",
        "http://x.org/p/Jane_Doe": "http://x.org/ns#Person",
    }
    assert len(tables.types) == 5
    assert tables.relations.rows() == [
        ("http://www.w3.org/1999/02/22-rdf-syntax-ns#type", "type", False),
        ("http://x.org/ns#directedBy", "directed by", False),
        ("http://x.org/ns#near", "near", True),
        ("http://x.org/ns#sequelOf", "is a sequel of", False),
    ]
    facts = tables.triples.filter(~pl.col("relation").str.ends_with("#type"))
    assert facts.select("head", "tail", "line").rows() == [
        ("http://x.org/film/1", "http://x.org/p/Jane_Doe", 12),
        ("http://x.org/film/2", "_:someone", 13),
        ("http://x.org/film/1", "http://x.org/film/2", 15),
        ("http://x.org/film/1", "http://x.org/film/2", 18),
    ]
    assert tables.file == "films.nt"
    assert (tables.bad.total, tables.bad.count) == (19, 0)


@pytest.mark.parametrize(
    ("languages", "label"),
    [(("de",), "Der Film"), (("en-gb", "de"), "The film"), (("fr", "EN"), "The Film"), ((), "Der Film")],
)
def test_label_languages(films: Path, languages: tuple[str, ...], label: str) -> None:
    assert labels(read_rdf(films, languages=languages))["http://x.org/film/1"] == label


def test_literals_if_asked_for(films: Path) -> None:
    tables = read_rdf(films, literals=True)
    assert tables.triples.filter(pl.col("literal").is_not_null()).select("tail", "literal").rows() == [
        ("1999", "date"), ("90", "number"), ('So "good"\né', "text"),
    ]  # fmt: skip
    kg = tables.graph()
    assert set(kg.entities.filter(pl.col("kind").is_in(["date", "number", "text"]))["id"]) == {
        "1999", "90", 'So "good"\né',
    }  # fmt: skip


def test_graph_of_its_own(films: Path) -> None:
    kg = read_rdf(films).graph(item_type="http://x.org/ns#Film")
    assert kg.entities.select("kind", "id", "label").rows() == [
        ("item", "http://x.org/film/1", "The Film"),
        ("item", "http://x.org/film/2", "Zwei"),
        ("Person", "http://x.org/p/Jane_Doe", "Jane_Doe"),
        ("entity", "_:someone", "someone"),
        ("type", "http://www.w3.org/2002/07/owl#Thing", "Thing"),
        ("type", "http://x.org/ns#Film", "Film"),
        ("type", "http://x.org/ns#Person", "Person"),
        ("type", "http://x.org/ns#Short", "Short"),
    ]
    assert kg.n_triples == 9
    assert set(kg.triples["source"]) >= {"films.nt:http://x.org/ns#near:given"}
    assert read_rdf(films).graph().n_items == 0
    with pytest.raises(InputError, match=r"films.nt: nothing is of type http://x.org/ns#Fim"):
        read_rdf(films).graph(item_type="http://x.org/ns#Fim")


def test_types_that_are_called_alike_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.nt"
    path.write_text(
        f"<a:1> {TYPE} <http://a/Film> .\n<a:2> {TYPE} <http://b/Film> .\n<a:3> {TYPE} <http://b/item> .\n"
    )
    kinds = dict(read_rdf(path).graph().entities.select("id", "kind").rows())
    assert (kinds["a:1"], kinds["a:2"], kinds["a:3"]) == ("http://a/Film", "http://b/Film", "http://b/item")


def test_linked_to_a_catalogue(films: Path) -> None:
    links = pl.DataFrame({"item": ["7"], "entity": ["http://x.org/film/1"], "line": [1]})
    external = read_rdf(films).external(links, "links.tsv")
    items = pl.DataFrame({"id": ["7", "8"], "label": ["Seven", "Eight"]})
    kg, report = link_external(external, items)
    assert report.linked == 1
    assert ("item", "7", "http://x.org/ns#directedBy", "http://x.org/p/Jane_Doe") in kg.to_named().select(
        "head_kind", "head_id", "relation", "tail_id"
    ).rows()


def test_compressed_and_turtle_are_the_same(films: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyoxigraph")
    plain = read_rdf(films, literals=True)
    zipped = tmp_path / "films.ttl.gz"
    zipped.write_bytes(gzip.compress(FILMS.encode()))
    turtle = read_rdf(zipped, literals=True)
    ids = turtle.entities["id"].str.replace("^_:b0$", "_:someone")
    assert set(ids) == set(plain.entities["id"])
    assert turtle.relations.rows() == plain.relations.rows()
    assert len(turtle.triples) == len(plain.triples)
    other = tmp_path / "films.data"
    other.write_bytes(gzip.compress(FILMS.encode()))
    assert read_rdf(other, format="ntriples", literals=True).triples.rows() == plain.triples.rows()
    with pytest.raises(InputError, match=r"films.data: isn't called as RDF is; expected an ending of .nt"):
        read_rdf(other)
    with pytest.raises(InputError, match="no RDF format 'turtl'; did you mean 'turtle'"):
        read_rdf(other, format="turtl")


def test_turtle(tmp_path: Path) -> None:
    pytest.importorskip("pyoxigraph")
    path = tmp_path / "x.ttl"
    path.write_text(
        '@prefix a: <http://a/> .\na:x a:b [ a:c 1, 2.5, true ] ; a:d (a:p "q"@EN) .\n', encoding="utf-8"
    )
    first, _ = statements(path)
    again, _ = statements(path)
    assert first.rows() == again.rows()
    assert first["line"].null_count() == len(first)
    assert {row[1] for row in first.rows() if row[1].startswith("_:")} == {"_:b0", "_:b1", "_:b2"}
    assert ("q", True, "en", None) in first.select("object", "literal", "language", "datatype").rows()
    assert ("2.5", True, None, f"{XSD}decimal") in first.select(
        "object", "literal", "language", "datatype"
    ).rows()


def test_bad_turtle(tmp_path: Path) -> None:
    pytest.importorskip("pyoxigraph")
    path = tmp_path / "x.ttl"
    path.write_text("@prefix a: <http://a/> .\na:x a:b a:c .\na:x a:b ,, .\na:x a:b a:d .\n")
    with pytest.raises(InputError, match=r"x.ttl, line 3: isn't Turtle: .*1 of 3 records is bad"):
        read_rdf(path)
    tables = read_rdf(path, max_bad=0.5)
    assert tables.triples["tail"].to_list() == ["http://a/c", "http://a/d"]
    assert tables.bad.count == 1
    for content, message in (
        (b"", "is empty"),
        (b"# nothing\n", "holds no statement"),
        (b'<http://a> <http://b> "\xff" .\n', "x.ttl"),
        (gzip.compress(FILMS.encode(), mtime=0)[:-20], "ends early"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_rdf(path)


def test_bad_lines_are_counted_and_quoted(films: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.nt"
    good = "".join(f"<a:{number}> <a:p> <a:o> .\n" for number in range(300))
    path.write_bytes(good.encode() + b'<a:1> <a:p> 7 .\n<a:1> <a:p> "\xff" .\n<a:1> <a:\\u0020> <a:1> .\n')
    tables = read_rdf(path)
    assert len(tables.triples) == 300
    assert (tables.bad.total, tables.bad.count) == (303, 3)
    assert str(tables.bad.first[0]) == (
        "line 301: isn't N-Triples: the object at character 13 isn't an absolute IRI in <>, a blank node or "
        "a literal ('<a:1> <a:p> 7 .')"
    )
    with pytest.raises(InputError, match=r"bad.nt, line 301: .*3 of 303 records are bad"):
        read_rdf(path, max_bad=0.005)
    with pytest.raises(InputError, match=r"bad.nt, line 301: isn't N-Triples"):
        read_rdf(path, max_bad=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"# a comment\n\n", "holds no statement"),
        (b"id,label\n1,2\n", "line 1: isn't N-Triples: the subject at character 1"),
        (b"PAR1xxxx", "is a Parquet table"),
        (gzip.compress(FILMS.encode(), mtime=0)[:-20], "ends early"),
        (b"<a:s> <a:p> <a:o> .\n" + b"<a:s> <a:p> \"" + b"x" * (17 << 20) + b"\" .\n", "longer than 16 MiB"),
        (b"<a:s> <a:p> <a:\0> .\n", "NUL byte"),
    ],
)  # fmt: skip
def test_files_that_are_not_rdf(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.nt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_rdf(path)


def test_formats_by_ending() -> None:
    assert rdf_format("a/B.NT.GZ") == "ntriples"
    assert rdf_format("s3://b/x.ttl.zst") == "turtle"
    assert rdf_format(Path("x.turtle")) == "turtle"


def test_files_of_several_blocks(tmp_path: Path) -> None:
    path = tmp_path / "x.nt"
    words = [f"word {number} {'long ' * 30}" for number in range(2 * BLOCK // 150)]
    path.write_text("".join(f'<a:{number}> <a:p> "{word}"@en .\n' for number, word in enumerate(words)))
    assert path.stat().st_size > 2 * BLOCK
    blocks = list(statement_blocks(path, BadRecords("x.nt", 0.0)))
    assert len(blocks) > 1
    found = pl.concat(blocks)
    assert found["object"].to_list() == words
    assert found["line"].to_list() == list(range(1, len(words) + 1))
    assert found["subject"].to_list() == [f"a:{number}" for number in range(len(words))]
