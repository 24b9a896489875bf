"""``kg-build encode``, ``report`` and ``export``, and the commands that the guide and the help show."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from kg_builders import read_knowledge_graph
from kg_builders.cli import main

DOCS = Path(__file__).resolve().parents[2] / "docs" / "knowledge-graphs.md"

ENCODE = (
    *("encode", "--source", "table", "--input", "items.csv", "--mapping", "m.yaml"),
    *("--field", "name", "--set", "width=2"),
)


def named(folder: Path) -> list[Any]:
    return sorted(read_knowledge_graph(folder).to_named().drop("source").rows(), key=repr)


def test_encoded_features_in_a_recipe(kg_build: Any, shop: Path) -> None:
    rows = ["sku,name,tags,brand", "a,steel axe,x,Y", "b,wooden axe,x,Y", "c,,x,Y", "d,wooden dish,x,Y"]
    (shop / "items.csv").write_text("\n".join(rows) + "\n")
    (shop / "m.yaml").write_text("id: sku\nlabel: name\nfields: {name: {type: text}}\n")
    options = (*ENCODE, "--quiet")
    result = kg_build(*options, "--out", "f/text.npy")
    assert result.exit_code == 0, result.stderr
    assert "4 items x 2" in result.stdout
    assert "1 items without" in result.stdout
    assert np.load(shop / "f" / "text.npy").shape == (4, 2)
    assert json.loads((shop / "f" / "text.json").read_text())["missing_rows"] == [2]
    (shop / "recipe.yaml").write_text(
        "source: {kind: table, path: items.csv, id: sku}\n"
        "features: {text: {path: f/text.npy, neighbours: 3}}\n"
    )
    assert kg_build("build", "recipe.yaml", "--out", "kg", "--quiet").exit_code == 0
    # The filled row of c makes no fact of it.
    ends = {row[1] for row in named(shop / "kg") if row[2] == "in_text_cluster"}
    assert ends == {"a", "b", "d"}
    # The same matrix of items in another order would say of each what is true of another.
    (shop / "items.csv").write_text("\n".join([rows[0], *rows[:0:-1]]) + "\n")
    result = kg_build("build", "recipe.yaml", "--out", "kg2", "--quiet")
    assert result.exit_code == 2
    assert "in another order" in result.stderr
    assert not (shop / "kg2").exists()
    (shop / "order.csv").write_text("id\nd\nc\nb\na\n")
    assert kg_build(*options, "--items", "order.csv", "--out", "f/text.npy").exit_code == 0
    assert kg_build("build", "recipe.yaml", "--out", "kg2", "--quiet").exit_code == 0


def test_a_matrix_of_somebody_else_stays(kg_build: Any, shop: Path) -> None:
    options = ENCODE
    (shop / "m.yaml").write_text("id: sku\nfields: {name: text}\n")
    (shop / "items.csv").write_text("sku,name\na,steel axe\nb,wooden axe\nc,steel cup\nd,wooden dish\n")
    np.save(shop / "mine.npy", np.eye(4))
    before = (shop / "mine.npy").read_bytes()
    result = kg_build(*options, "--out", "mine.npy", "--quiet")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "mine.npy: exists already" in result.stderr
    assert ((shop / "mine.npy").read_bytes(), (shop / "mine.json").exists()) == (before, False)
    allowed = kg_build(*options, "--out", "mine.npy", "--quiet", "--overwrite")
    assert allowed.exit_code == 0, allowed.stderr
    assert "encoded before" in kg_build(*options, "--out", "mine.npy", "--quiet").stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "no --out"),
        (("--out", "x.npy"), "error: "),
        (("--encoder", "nosuch", "--out", "x.npy"), "nosuch"),
        (("--source", "table", "--field", "name", "--out", "x.npy"), "--source"),
        (("--set", "a", "--field", "name", "--out", "x.npy"), "--set a: expected KEY=VALUE"),
    ],
)
def test_nothing_to_encode(kg_build: Any, shop: Path, options: tuple[str, ...], told: str) -> None:
    result = kg_build("encode", *options, "--quiet")
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (shop / "x.npy").exists()


def test_report(kg_build: Any, shop_graph: Path) -> None:
    shop = shop_graph.parent
    result = kg_build("report", "kg", "--json")
    told = json.loads(result.stdout)
    assert (told["items"], told["triples"]) == (4, 12)
    # Examples of a relation are different triples, also where it has few.
    for row in told["relation_table"]:
        examples = [(example["head"], example["tail"]) for example in row["examples"]]
        assert len(set(examples)) == len(examples) >= 3
    (shop / "page.json").write_text("a person's")
    result = kg_build("report", "kg", "--html", "page.html")
    assert result.exit_code == 2
    assert "page.json: exists already" in result.stderr
    assert not (shop / "page.html").exists()
    assert (shop / "page.json").read_text() == "a person's"
    result = kg_build("report", "kg", "--html", "page.html", "--overwrite")
    assert result.exit_code == 0
    assert "written to page.html" in result.stdout
    assert "Knowledge graph" in (shop / "page.html").read_text()
    assert json.loads((shop / "page.json").read_text())["graph"]["triples"] == 12
    assert kg_build("report", "nowhere").exit_code == 2


@pytest.mark.parametrize("form", ["recbole", "kgat", "ntriples", "graphml", "parquet"])
def test_export_and_back(kg_build: Any, shop_graph: Path, form: str) -> None:
    shop = shop_graph.parent
    assert kg_build("export", "kg", "--format", form, "--out", "there").exit_code == 0
    again = kg_build("export", "kg", "--format", form, "--out", "there")
    assert again.exit_code == 2
    assert "there: exists already" in again.stderr
    assert kg_build("export", "kg", "--format", form, "--out", "there", "--overwrite").exit_code == 0
    result = kg_build("export", "there", "--from", form, "--format", "parquet", "--out", "back")
    assert result.exit_code == 0, result.stderr
    assert named(shop / "back") == named(shop_graph)
    assert kg_build("export", "kg", "--format", form, "--set", "nosuch=1", "--out", "x").exit_code == 2
    assert not (shop / "x").exists()


def shown() -> list[str]:
    """Return the commands of the guide's code blocks and of all help texts."""
    blocks = re.findall(r"```sh\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    inline = re.findall(r"`(kg-build [^`]*)`", DOCS.read_text(encoding="utf-8"))
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.epilog
        blocks.append(command.epilog)
    lines = "\n".join([*blocks, *inline]).replace("\\\n", " ").splitlines()
    return sorted(
        {line.split("#")[0].split("|")[0].strip() for line in lines if line.strip().startswith("kg-build ")}
    )


@pytest.mark.parametrize("line", shown())
def test_shown_commands_parse(line: str) -> None:
    words = shlex.split(line)[1:]
    command = main.get_command(click.Context(main), words[0])
    assert command is not None, f"there is no command {words[0]!r}"
    # Parsing alone: unknown options, missing arguments and wrong choices are raised.
    command.make_context(words[0], words[1:])


def test_shown_commands_are_found() -> None:
    assert len(shown()) >= 25
