"""Fixtures of the tests of the command ``kg-build``: a runner, and small catalogues in published layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kg_builders.cli import main

Run = Callable[..., Result]

RULES = """
label: name
rules:
  - {kind: list, field: tags, relation: tag}
  - {kind: categorical, field: brand}
"""

ITEMS = (
    "sku,name,tags,brand\n"
    "a,Axe,tool|steel,Sony\n"
    "b,Bow,toy|wood,SONY Corp.\n"
    "c,Cup,home|steel,Acme\n"
    "d,Dish,home|wood,Acme\n"
)

SHOP = """
source: {kind: table, path: items.csv, id: sku, label: name, lists: {tags: "|"}}
rules:
  label: name
  rules:
    - {kind: list, field: tags, relation: tag}
    - {kind: categorical, field: brand}
resolve: {kinds: [brand]}
"""


@pytest.fixture
def kg_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command in ``tmp_path``; whatever isn't bad input is raised."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a recipe, its table, and the parts of both."""
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "recipe.yaml").write_text(SHOP)
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path


@pytest.fixture
def shop_graph(kg_build: Run, shop: Path) -> Path:
    """The knowledge graph of the shop."""
    result = kg_build("build", "recipe.yaml", "--out", "kg", "--quiet")
    assert result.exit_code == 0, result.stderr
    return shop / "kg"
