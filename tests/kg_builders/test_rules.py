"""Rule files: what is valid, and errors that name the key and the nearest valid one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kg_builders import InputError
from kg_builders.rules import ListRule, Rules, YearRule, load_rules, parse_rules, preset_names


def test_presets_load() -> None:
    assert preset_names() == ["amazon", "lfm2k", "ml-100k", "movielens"]
    for name in preset_names():
        assert isinstance(load_rules(name), Rules)
    movies = load_rules("ml-100k")
    assert [(rule.kind, rule.relation) for rule in movies.rules] == [
        ("list", "genre"),
        ("year", "release_year"),
        ("decade", "release_decade"),
        ("keyword", "title_word"),
    ]


def test_names_default_to_the_field_and_the_relation(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "label: title\nrules:\n"
        "  - {kind: list, field: genres}\n  - {kind: year, field: date, relation: out}\n"
    )
    rules = load_rules(path)
    assert isinstance(rules.rules[0], ListRule)
    assert (rules.rules[0].relation, rules.rules[0].entity) == ("genres", "genres")
    assert isinstance(rules.rules[1], YearRule)
    assert (rules.rules[1].relation, rules.rules[1].entity) == ("out", "out")
    with pytest.raises(Exception, match="frozen"):
        rules.label = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            [{"kind": "list", "feild": "x"}],
            r"mine: rules\[0\].list: unknown key 'feild'; did you mean 'field'\?",
        ),
        ([{"kind": "lists", "field": "x"}], r"rules\[0\]: unknown kind 'lists'; did you mean 'list'\?"),
        ([{"field": "x"}], r"rules\[0\]: lacks the key 'kind'"),
        ([{"kind": "list"}], r"rules\[0\].list.field: is missing"),
        (
            [{"kind": "list", "field": "x", "spelling": "merged"}],
            r"spelling: unknown value 'merged'; did you mean 'merge'",
        ),
        (
            [{"kind": "list", "field": "x", "min_items": 0}],
            r"min_items: input should be greater than or equal to 1, got 0",
        ),
        (
            [{"kind": "list", "field": "x", "max_share": "all"}],
            r"max_share: input should be a valid number.*got 'all'",
        ),
        ([{"kind": "year", "field": "x", "bins": 3}], r"unknown key 'bins'; "),
        ([{"kind": "number", "field": "x"}], r"expected either bins .* or edges"),
        (
            [{"kind": "number", "field": "x", "edges": [2, 1]}],
            r"edges are \[2.0, 1.0\]; expected ascending numbers",
        ),
        ([{"kind": "list", "field": "x", "relation": "r^-1"}], r"relation 'r\^-1' ends with"),
        (
            [{"kind": "list", "field": "x", "entity": "item"}],
            r"entity kind 'item' is kept for catalogue items",
        ),
        (
            [{"kind": "reference", "field": "x", "symmetric": True, "inverse_label": "y"}],
            r"a symmetric relation is its own inverse",
        ),
        ([{"kind": "path", "field": "x", "link": "leafs"}], r"unknown value 'leafs'; did you mean 'leaf'"),
        ({"rule": []}, r"unknown key 'rule'; did you mean 'rules'\?"),
        ({"rules": []}, r"mine: rules: holds no rule; expected at least one, such as {kind: "),
        ({"rules": None}, r"mine: rules: holds no rule; expected at least one"),
        ([], r"mine: rules: holds no rule; expected at least one"),
        ({"rules": "brand"}, r"mine: rules: expected a list, got 'brand'"),
        ("text", r"mine: expected settings, each a key with its value, got 'text'"),
        ("long " * 9_000, r"mine: expected settings, each a key with its value, got '(long ){12}'\.\.\.$"),
        ([{"kind": "long " * 9_000, "field": "x"}], r"unknown kind '(long ){12}'\.\.\.; expected one of"),
    ],
)
def test_bad_rules(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_rules(data, "mine")
    assert "\n" not in str(caught.value)


def test_bad_rule_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rules 'lfm2': neither a preset nor a file; did you mean 'lfm2k'"):
        load_rules("lfm2")
    with pytest.raises(InputError, match=r"absent.yaml: can't be read"):
        load_rules(tmp_path / "absent.yaml")
    path = tmp_path / "broken.yaml"
    path.write_text("rules:\n  - {kind: list\n")
    with pytest.raises(InputError, match=r"broken.yaml, line 3: isn't valid YAML"):
        load_rules(path)
    path.write_text("rules: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(InputError, match=r"isn't valid YAML"):
        load_rules(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"isn't UTF-8 text"):
        load_rules(path)
