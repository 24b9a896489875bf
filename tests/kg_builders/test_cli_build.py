"""``kg-build build``: each layout gives a graph, and the folder is whole, the same again, or not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from kdiffe_dgl.cli import main as kdiffe
from kg_builders import build_graph, read_knowledge_graph

SIDE = {
    "build.json",
    "entities.parquet",
    "recipe.yaml",
    "relations.parquet",
    "removed.parquet",
    "report.html",
    "report.json",
    "triples.parquet",
}


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def facts(folder: Path) -> set[tuple[str, str, str]]:
    named = read_knowledge_graph(folder).to_named()
    return set(named.select("head_id", "relation", "tail_id").rows())


OLD: list[dict[str, Any]] = [
    {
        "asin": "A1",
        "title": 'Tutu\'s "pink"',
        "brand": "Coxlures",
        "price": 3.17,
        "categories": [["Sports", "Dance"], ["Toys", ""]],
        "related": {"also_bought": ["A2", "ZZ"]},
    },
    {
        "asin": "A2",
        "title": "Shoe",
        "brand": "coxlures ",
        "price": "$4.00",
        "categories": [["Sports", "Dance"]],
    },
]
MIDDLE: list[dict[str, Any]] = [
    {
        "asin": "A1",
        "title": "Tutu",
        "brand": "Cox &amp; Lures",
        "also_buy": ["A2", "ZZ"],
        "price": "$12.99",
        "category": ["Sports", "Dance", "</span></span>"],
        "main_cat": "Sports",
        "date": "October 4, 2016",
    },
    {
        "asin": "A2",
        "title": "Shoe",
        "brand": "Cox & Lures",
        "price": ".a-box{color:#fff}",
        "category": ["Sports", "Dance"],
        "date": "5 star",
        "details": {"ASIN:": "A2"},
    },
]
NEW: list[dict[str, Any]] = [
    {
        "parent_asin": "A1",
        "title": "Tutu",
        "store": "Coxlures",
        "price": "from 14.99",
        "details": {"Brand": "Coxlures"},
        "categories": ["Sports", "Dance"],
        "main_category": "Sports",
        "bought_together": ["A2", "ZZ"],
    },
    {
        "parent_asin": "A2",
        "title": "Shoe",
        "store": "Coxlures",
        "price": None,
        "details": {},
        "bought_together": None,
        "categories": ["Sports", "Dance"],
        "main_category": "Sports",
    },
]


@pytest.mark.parametrize(
    ("records", "form", "reference", "brand"),
    [
        (OLD, repr, "also_buy", "coxlures"),
        (MIDDLE, json.dumps, "also_buy", "coxandlures"),
        (NEW, json.dumps, "bought_together", "coxlures"),
    ],
    ids=["2014", "2018", "2023"],
)
def test_amazon(
    kg_build: Any, tmp_path: Path, records: list[Any], form: Any, reference: str, brand: str
) -> None:
    (tmp_path / "meta.jsonl").write_text("".join(f"{form(record)}\n" for record in records))
    options = ("--source", "amazon", "--input", "meta.jsonl", "--rules", "amazon")
    result = kg_build("build", *options, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "nothing is written: a dry run" in result.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["meta.jsonl"]
    kg, report = build_graph({"source": {"kind": "amazon", "path": "meta.jsonl"}, "rules": "amazon"})
    named = kg.to_named().select("head_id", "relation", "tail_id").rows()
    assert {("A1", "brand", brand), ("A2", "brand", brand), ("A1", reference, "A2")} <= set(named)
    assert not any("ZZ" in row or "span" in row[2] for row in named)
    assert {(row[0], row[1]) for row in named} >= {("A1", "category"), ("A2", "category")}
    assert report.bad is not None
    assert report.bad.count == 0


def test_movielens_lastfm_recbole(kg_build: Any, tmp_path: Path) -> None:
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "movies.csv").write_text(
        'movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n2,"Net, The (1995)",Comedy\n'
        "3,Heat (1999),(no genres listed)\n"
    )
    (tmp_path / "fm").mkdir()
    (tmp_path / "fm" / "artists.dat").write_text("id\tname\turl\tpictureURL\n1\tABBA\tu\tp\n2\tKISS\tu\tp\n")
    (tmp_path / "fm" / "lfm2k_text.tsv").write_text("artistID\ttext\n1\tpop,seen live\n2\tRock,pop\n")
    (tmp_path / "fm.yaml").write_text("[{kind: list, field: tags, relation: tag}]\n")
    (tmp_path / "small.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tToy Story\t1995\tAnimation Comedy\n2\tNet, The\t1995\tComedy\n"
    )
    expected = {
        ("movielens", "ml", "movielens"): {("1", "genre", "comedy"), ("2", "release_year", "1995")},
        ("lastfm", "fm", "fm.yaml"): {("1", "tag", "pop"), ("2", "tag", "rock")},
        ("recbole", "small.item", "ml-100k"): {("1", "genre", "animation"), ("2", "release_decade", "1990")},
    }
    for (source, path, rules), some in expected.items():
        out = f"kg-{source}"
        result = kg_build(
            "build", "--source", source, "--input", path, "--rules", rules, "--out", out, "--quiet"
        )
        assert result.exit_code == 0, result.stderr
        assert (result.stdout, result.stderr) == (f"written to {out}\n", "")
        found = {(head, relation, tail.lower()) for head, relation, tail in facts(tmp_path / out)}
        assert some <= found
        assert "(no genres listed)" not in {tail for _, _, tail in found}
        assert set(files_of(tmp_path / out)) == SIDE


def test_infer_then_build(kg_build: Any, tmp_path: Path) -> None:
    rows = [
        f"i{at},Thing {at},{'red|big' if at % 2 else 'blue|big'},{at * 1.37 + 2:.2f},Maker {at % 5}"
        for at in range(40)
    ]
    (tmp_path / "items.csv").write_text("\n".join(["sku,name,tags,price,brand", *rows]) + "\n")
    before = kg_build("infer", "items.csv", "--json")
    roles = {field["name"]: field["role"] for field in json.loads(before.stdout)["fields"]}
    assert (roles["sku"], roles["tags"], roles["price"]) == ("id", "list", "number")
    assert [file.name for file in tmp_path.iterdir()] == ["items.csv"]
    result = kg_build("infer", "items.csv", "--mapping", "m.yaml", "--rules", "r.yaml")
    assert result.exit_code == 0
    assert "written to m.yaml" in result.stdout
    again = kg_build("infer", "items.csv", "--mapping", "m.yaml")
    assert again.exit_code == 2
    assert "m.yaml: exists already" in again.stderr
    assert kg_build("infer", "items.csv", "--mapping", "m.yaml", "--overwrite").exit_code == 0
    built = kg_build(
        "build",
        "--source",
        "table",
        "--input",
        "items.csv",
        "--mapping",
        "m.yaml",
        "--rules",
        "r.yaml",
        "--out",
        "kg",
    )
    assert built.exit_code == 0, built.stderr
    assert ("i1", "tags", "red") in facts(tmp_path / "kg")
    assert "reading:" in built.stderr
    assert "Extraction from 40 items" in built.stdout


def test_the_same_again_has_the_same_bytes(
    kg_build: Any, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (shop / "items.csv").read_text() + "a,Again,tool,Acme\n"
    options = ("build", "recipe.yaml", "--max-bad", "0.5", "--quiet", "--out")
    found = []
    for name in ("here", "there/deeper"):
        folder = shop / name
        folder.mkdir(parents=True)
        for file in ("recipe.yaml", "items.csv"):
            (folder / file).write_text(text if file == "items.csv" else (shop / file).read_text())
        monkeypatch.chdir(folder)
        # Another name of the folder, and absolute paths, change nothing.
        assert kg_build(*options, "kg" if name == "here" else folder / "other").exit_code == 0
        found.append(files_of(folder / ("kg" if name == "here" else "other")))
    assert found[0] == found[1]
    assert set(found[0]) == SIDE | {"review.csv"}
    told = json.loads(found[0]["build.json"])["bad_records"]
    assert (told["file"], told["bad"]) == ("items.csv", 1)
    # Each fact is in one of the two files.
    assert set(json.loads(found[0]["report.json"])) == {"title", "graph"}
    assert "graph" not in json.loads(found[0]["build.json"])
    # By an absolute path of the recipe, the files are named the same.
    monkeypatch.chdir("/")
    assert kg_build("build", shop / "here" / "recipe.yaml", *options[2:], shop / "third").exit_code == 0
    assert files_of(shop / "third") == found[0]


def test_overwrite_and_review(kg_build: Any, shop_graph: Path) -> None:
    before = files_of(shop_graph)
    refused = kg_build("build", "recipe.yaml", "--out", "kg")
    assert (refused.exit_code, files_of(shop_graph) == before) == (2, True)
    assert "kg: exists already" in refused.stderr
    assert "--overwrite" in refused.stderr
    review = shop_graph / "review.csv"
    assert pl.read_csv(review)["decision"].to_list() == ["merge"]
    assert ("a", "brand", "sony corp.") in facts(shop_graph)
    review.write_text(review.read_text().replace(",merge\n", ",keep\n"))
    again = ("build", "recipe.yaml", "--out", "kg", "--overwrite", "--quiet")
    assert kg_build(*again, "--review", "kg/review.csv").exit_code == 0
    assert {("a", "brand", "sony"), ("b", "brand", "sony corp.")} <= facts(shop_graph)
    assert pl.read_csv(review)["decision"].to_list() == ["keep"]
    (shop_graph / "mine.txt").write_text("a person's")
    refused = kg_build(*again)
    assert refused.exit_code == 2
    assert "kg: isn't a knowledge graph folder" in refused.stderr
    assert (shop_graph / "mine.txt").read_text() == "a person's"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("recipe.yaml",), "no --out; expected a folder to make, or --dry-run"),
        (("--source", "table", "--dry-run"), "expected a recipe, or --source, --input and --rules"),
        (
            ("recipe.yaml", "--source", "table", "--dry-run"),
            "recipe.yaml: names the source; expected no --source",
        ),
        (("recipe.yaml", "--review", "no.csv", "--dry-run"), "no.csv: can't be read"),
        (("recipe.yaml", "--rules", "amazom", "--dry-run"), "did you mean 'amazon'?"),
        (
            ("recipe.yaml", "--resolve", "nosuch", "--dry-run"),
            "no entities of kind 'nosuch'; expected one of brand",
        ),
        (("recipe.yaml", "--master", "local", "--dry-run"), "engine polars: has no master"),
        (
            ("recipe.yaml", "--max-bad", "3", "--dry-run"),
            "max_bad: input should be less than or equal to 1, got 3",
        ),
        (("recipe.yaml", "--interactions", "items.csv", "--dry-run"), "expected it beside them"),
        (("recipe.yaml", "--useful", "--dry-run"), "interactions"),
        (
            ("recipe.yaml", "--useful", "--interactions", "items.csv", "--dry-run"),
            "items.csv: no column 'user'",
        ),
        (("rules.yaml", "--dry-run"), "rules.yaml"),
        (("items.csv", "--dry-run"), "items.csv: is a table by its ending; expected a recipe, or --source"),
        (("prose.txt", "--dry-run"), "prose.txt: holds 'long long "),
        (("empty.yaml", "--dry-run"), "empty.yaml: rules.inline.rules: holds no rule; expected at least one"),
        (("none.yaml", "--dry-run"), "none.yaml"),
        (
            ("--source", "table", "--input", "items.csv", "--rules", "rules.yaml", "--dry-run"),
            "no column 'id'",
        ),
        (
            ("--source", "amazon", "--input", "a", "--mapping", "b", "--rules", "amazon", "--dry-run"),
            "'mapping'",
        ),
    ],
)
def test_what_does_not_fit(kg_build: Any, shop: Path, arguments: tuple[str, ...], told: str) -> None:
    (shop / "prose.txt").write_text("long " * 5_000)
    (shop / "empty.yaml").write_text("source: {kind: table, path: items.csv, id: sku}\nrules: []\n")
    before = sorted(path.name for path in shop.iterdir())
    result = kg_build("build", *arguments, "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert len(result.stderr) < 400
    assert sorted(path.name for path in shop.iterdir()) == before


def test_a_review_needs_something_to_resolve(kg_build: Any, shop_graph: Path) -> None:
    (shop_graph.parent / "recipe.yaml").write_text(
        "source: {kind: table, path: items.csv, id: sku}\nrules: [{kind: categorical, field: brand}]\n"
    )
    result = kg_build("build", "recipe.yaml", "--review", "kg/review.csv", "--dry-run", "--quiet")
    assert result.exit_code == 2
    assert "has a review but no resolve" in result.stderr


def test_options_take_the_place_of_the_recipe(kg_build: Any, shop: Path) -> None:
    result = kg_build("build", "recipe.yaml", "--k-core", "3", "--dry-run")
    assert "3-core" in result.stdout
    assert "Pruning: nothing to take" not in result.stdout
    assert "Pruning: nothing to take" in kg_build("build", "recipe.yaml", "--dry-run").stdout
    (shop / "recipe.yaml").write_text(
        (shop / "recipe.yaml").read_text() + "prune: {k_core: 3, max_share: 0.4}\n"
    )
    result = kg_build("build", "recipe.yaml", "--k-core", "1", "--dry-run")
    assert "3-core" not in result.stdout
    assert "common entities" in result.stdout


def test_interactions_choose_relations(kg_build: Any, shop: Path) -> None:
    rows = [f"u{user},{item},{split}" for user in range(6) for item, split in (("a", "train"), ("c", "test"))]
    (shop / "train.csv").write_text("\n".join(["user,item,split", *rows]) + "\n")
    options = ("build", "recipe.yaml", "--useful", "--interactions", "train.csv", "--dry-run")
    result = kg_build(*options)
    assert result.exit_code == 0
    assert "no more" in result.stdout
    (shop / "train.csv").write_text("user,item,split\nu,a,test\n")
    result = kg_build(*options)
    assert result.exit_code == 2
    assert "train.csv: holds no training interaction" in result.stderr
    (shop / "train.csv").write_text("user,item\nu,a\nu\n")
    result = kg_build(*options)
    assert result.exit_code == 2
    assert "train.csv, line 3: has 1 value separated by comma, expected 2 (user, item)" in result.stderr
    pl.DataFrame({"user": range(6), "item": ["a"] * 6}).write_parquet(shop / "train.parquet")
    assert kg_build(*options[:-2], "train.parquet", "--dry-run").exit_code == 0


def test_kdiffe_kg_is_the_same_command(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    result = CliRunner().invoke(kdiffe, ["kg", "build", "recipe.yaml", "--dry-run", "--quiet"])
    assert (result.exit_code, result.stdout) == (0, "nothing is written: a dry run\n")
    result = CliRunner().invoke(kdiffe, ["kg", "build", "none.yaml", "--dry-run"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: none.yaml")


def test_what_fails_in_the_middle_leaves_nothing(
    kg_build: Any, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(shop / "scratch"))
    before = sorted(path.name for path in shop.iterdir())

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # The last file to be written; the graph is already there, beside its place.
    monkeypatch.setattr("kg_builders.output.write_report", interrupted)
    result = kg_build("build", "recipe.yaml", "--out", "kg", "--quiet")
    assert (result.exit_code, result.stderr, result.stdout) == (130, "interrupted\n", "")
    assert sorted(path.name for path in shop.iterdir()) == before
    assert list((shop / "scratch").iterdir()) == []


def wait_for_reader(fifo: Path, process: subprocess.Popen[str]) -> int:
    """Return a pipe, opened to be written to as soon as the process reads it."""
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the process doesn't read")


def test_a_process(shop: Path) -> None:
    """Exit status, standard error, and Ctrl-C while a pipe is still being read."""
    environment = {**os.environ, "TMPDIR": str(shop / "scratch")}
    (shop / "scratch").mkdir()
    fifo = shop / "pipe.jsonl"
    os.mkfifo(fifo)
    (shop / "m.yaml").write_text("id: sku\nlabel: name\nfields: {name: {type: text}}\n")
    (shop / "rules.yaml").write_text("[{kind: keyword, field: name}]")
    command = [sys.executable, "-m", "kg_builders", "build", "--source", "table", "--input", "pipe.jsonl"]
    process = subprocess.Popen(
        [*command, "--mapping", "m.yaml", "--rules", "rules.yaml", "--out", "kg"],
        cwd=shop,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        stream = wait_for_reader(fifo, process)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        os.close(stream)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.endswith("interrupted\n")
    assert "Traceback" not in err
    assert not (shop / "kg").exists()
    assert list((shop / "scratch").iterdir()) == []
