"""The benchmark of knowledge graphs: arms that differ in their graph alone, and one with shuffled facts."""

from __future__ import annotations

import json
import sys
from collections import Counter

import arms
import pytest

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.errors import InputError


@pytest.fixture
def dataset() -> RecDataset:
    return planted(PlantedConfig(n_users=40, n_items=30)).dataset


def test_shuffled_items_take_each_others_facts(dataset):
    shuffled = arms.with_shuffled_items(dataset)
    again = arms.with_shuffled_items(dataset)
    assert shuffled.kg.triples.equals(again.kg.triples)
    of_items = []
    for each in (dataset, shuffled):
        facts: dict[int, list[tuple[int, int]]] = {}
        for head, relation, tail in each.kg.triples.select("head", "relation", "tail").rows():
            assert tail >= dataset.n_items
            facts.setdefault(head, []).append((relation, tail))
        of_items.append({item: sorted(found) for item, found in facts.items()})
    before, after = of_items
    assert Counter(map(tuple, before.values())) == Counter(map(tuple, after.values()))
    assert sum(before[item] != after.get(item) for item in before) > len(before) / 2
    assert shuffled.interactions.equals(dataset.interactions)


def test_arms_are_trained_compared_and_used_again(dataset, tmp_path, monkeypatch, capsys):
    dataset.save(tmp_path / "data")
    dataset.replace(kg=None).save(tmp_path / "bare")
    monkeypatch.chdir(tmp_path)
    given = [
        "--arm",
        "built=data",
        "--arm",
        "none=bare",
        "--shuffled",
        "shuffled=data",
        "--preset",
        "default",
    ]
    given += ["--seeds", "2", "--runs", "runs", "--json", "found.json"]
    given += ["--set", "training.epochs=1", "--set", "training.min_steps=1"]
    monkeypatch.setattr(sys, "argv", ["arms.py", *given])
    arms.main()
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found["arms"]) == ["built", "none", "shuffled"]
    for seed in range(2):
        metrics = json.loads((tmp_path / "runs" / f"built-{seed}" / "metrics.json").read_text())
        assert found["arms"]["built"][seed]["recall@20"] == pytest.approx(metrics["test"]["recall@20"])
    for other in ("none", "shuffled"):
        recall = [sum(each["recall@20"] for each in found["arms"][name]) / 2 for name in ("built", other)]
        assert found["comparisons"][other][0]["difference"] == pytest.approx(recall[0] - recall[1])
    assert capsys.readouterr().err.count("training runs/") == 6
    arms.main()
    assert "training" not in capsys.readouterr().err


def test_a_data_set_without_a_graph_has_nothing_to_shuffle(dataset):
    with pytest.raises(InputError, match="no knowledge graph"):
        arms.with_shuffled_items(dataset.replace(kg=None))
