"""What is inferred of files whose content is known, and that the proposed mapping and rules work."""

from __future__ import annotations

import csv
import json
import random
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from kg_builders import InputError, extract_triples, parse_rules
from kg_builders.infer import InferredMapping, infer_mapping
from kg_builders.sources import parse_mapping, read_table

TREE = [("Books", "Fiction", "Crime"), ("Books", "Fiction", "Fantasy"), ("Books", "Science", "Physics")]
TREE += [("Music", "Jazz", "Bebop"), ("Music", "Rock", "Punk"), ("Music", "Rock", "Grunge")]


def catalogue(number: int = 300) -> list[dict[str, Any]]:
    """Return items whose fields are of every role."""
    source = random.Random(5)
    words = [f"word{index}" for index in range(400)]
    return [
        {
            "sku": f"SKU-{index:04d}",
            "name": " ".join(source.choices(words, k=4)),
            "brand": f"Brand {source.randrange(30)}",
            "tags": source.sample(["red", "green", "blue", "small", "large"], k=source.randrange(1, 4)),
            "category": list(TREE[source.randrange(len(TREE))]),
            "price": round(source.uniform(1, 90), 2),
            "released": f"{source.randrange(1990, 2020)}-0{source.randrange(1, 10)}-11",
            "year": source.randrange(1990, 2020),
            "blurb": " ".join(source.choices(words, k=20)),
            "similar": [f"SKU-{source.randrange(number):04d}" for _ in range(3)],
            "picture": f"https://example.org/{index}.jpg",
            "currency": "EUR",
            "serial": f"x{source.randrange(10**12)}",
            "stars": source.randrange(1, 6),
            "empty": None,
        }
        for index in range(number)
    ]


ROLES = {
    "sku": "id",
    "name": "text",
    "brand": "category",
    "tags": "list",
    "category": "path",
    "price": "number",
    "released": "date",
    "year": "date",
    "blurb": "text",
    "similar": "reference",
    "picture": "url",
    "currency": "ignored",
    "serial": "ignored",
    "stars": "category",
    "empty": "ignored",
}
TEXT = {"tags": "|", "category": " > ", "similar": " "}


def write(path: Path, form: str) -> Path:
    rows = catalogue()
    if form == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    elif form == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        flat = [row | {name: with_.join(row[name]) for name, with_ in TEXT.items()} for row in rows]
        pl.DataFrame(flat).write_csv(path, separator={"csv": ",", "tsv": "\t", "semicolon": ";"}[form])
    return path


@pytest.mark.parametrize("form", ["jsonl", "parquet", "csv", "tsv", "semicolon"])
def test_roles_of_every_format(tmp_path: Path, form: str) -> None:
    # The ending says nothing.
    path = write(tmp_path / "items.data", form)
    inferred = infer_mapping(path)
    # In JSON lines, a field without any value isn't known to be one.
    roles = {name: role for name, role in ROLES.items() if form != "jsonl" or name != "empty"}
    assert {field.name: field.role for field in inferred.fields} == roles
    assert inferred.mapping.id == "sku"
    assert inferred.mapping.label == "name"
    delimiters = {field.name: field.delimiter for field in inferred.fields if field.delimiter is not None}
    assert delimiters == ({} if form in ("jsonl", "parquet") else TEXT | {"category": " > "})
    check_use(inferred, path)
    records = read_table(path, inferred.mapping)
    rows = catalogue()
    assert records.frame["tags"].to_list() == [row["tags"] for row in rows]
    assert records.frame["category"].to_list() == [[row["category"]] for row in rows]
    assert records.frame["similar"].to_list() == [row["similar"] for row in rows]
    assert records.frame["price"].to_list() == [row["price"] for row in rows]


def check_use(inferred: InferredMapping, path: Path) -> None:
    """The mapping and the rules survive YAML, and a graph can be made by them."""
    assert parse_mapping(yaml.safe_load(inferred.to_yaml())) == inferred.mapping
    rules = parse_rules(yaml.safe_load(inferred.to_rules_yaml()))
    kg = extract_triples(read_table(path, inferred.mapping), rules).kg
    assert {"brand", "tags", "category", "released"} <= set(kg.relations["name"])
    # What is commented are rules too.
    uncommented = inferred.to_rules_yaml().replace("  # - {", "  - {")
    assert len(parse_rules(yaml.safe_load(uncommented)).rules) > len(rules.rules)
    console = Console(width=200, record=True)
    console.print(inferred.table())
    assert "SKU-0000" in console.export_text()
    json.dumps(inferred.to_dict())


