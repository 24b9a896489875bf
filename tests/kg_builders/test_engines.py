"""Polars, DuckDB and Spark give the same graph and the same report."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from kg_builders import InputError
from kg_builders.engines import DuckDBEngine, Engine, PolarsEngine, SparkEngine, open_engine
from kg_builders.extract import extract_triples
from kg_builders.extraction.numbering import number_entities
from kg_builders.rules import parse_rules
from kg_builders.sources import ItemRecords
from kg_builders.sources.staging import StagedTable

RULES = [
    {"kind": "categorical", "field": "brand", "spelling": "merge", "direction": "to_item", "min_items": 2},
    {"kind": "list", "field": "tags", "delimiter": "|"},
    {"kind": "number", "field": "price", "bins": 2},
    {"kind": "year", "field": "date"},
    {"kind": "keyword", "field": "title", "relation": "word"},
    {"kind": "text", "field": "title", "relation": "about", "top": 2, "pairs": True, "stop_words": "none"},
    {"kind": "text", "field": "title", "relation": "phrase", "vocabulary": ["lord of the rings", "List"]},
    {"kind": "path", "field": "categories", "relation": "category"},
    {"kind": "reference", "field": "also", "unknown": "keep", "symmetric": True},
    {"kind": "details", "field": "details", "relation": "detail", "max_distinct": 0.9},
]


def frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": ["a", "b", "c", "d"],
            "brand": ["Sony", " SONY", "Ünï & Co", None],
            "tags": ["x|y.z", "y.z||ß", "'q'", "['p|q', 'ß']"],
            "price": [1.5, 20_000_000.0, None, 7.25],
            "date": ["January 5, 2010", "2010-02-01", "1262649600", "5.24.2011"],
            "title": ["Schindler's <b>new</b> list, list",
                      "List: lord of the Rings <SCRIPT a>x;\n</script> &amp; caf&eacute;",
                      "lord of the rings", "Rock'n'Roll lord; Ⅷ 東京 of the"],
            "categories": [[["Home", "Bath", "Mats"], ["Toys"]], [["Home", None, "Mats"]], None,
                           [["A", "B", "A", "C"], []]],
            "also": [["b", "zz", "a"], ["a", "c"], ["ä", "zz"], None],
            "details": [
                [{"key": "Color", "value": "Red"}, {"key": "Part", "value": "1"}],
                [{"key": "color ", "value": "red"}, {"key": "Part", "value": "2"}],
                [{"key": "Color", "value": "Red"}, {"key": "Part", "value": None}],
                [],
            ],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> ItemRecords:
    """The records as two Parquet parts, as sources leave what needn't fit in memory."""
    folder = tmp_path_factory.mktemp("staged")
    rows = frame().with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    parts = [folder / "0.parquet", folder / "1.parquet"]
    rows.head(3).write_parquet(parts[0])
    rows.tail(1).write_parquet(parts[1])
    return ItemRecords(StagedTable(folder, parts), dict.fromkeys(frame().columns, "f.jsonl"))


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkEngine]:
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("PySpark is not installed (pip install '.[spark]')")
    if shutil.which("java") is None:
        pytest.skip("there is no Java on this machine, which Spark needs")
    # What makes large queries quick makes these tiny ones slow.
    settings = {
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    with SparkEngine("local[1]", settings=settings) as engine:
        yield engine


@pytest.fixture
def duckdb() -> Iterator[DuckDBEngine]:
    pytest.importorskip("duckdb", reason="DuckDB is not installed (pip install '.[duckdb]')")
    with DuckDBEngine(threads=1, memory_limit="1GB") as engine:
        yield engine


def assert_same(engine: Engine, records: ItemRecords, rules: list[dict[str, Any]]) -> None:
    expected = extract_triples(records, parse_rules(rules), PolarsEngine())
    assert expected.kg.n_triples > 10
    found = extract_triples(records, parse_rules(rules), engine)
    for table in ("entities", "relations", "triples"):
        assert getattr(found.kg, table).equals(getattr(expected.kg, table)), table
    assert found.report == expected.report


def test_duckdb_gives_what_polars_gives(duckdb: DuckDBEngine, staged: ItemRecords) -> None:
    assert_same(duckdb, staged, RULES)
    assert_same(duckdb, ItemRecords(frame(), staged.files), RULES)


def test_fields_without_a_value_are_the_same_in_duckdb(duckdb: DuckDBEngine) -> None:
    lists = pl.List(pl.Utf8)
    empty = frame().with_columns(
        pl.lit(None, lists).alias("also"),
        pl.lit(None, pl.List(lists)).alias("categories"),
        pl.lit(None, pl.Utf8).alias("brand"),
        pl.lit(None, pl.Float64).alias("price"),
        pl.lit(None, frame().schema["details"]).alias("details"),
    )
    assert_same(duckdb, ItemRecords(empty, dict.fromkeys(empty.columns, "f.jsonl")), RULES)


def test_spark_gives_what_polars_gives(spark: SparkEngine, staged: ItemRecords) -> None:
    assert_same(spark, staged, RULES)


def test_staged_and_small_records_give_the_same(staged: ItemRecords) -> None:
    one = extract_triples(staged, parse_rules(RULES)).kg
    other = extract_triples(ItemRecords(frame(), staged.files), parse_rules(RULES)).kg
    assert one.triples.equals(other.triples)
    assert one.entities.equals(other.entities)


IDS = ["a", "ab", "abc", "abd", "b", "", "ä", "äb", "€", "𝄞", "𝄞a", "aä", "Z", "~", "東京"]


@pytest.mark.parametrize("name", ["polars", "duckdb"])
def test_numbers_are_the_places_in_sorted_order(name: str) -> None:
    if name == "duckdb":
        pytest.importorskip("duckdb")
    engine = open_engine(name)
    table = pl.DataFrame({"kind": ["x"] * len(IDS) + ["w", "x"], "id": [*IDS, "a", "a"]})
    numbered = engine.collect(number_entities(engine, [engine.lift(table), engine.lift(table[:3])], 7))
    expected = sorted(set(table.rows()), key=lambda row: (row[0].encode(), row[1].encode()))
    found = {(kind, id_): number for kind, id_, number in numbered.select("kind", "id", "entity").iter_rows()}
    assert found == {row: 7 + place for place, row in enumerate(expected)}


def check_primitives(engine: Engine) -> None:
    table = pl.DataFrame({"row": [0, 1, 2], "v": [["a", None, "c"], [], None], "t": ["x.|y", "\\E|", None]})
    lifted = engine.lift(table)
    joined = engine.collect(engine.join_list(lifted, "v", "'|").select("row", "v")).sort("row")
    assert joined["v"].to_list() == ["a'|c", "", None]
    exploded = engine.collect(engine.explode_numbered(lifted.select("row", "v"), "v", "place"))
    assert sorted(exploded.select("row", "place", "v").rows()) == [(0, 0, "a"), (0, 1, None), (0, 2, "c")]
    for delimiter, expected in ((".|", ["x", "y"]), ("\\E", ["", "|"]), ("|", ["x.", "y"])):
        cut = engine.collect(lifted.select("row", engine.split(nw.col("t"), delimiter).alias("t")))
        assert cut.filter(pl.col("row") == (1 if delimiter == "\\E" else 0))["t"].to_list() == [expected]
    engine.release()


def test_what_engines_do_besides_narwhals(duckdb: DuckDBEngine) -> None:
    check_primitives(PolarsEngine())
    check_primitives(duckdb)


def test_what_spark_does_besides_narwhals(spark: SparkEngine) -> None:
    check_primitives(spark)


def test_engines_by_name(tmp_path: Path) -> None:
    assert isinstance(open_engine(), PolarsEngine)
    with pytest.raises(InputError, match=r"engine: unknown name 'sparc'; did you mean 'spark'"):
        open_engine("sparc")
    with pytest.raises(InputError, match=r"engine polars: has no master; expected the engine spark"):
        open_engine("polars", "local")


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(InputError, match=r"DuckDB is not installed; expected pip install '\.\[duckdb\]'"):
        open_engine("duckdb")
    monkeypatch.setitem(__import__("sys").modules, "pyspark.sql", None)
    monkeypatch.setitem(__import__("sys").modules, "pyspark.errors", None)
    with pytest.raises(InputError, match=r"PySpark is not installed; expected pip install '\.\[spark\]'"):
        open_engine("spark")
