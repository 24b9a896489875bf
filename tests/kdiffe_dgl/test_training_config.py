"""Settings: presets, files and overrides; every mistake is told in words that say what was expected."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kdiffe_dgl.config import Component, apply_overrides, merge, parse_config, read_yaml
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.registry import MODELS
from kdiffe_dgl.training.config import RunConfig, layer, preset, preset_names, resolve

KDIFFE: dict[str, Any] = {"model": {"name": "kdiffe", "attention": {"epsilon": 0.6}, "dim": 32}}


def problem(values: Any, *overrides: str, model: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        resolve(values, overrides, "mine.yaml", model)
    message = str(caught.value)
    for jargon in ("Input", "valid dictionary", "instance of", "unable to parse", "should", "pydantic"):
        assert jargon not in message
    return message


# What is right


@pytest.mark.parametrize("name", preset_names())
def test_presets_resolve_and_come_back_from_yaml(name: str) -> None:
    config = resolve(preset(name))
    text = yaml.safe_dump(config.to_dict())
    assert resolve(yaml.safe_load(text)) == config
    assert config.name == "kdiffe"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_has_settings_that_come_back(name: str) -> None:
    config = resolve({}, model=name)
    assert config.name == name
    assert resolve(config.to_dict()) == config


def test_the_last_word_wins() -> None:
    config = resolve(KDIFFE, ["model.dim=16", "training.epochs=7", "model.dim=8"])
    assert (config.model.dim, config.training.epochs) == (8, 7)  # type: ignore[attr-defined]
    assert config.model.attention.epsilon == 0.6  # type: ignore[attr-defined]
    nested = resolve(KDIFFE, ["model.attention={n_walks: 3}"])
    assert nested.model.attention.epsilon == 0.6  # type: ignore[attr-defined]
    assert nested.model.attention.n_walks == 3  # type: ignore[attr-defined]


def test_numbers_as_people_write_them() -> None:
    config = resolve(
        {}, ["training.learning_rate=1e-4", "training.epochs=20.0", "evaluation.cutoffs=[10, 20]"]
    )
    assert config.training.learning_rate == 1e-4  # YAML reads 1e-4 as text
    assert config.training.epochs == 20
    assert config.evaluation.cutoffs == (10, 20)


@pytest.mark.parametrize(
    "other",
    [
        resolve(KDIFFE, model="lightgcn"),
        resolve(KDIFFE, ["model.name=lightgcn"]),
        resolve(layer(KDIFFE, {"model": {"name": "lightgcn"}})),
    ],
    ids=["option", "set", "file"],
)
def test_another_model_does_not_take_the_settings_of_the_first(other: RunConfig) -> None:
    assert other == resolve({"model": {"name": "lightgcn"}})


def test_the_same_model_keeps_its_settings() -> None:
    assert resolve(KDIFFE, model="kdiffe") == resolve(KDIFFE) == resolve(KDIFFE, ["model.name=kdiffe"])
    unnamed = {"model": {"dim": 32}}
    assert resolve(unnamed, model="kdiffe").model.dim == 32  # type: ignore[attr-defined]
    both = resolve(KDIFFE, ["model.dim=16", "model.name=lightgcn"])
    assert both.model.dim == 16  # type: ignore[attr-defined]


def test_an_empty_section_changes_nothing() -> None:
    assert resolve({"training": None, "model": None}) == resolve({})
    assert resolve(layer(KDIFFE, {"model": None})) == resolve(KDIFFE)


mappings = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), min_size=1, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | st.integers(0, 3), min_size=1, max_size=3),
    max_leaves=6,
)


def leaves(values: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        key: leaf for name, value in values.items() for key, leaf in leaves(value, (*prefix, name)).items()
    }


@settings(max_examples=60, deadline=None)
@given(mappings, mappings)
def test_merging_puts_every_leaf_of_the_change_in_place(base: dict[str, Any], change: dict[str, Any]) -> None:
    merged = leaves(merge(base, change))
    new = leaves(change)
    assert new.items() <= merged.items()
    for key, value in leaves(base).items():
        # A leaf of the base stays, unless the change has one at its place, above or below it.
        hidden = any(key[: len(other)] == other or other[: len(key)] == key for other in new)
        assert hidden or merged[key] == value
    assert set(merged) <= set(new) | set(leaves(base))


# What is wrong


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainin": {}}, "unknown key 'trainin'; did you mean 'training'?"),
        ({"zzz": {}}, "unknown key 'zzz'; expected one of model, training, evaluation"),
        ({1: 2}, "unknown key '1'; expected one of model, training, evaluation"),
        ({"training": {2: 3, "epochs": 1}}, "unknown key 'training.2'; expected one of training.epochs, "),
        ({"training": {"epoch": 3}}, "unknown key 'training.epoch'; did you mean 'training.epochs'?"),
        (
            {"model": {"attention": {"epsilom": 1}}},
            "unknown key 'model.attention.epsilom'; did you mean 'model.attention.epsilon'?",
        ),
        (
            {"model": {"knowledge": {"diffusion": {"stepz": 1}}}},
            "unknown key 'model.knowledge.diffusion.stepz'; did you mean 'model.knowledge.diffusion.steps'?",
        ),
        # The right key in the wrong place.
        ({"epochs": 3}, "unknown key 'epochs'; did you mean 'training.epochs'?"),
        (
            {"model": {"walk_length": 9}},
            "unknown key 'model.walk_length'; did you mean 'model.attention.walk_",
        ),
        # Two settings are temperatures: the one in the section that was written to is offered.
        ({"model": {"temperature": 1}}, "unknown key 'model.temperature'; did you mean 'model.score_temp"),
        # An unknown key is told before a bad value.
        ({"training": {"batch_size": 0, "epoch": 3}}, "unknown key 'training.epoch'"),
        ({"model": 3}, "model is 3; expected a mapping of settings"),
        ({"model": [1]}, "model is [1]; expected a mapping of settings"),
        ({"training": "fast"}, "training is 'fast'; expected a mapping of settings"),
        ({"model": {"attention": 5}}, "model.attention is 5; expected a mapping of settings"),
        ({"training": {"epochs": 0}}, "training.epochs is 0; expected a number of at least 1"),
        ({"training": {"epochs": 1.5}}, "training.epochs is 1.5; expected a whole number"),
        ({"training": {"epochs": "many"}}, "training.epochs is 'many'; expected a whole number"),
        ({"training": {"epochs": True}}, "training.epochs is true; expected a whole number"),
        ({"training": {"epochs": None}}, "training.epochs is empty; expected a whole number"),
        ({"training": {"epochs": {"a": 1}}}, "training.epochs is {'a': 1}; expected a whole number"),
        ({"training": {"batch_size": 10**12}}, "expected a whole number of at most 2147483647"),
        ({"training": {"learning_rate": 0}}, "learning_rate is 0; expected a number greater than 0"),
        ({"training": {"learning_rate": False}}, "learning_rate is false; expected a number"),
        ({"training": {"learning_rate": "low"}}, "learning_rate is 'low'; expected a number"),
        ({"training": {"learning_rate": float("inf")}}, "learning_rate is inf; expected a finite number"),
        ({"training": {"learning_rate": float("nan")}}, "learning_rate is nan; expected a finite number"),
        (
            {"training": {"monitor": "recal@20"}},
            "monitor is 'recal@20'; expected a metric and a cutoff, such",
        ),
        ({"training": {"monitor": "recall"}}, "monitor is 'recall'; expected a metric and a cutoff, such as"),
        (
            {"training": {"monitor": "recall@0"}},
            "monitor is 'recall@0'; expected a metric and a cutoff, such",
        ),
        ({"training": {"monitor": 20}}, "monitor is 20; expected text"),
        (
            {"training": {"fit_metric": "ndcg"}},
            "fit_metric is 'ndcg'; expected a metric and a cutoff, such as",
        ),
        ({"evaluation": {"cutoffs": [5, 0]}}, "evaluation.cutoffs[1] is 0; expected a number of at least 1"),
        ({"evaluation": {"cutoffs": [5, True]}}, "evaluation.cutoffs[1] is true; expected a whole number"),
        ({"evaluation": {"cutoffs": []}}, "evaluation.cutoffs is []; expected a list of at least 1"),
        ({"evaluation": {"cutoffs": 5}}, "evaluation.cutoffs is 5; expected a list"),
        ({"evaluation": {"test_mask": ["test"]}}, "test_mask[0] is 'test'; expected 'train' or 'validation'"),
        (
            {"model": {"knowledge": {"dropout": 1}}},
            "model.knowledge.dropout is 1; expected a number less than 1",
        ),
        ({"model": {"knowledge": {"keep_rate": 2}}}, "keep_rate is 2; expected a number of at most 1"),
        ({"model": {"contrast": {"method": "x" * 90}}}, "method is 'xxx"),
        ({"model": {"name": "kdifffe"}}, "unknown model 'kdifffe'; did you mean 'kdiffe'?"),
        ({"model": {"name": "zzz"}}, "unknown model 'zzz'; expected one of "),
    ],
)
def test_mistakes_in_a_file(values: Any, message: str) -> None:
    told = problem(values)
    assert told.startswith("mine.yaml: ")
    assert message in told
    assert len(told) < 250 or "expected one of" in told


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.attention.epsilom=1", "unknown key 'model.attention.epsilom'; did you mean"),
        ("model.attention=5", "model.attention is 5; expected a mapping of settings"),
        ("model={dim: 0}", "model.dim is 0; expected a number of at least 1"),
        ("evaluation.cutoffs=[0]", "evaluation.cutoffs[0] is 0"),
        ("training.epochs=", "training.epochs is empty; expected a whole number"),
        ("epochs=3", "did you mean 'training.epochs'?"),
        ("model=3", "model is 3; expected a mapping of settings"),
        ("model.name=lightgn", "unknown model 'lightgn'; did you mean 'lightgcn'?"),
        ("epochs", "expected key=value, such as training.epochs=20"),
        ("=3", "expected key=value"),
        (" =3", "expected key=value"),
        ("a..b=2", "expected key=value"),
        ("model.dim=[", "the value is not valid YAML"),
    ],
)
def test_mistakes_in_an_override_name_the_override(setting: str, message: str) -> None:
    told = problem(KDIFFE, "training.patience=3", setting)
    assert told.startswith(f"--set {setting}: ")
    assert message in told


def test_layers_that_would_fill_the_memory_are_refused() -> None:
    counts = [
        (name, ".".join(path))
        for name in sorted(MODELS)
        for path in leaves(resolve({}, model=name).to_dict())
        if path[-1].endswith("layers")
    ]
    assert {("kdiffe", "model.knowledge.layers"), ("lgmrec", "model.hyper_layers")} <= set(counts)
    for name, key in counts:
        told = problem({}, f"{key}=999999999", model=name)
        assert told.endswith(f"{key} is 999999999; expected a number of at most 32")


def test_a_mistake_elsewhere_is_not_blamed_on_an_override() -> None:
    told = problem({"training": {"epochs": 0}}, "training.patience=3")
    assert told.startswith("mine.yaml: ")


def test_an_unknown_model_asked_for_by_option() -> None:
    assert problem(KDIFFE, model="ligtgcn") == "--model: unknown model 'ligtgcn'; did you mean 'lightgcn'?"


def test_an_unknown_preset_offers_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown preset 'defalt'; did you mean 'default'"):
        preset("defalt")
    with pytest.raises(InputError, match=f"expected one of {', '.join(preset_names())}"):
        preset("zzzzzzzz")


def test_a_component_alone() -> None:
    class Part(Component):
        flag: bool = False
        size: int = 1

    assert parse_config(Part, {"flag": True}, "here").flag is True
    with pytest.raises(InputError, match="there: flag is 'maybe'; expected true or false"):
        parse_config(Part, {"flag": "maybe"}, lambda key: "there" if key == "flag" else "nowhere")


# Files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1\n", ", line 3: is not valid YAML ("),
        ("a: 1\n b: 2\n", ", line 2: is not valid YAML ("),
        ("!!python/object:os.system {}\n", ", line 1: is not valid YAML ("),
        ("- 1\n- 2\n", ": holds [1, 2]; expected a mapping of settings"),
        ("hello\n", ": holds 'hello'; expected a mapping of settings"),
    ],
)
def test_files_that_hold_no_settings(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such configuration file"):
        read_yaml(tmp_path / "mine.yaml")
    with pytest.raises(InputError, match="can't be read as UTF-8 text"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(InputError, match="can't be read as UTF-8 text"):
        read_yaml(tmp_path / "latin.yaml")


def test_an_empty_file_holds_no_settings(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("# nothing yet\n")
    assert read_yaml(tmp_path / "mine.yaml") == {}


def test_overrides_do_not_change_what_they_are_applied_to() -> None:
    values = {"a": {"b": 1}}
    assert apply_overrides(values, ["a.b=2", "a.c=[1, 2]", "d=x=y"]) == {
        "a": {"b": 2, "c": [1, 2]},
        "d": "x=y",
    }
    assert values == {"a": {"b": 1}}