def test_no_header_quotes_and_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "artists.txt"
    rows = [
        f"{index}|Café {index}|{'rock' if index % 2 else 'pop'}|19{index % 90 + 10}" for index in range(200)
    ]
    rows[50] = '50|"Weird Al" Yankovic|rock|1983'
    path.write_bytes("\n".join(rows).encode("latin-1"))
    inferred = infer_mapping(path)
    assert inferred.mapping.columns == ("column_1", "column_2", "column_3", "column_4")
    assert (inferred.mapping.encoding, inferred.mapping.quote, inferred.mapping.delimiter) == (
        "latin-1",
        None,
        "|",
    )
    assert [field.role for field in inferred.fields] == ["id", "text", "category", "date"]
    assert len(read_table(path, inferred.mapping, max_bad=0)) == 200


def test_sample_and_bad_records(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    lines = [json.dumps(row) for row in catalogue()]
    path.write_text("\n".join(["not JSON", *lines]))
    inferred = infer_mapping(path, sample=50)
    assert inferred.sample == 50
    assert "1 of 300 records left out: line 1: isn't valid JSON" in inferred.notes[0]
    assert "# " + inferred.notes[0][:20] in inferred.to_yaml()


def test_notes_name_known_formats(tmp_path: Path) -> None:
    path = tmp_path / "m.item"
    path.write_text("item_id:token\tclass:token_seq\n1\tDrama War\n2\tDrama\n3\tWar\n")
    assert "RecBole" in infer_mapping(path).notes[0]
    path = tmp_path / "meta.json"
    path.write_text('{"asin": "B1", "also_buy": ["B2"]}\n{"asin": "B2", "main_cat": "Books"}\n')
    assert "Amazon metadata of 2018" in infer_mapping(path).notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"one line of prose\nanother one\n", "no delimiter splits its records"),
        (b"[\n{}\n]\n", "is one JSON list; expected JSON lines"),
        (b"{}\n{}\n", "no column could be the item ids"),
        (b"{broken\n", "has no record that can be read"),
        (b"a,b\nx,1\nx,1\nx,1\n", "no column could be the item ids.* among a, b"),
        (b"PAR1 but not Parquet", "can't be read as Parquet"),
    ],
)
def test_files_without_a_mapping(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        infer_mapping(path)
    with pytest.raises(InputError, match="sample is 0; expected at least 1"):
        infer_mapping(path, sample=0)


VALUE = (
    st.none()
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.text(max_size=8)
    | st.lists(st.text(max_size=3))
)


@given(
    rows=st.lists(st.dictionaries(st.text(max_size=3), VALUE, max_size=4), min_size=1, max_size=8),
)
@example(rows=[{"\xa0;": 0, "\xa00": 1, "\n": 2, "\\n": "a\nb"}])
@settings(max_examples=25, deadline=None)
def test_any_json_gives_a_mapping_that_reads_it(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("infer") / "f.jsonl"
    path.write_text("".join(f"{json.dumps({'key': f'k{index}'} | row)}\n" for index, row in enumerate(rows)))
    inferred = infer_mapping(path)
    assert parse_mapping(yaml.safe_load(inferred.to_yaml())) == inferred.mapping
    assert 0 < len(read_table(path, inferred.mapping, max_bad=1.0)) <= len(rows)
    yaml.safe_load(inferred.to_rules_yaml())


def field_of(inferred: InferredMapping, name: str) -> dict[str, Any]:
    """Return what the mapping says of a field."""
    assert inferred.mapping.fields is not None
    return inferred.mapping.fields[name].model_dump(exclude_defaults=True)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_breaks_within_quotes(tmp_path: Path, end: str) -> None:
    # Continued lines hold commas, quotation marks and, by chance, as many values as a record.
    text = end.join(["First line.", '""Second"", line, 3, of, more', "Third line."])
    rows = [f'a{index:03d},Thing {index},{["Bosch", "Sony"][index % 2]},"{text}"' for index in range(60)]
    path = tmp_path / "shop.csv"
    path.write_bytes(end.join(["sku,title,brand,description", *rows, ""]).encode())
    inferred = infer_mapping(path)
    assert (inferred.mapping.id, inferred.mapping.quote, inferred.mapping.columns) == ("sku", '"', None)
    assert inferred.sample == 60
    assert inferred.bad.count == 0
    records = read_table(path, inferred.mapping, max_bad=0)
    assert set(records.frame["brand"]) == {"Bosch", "Sony"}


def test_a_long_file_of_records_over_lines(tmp_path: Path) -> None:
    # The look at the beginning ends within a quotation.
    rows = [f'a{index},"one\ntwo\nthree",x{index % 7}' for index in range(2_000)]
    path = tmp_path / "long.csv"
    path.write_text("\n".join(["sku,text,kind", *rows]))
    inferred = infer_mapping(path, sample=2_000)
    assert (inferred.sample, inferred.bad.count) == (2_000, 0)


@given(
    texts=st.lists(
        st.text(st.sampled_from('ab ,;|\n"\t{['), min_size=1).map("x".__add__), min_size=3, max_size=9
    )
)
@example(texts=["x;;;\n;;;"] * 3)
@example(texts=["x\n{\n{"] * 3)
@settings(max_examples=50, deadline=None)
def test_any_quoted_text_is_inferred(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("infer") / "f.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["sku", "kind", "text"])
        writer.writerows([f"k{index}", "abc"[index % 3], text] for index, text in enumerate(texts))
    inferred = infer_mapping(path)
    assert (inferred.mapping.id, inferred.mapping.quote, inferred.sample) == ("sku", '"', len(texts))


@pytest.mark.parametrize(
    ("sign", "encoding"),
    [
        (b"\xe9", "latin-1"),
        (b"\x80 \x96 \x93", "cp1252"),
        # One line of something else makes no other file of it.
        (b"\xc3\xa9", "utf-8"),
        (b"\x81", "latin-1"),
    ],
)
def test_encodings(tmp_path: Path, sign: bytes, encoding: str) -> None:
    path = tmp_path / "f.csv"
    lines = [b"sku,kind", *(b"k%d,%s %d" % (index, sign, index % 3) for index in range(200))]
    if encoding != "latin-1":
        lines.append(b"k200,\x81\xff\x9d")
    path.write_bytes(b"\n".join(lines) + b"\n")
    inferred = infer_mapping(path)
    assert inferred.mapping.encoding == encoding
    records = read_table(path, inferred.mapping)
    assert records.frame["kind"][0] == f"{sign.decode(encoding)} 0"
    assert len(records) == 200


def test_a_european_table(tmp_path: Path) -> None:
    path = tmp_path / "de.csv"
    rows = [
        f"a{index};Größe {index} – {index} €;{index % 40},{index % 100:02d};{1 + index % 3}.{index:03d},50 €"
        f";{1 + index % 28:02d}.{1 + index % 12:02d}.2015;{1 + index % 28:02d}/{1 + index % 12:02d}/2015"
        f";{1 + index % 12:02d}/{1 + index % 12:02d}/2015;{1 + index % 12}/{1 + index % 12}/15"
        f";r{index % 3}, g, b"
        for index in range(300)
    ]
    header = "sku;title;preis;teuer;am;us;egal;kurz;farben"
    path.write_bytes("\n".join([header, *rows, ""]).encode("cp1252"))
    inferred = infer_mapping(path)
    assert (inferred.mapping.encoding, inferred.mapping.delimiter) == ("cp1252", ";")
    assert field_of(inferred, "preis") == {"type": "number", "decimal": ","}
    assert field_of(inferred, "teuer") == {"type": "number", "decimal": ","}
    assert field_of(inferred, "am") == {"type": "date"}
    assert field_of(inferred, "us") == {"type": "date", "format": "%d/%m/%Y"}
    roles = {field.name: field.role for field in inferred.fields}
    # The year of this one is told, the order of day and month is not; of the other, not even the year.
    assert (roles["egal"], field_of(inferred, "egal")) == ("date", {})
    assert roles["kurz"] == "ignored"
    assert field_of(inferred, "farben") == {"type": "list", "delimiter": ", "}
    records = read_table(path, parse_mapping(yaml.safe_load(inferred.to_yaml())), max_bad=0)
    assert records.frame["preis"][7] == 7.07
    assert records.frame["teuer"][7] == 2007.5
    assert records.frame["us"][20] == "2015-09-21"
    assert records.frame["title"][0] == "Größe 0 – 0 €"
    rules = parse_rules(yaml.safe_load(inferred.to_rules_yaml().replace("  # - {", "  - {")))
    kg = extract_triples(records, rules).kg
    assert {"preis", "teuer", "am", "us", "egal"} <= set(kg.relations["name"])


@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_unix_times_become_decades(tmp_path: Path, unit: int, form: str) -> None:
    times = [int(datetime(1985 + index, 6, 1, tzinfo=timezone.utc).timestamp()) * unit for index in range(30)]
    frame = pl.DataFrame(
        {
            "sku": [f"a{index}" for index in range(30)],
            "released": times,
            "barcode": [4_006_381_333_931 + index for index in range(30)],
        }
    )
    file = tmp_path / f"items.{form}"
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[form](file)
    found = infer_mapping(file)
    assert [field.role for field in found.fields] == ["id", "date", "number"]
    records = read_table(file, parse_mapping(yaml.safe_load(found.to_yaml())))
    rules = [rule for rule in yaml.safe_load(found.to_rules_yaml())["rules"] if rule["field"] == "released"]
    assert rules == [{"kind": "decade", "field": "released"}]
    kg = extract_triples(records, parse_rules({"rules": rules})).kg
    decades = dict(kg.entities.filter(pl.col("kind") != "item").group_by("label").len().rows())
    assert set(decades) == {"1980s", "1990s", "2000s", "2010s"}
    assert len(kg.triples) == 30


@pytest.mark.parametrize(
    ("write", "role"),
    [
        (lambda index: f"${1_000 + index:,}.99", "number"),
        (lambda index: f"{index}.99 EUR", "number"),
        (lambda index: f"{1_000 + index:,}", "number"),
        # Ranges, and part numbers that begin as prices do.
        (lambda index: f"${index} - ${index + 5}", None),
        (lambda index: f"ABC{index}", None),
    ],
)
def test_prices_are_what_a_number_rule_reads(tmp_path: Path, write: Any, role: str | None) -> None:
    path = tmp_path / "f.csv"
    pl.DataFrame(
        {"sku": [f"k{index}" for index in range(300)], "price": [write(index) for index in range(300)]}
    ).write_csv(path)
    inferred = infer_mapping(path)
    judged = inferred.fields[1]
    assert (judged.role == "number") == (role == "number")
    assert "number rule" not in judged.why
    if role is None:
        return
    assert "{kind: number, field: price, bins: 5}" in inferred.to_rules_yaml()
    records = read_table(path, inferred.mapping, max_bad=0)
    assert records.frame["price"].null_count() == 0
    rule = {"kind": "number", "field": "price", "bins": 5, "max_bad": 0}
    texts = read_table(path, parse_mapping({"id": "sku"}))
    for made in (records, texts):
        assert extract_triples(made, parse_rules([rule])).kg.n_triples == 300


@pytest.mark.parametrize("write", [str, json.dumps])
def test_lists_in_brackets(tmp_path: Path, write: Any) -> None:
    rows = catalogue()
    path = tmp_path / "f.csv"
    pl.DataFrame(
        {
            "sku": [row["sku"] for row in rows],
            **{name: [write(row[name]) for row in rows] for name in ("tags", "category", "similar")},
            "empty": [write([]) for _ in rows],
        }
    ).write_csv(path)
    inferred = infer_mapping(path)
    roles = {field.name: field.role for field in inferred.fields}
    assert roles == {
        "sku": "id", "tags": "list", "category": "path", "similar": "reference", "empty": "ignored",
    }  # fmt: skip
    records = read_table(path, parse_mapping(yaml.safe_load(inferred.to_yaml())), max_bad=0)
    assert records.frame["tags"].to_list() == [row["tags"] for row in rows]
    assert records.frame["category"].to_list() == [[row["category"]] for row in rows]
    assert records.frame["similar"].to_list() == [row["similar"] for row in rows]
