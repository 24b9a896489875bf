"""Bad input through the command: one sentence on standard error, exit status 2, nothing written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kg_builders import read_knowledge_graph

GOOD = [
    {"parent_asin": f"P{at}", "title": f"Thing {at}", "store": "Acme", "categories": ["A", "B"]}
    for at in range(4)
]
AMAZON = ("build", "--source", "amazon", "--input", "meta.jsonl", "--rules", "rules.yaml")
RULES = """
label: title
rules:
  - {kind: categorical, field: brand}
  - {kind: path, field: categories}
  - {kind: reference, field: bought_together}
"""


def lines(*records: Any) -> bytes:
    return b"".join(
        record if isinstance(record, bytes) else json.dumps(record).encode() + b"\n" for record in records
    )


@pytest.fixture
def write(tmp_path: Path) -> Any:
    (tmp_path / "rules.yaml").write_text(RULES)
    return (tmp_path / "meta.jsonl").write_bytes


LONG = b'{"parent_asin": "L", "title": "' + b"x" * (50 << 20) + b'"}\n'
DEEP = b'{"parent_asin": "D", "title": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
BAD_RECORDS = {
    "long line": (LONG, "line 5: is longer than 16 MiB"),
    "deep nesting": (DEEP, "line 5:"),
    "wrong encoding": (lines({"parent_asin": "W"})[:-2] + b', "title": "\xe9t\xe9"}\n', "line 5:"),
    "not JSON": (b"{'parent_asin': oops}\n", "line 5:"),
    "no id": (lines({"title": "x"}), "line 5: parent_asin is empty"),
    "same id": (lines({"parent_asin": " P0 "}), "after normalisation 'P0', repeats that of line 1"),
    "a list": (b"[1, 2]\n", "line 5:"),
}


@pytest.mark.parametrize("case", list(BAD_RECORDS))
def test_bad_records(kg_build: Any, tmp_path: Path, write: Any, case: str) -> None:
    bad, told = BAD_RECORDS[case]
    write(lines(*GOOD, bad))
    before = sorted(path.name for path in tmp_path.iterdir())
    result = kg_build(*AMAZON, "--out", "kg", "--quiet")
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr[:500]
    assert result.stderr.startswith("error: meta.jsonl, line 5: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert "1 of 5 records is bad, more than the 1.0% that max_bad allows" in result.stderr
    assert len(result.stderr) < 400
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    # Where it is put up with, the others are built, and what was left out is quoted.
    result = kg_build(*AMAZON, "--dry-run", "--max-bad", "0.2")
    assert result.exit_code == 0
    assert "meta.jsonl: 1 of 5 records left out: line 5: " in " ".join(result.stdout.split())


def test_cut_gzip(kg_build: Any, tmp_path: Path, write: Any) -> None:
    packed = gzip.compress(lines(*GOOD) * 200, mtime=0)
    write(packed[: len(packed) // 2])
    result = kg_build(*AMAZON, "--out", "kg", "--quiet")
    assert result.exit_code == 2
    assert not (tmp_path / "kg").exists()
    assert result.stderr == "error: meta.jsonl: the compressed file ends early; expected all of it\n"


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\x00" * 100, b"PAR1" + b"x" * 50])
def test_no_metadata(kg_build: Any, tmp_path: Path, write: Any, content: bytes) -> None:
    write(content)
    result = kg_build(*AMAZON, "--out", "kg", "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert not (tmp_path / "kg").exists()
    assert result.stderr.startswith("error: meta.jsonl")
    assert result.stderr.count("\n") == 1


def test_nul_bytes_in_a_value(kg_build: Any, tmp_path: Path, write: Any) -> None:
    write(lines(*GOOD, {"parent_asin": "N", "title": "a\x00b", "store": "Ac\x00me\x00"}))
    result = kg_build(*AMAZON, "--out", "kg", "--quiet")
    if result.exit_code == 2:
        assert result.stderr.startswith("error: meta.jsonl, line 5: ")
        return
    kg = read_knowledge_graph(tmp_path / "kg")
    assert not kg.entities.filter(
        kg.entities["label"].str.contains("\x00") | kg.entities["id"].str.contains("\x00")
    ).height


def test_a_million_categories(kg_build: Any, tmp_path: Path, write: Any) -> None:
    write(lines(*GOOD, {"parent_asin": "M", "categories": [f"c{at}" for at in range(1_000_000)]}))
    result = kg_build(*AMAZON, "--dry-run")
    assert result.exit_code == 0
    told = " ".join(result.stdout.split())
    assert "categories" in told
    assert "in 1 of 5 records, first on line 5" in told


def test_cycles_and_unknown_items(kg_build: Any, tmp_path: Path, write: Any) -> None:
    """Paths that contradict each other don't join into a circle; unknown items are counted and left out."""
    records = [dict(record) for record in GOOD]
    records[1]["categories"] = ["B", "A", "B"]
    records[2]["bought_together"] = ["P3", "nowhere", "P2"]
    write(lines(*records))
    assert kg_build(*AMAZON, "--out", "kg", "--quiet").exit_code == 0
    kg = read_knowledge_graph(tmp_path / "kg")
    named = kg.to_named()
    broader = named.filter(named["relation"] == "broader").select("head_id", "tail_id").rows()
    assert broader
    assert not set(broader) & {(tail, head) for head, tail in broader}
    assert "nowhere" not in kg.entities["id"].to_list()
    text = (tmp_path / "kg" / "build.json").read_text()
    assert "nowhere" in text


def test_bad_rules_and_yaml_bombs(kg_build: Any, tmp_path: Path, write: Any) -> None:
    write(lines(*GOOD))
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n"
        for a, b in zip("abcdefghijklmnopqrstuvwx", "bcdefghijklmnopqrstuvwxy", strict=True)
    )
    for text in (
        "rules: [",
        "- {kind: nosuch, field: x}",
        "!!python/object:os.system {}",
        "[" * 5000,
        bomb,
        "\x00",
        "a: 2020-13-45",
    ):
        (tmp_path / "rules.yaml").write_text(text)
        result = kg_build(*AMAZON, "--dry-run", "--quiet")
        assert result.exit_code == 2, text[:20]
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert len(result.stderr) < 600
