"""What explanations say of items that were met, of blank names, and of what would connect the two."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl
import pytest
import torch

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.explain import Explainer
from kdiffe_dgl.models.kdiffe import KDiffE, KDiffEConfig


def model_of(dataset: Any) -> KDiffE:
    generator = torch.Generator().manual_seed(0)
    config = KDiffEConfig.model_validate({"dim": 4, "knowledge": {"main": "regenerated"}})
    model = KDiffE(dataset, config, generator, torch.device("cpu"))
    model.begin_epoch(generator)
    return model.eval()


def explainer_of(dataset: Any) -> Explainer:
    return Explainer(model_of(dataset), dataset)


def plain(dataset: Any) -> Any:
    """Return a data set without features, so that diffusion joins no user and item."""
    return dataset.replace(features={})


def refusal(explainer: Explainer, *asked: Any, **options: Any) -> str:
    with pytest.raises(InputError) as told:
        explainer.explain(*asked, **options)
    assert str(told.value).startswith("explain: nothing connects user 'u4' and item ")
    return str(told.value).rpartition("; ")[2]


def test_without_a_graph_more_hops_are_advised_only_where_they_help(tiny_dataset: Any) -> None:
    bare = explainer_of(plain(tiny_dataset).replace(kg=None))
    assert bare.explain("u4", "i7").paths
    others = "paths over other users too, not facts only"
    assert refusal(bare, "u4", "i7", facts_only=True) == f"expected {others}"
    assert refusal(bare, "u4", "i7", hops=2) == "expected at least 3 hops"
    assert refusal(bare, "u4", "i7", hops=1, facts_only=True) == f"expected at least 3 hops and {others}"
    # Nobody has met item 17.
    for options in ({}, {"hops": 5}, {"facts_only": True}):
        assert refusal(bare, "u4", "i17", **options) == "expected another item"
    with pytest.raises(InputError, match="within 1 hop, since the scores read no knowledge graph"):
        bare.explain("u4", "i7", hops=1)


def test_with_a_graph_what_would_help_is_advised(tiny_dataset: Any) -> None:
    kg = tiny_dataset.kg
    few = dataclasses.replace(kg, triples=kg.triples.filter(pl.col("head") == 17))
    found = explainer_of(plain(tiny_dataset).replace(kg=few))
    assert found.explain("u4", "i7").paths
    others = "paths over other users too, not facts only"
    told = refusal(found, "u4", "i7", facts_only=True)
    assert told == f"expected {others} or more hops or another item"
    assert refusal(found, "u4", "i7", facts_only=True, hops=5) == f"expected {others} or another item"
    assert refusal(found, "u4", "i7", hops=2) == "expected more hops or another item"


def test_an_item_that_was_met_is_said_to_be(tiny_dataset: Any) -> None:
    found = explainer_of(tiny_dataset)
    mine = tiny_dataset.interactions.filter(pl.col("user") == 4)
    told = {}
    for item, split in mine.select("item", "split").iter_rows():
        notes = found.explain("u4", f"i{item}").notes
        told[split] = [note for note in notes if "met this item already" in note]
    assert told == {
        "train": ["The user has met this item already (train split), so it is not recommended."],
        "validation": ["The user has met this item already (validation split), so it is not recommended."],
        # What is held out is what the model has to find.
        "test": [],
    }


def test_blank_names_give_way_to_ids(tiny_dataset: Any) -> None:
    kg = tiny_dataset.kg
    blank = pl.lit(" ").alias("label")
    found = explainer_of(
        tiny_dataset.replace(
            items=tiny_dataset.items.with_columns(blank),
            users=tiny_dataset.users.with_columns(pl.lit("").alias("label")),
            kg=dataclasses.replace(
                kg, entities=kg.entities.with_columns(blank), relations=kg.relations.with_columns(blank)
            ),
        )
    ).explain("u4", "i7", paths=8)
    assert {node.label for node in found.nodes} == {node.id for node in found.nodes}
    triples = [edge for edge in found.edges if edge.kind == "knowledge" and edge.state != "proposed"]
    assert triples
    assert all(edge.label == edge.relation for edge in triples)
    for path in found.paths:
        assert "“ ”" not in path.sentence
        assert "i7" in path.sentence


def test_dropped_facts_are_told_where_they_might_have_connected(tiny_dataset: Any) -> None:
    kg = tiny_dataset.kg
    few = dataclasses.replace(kg, triples=kg.triples.filter(pl.col("head") == 17))
    dataset = plain(tiny_dataset).replace(kg=few)
    model = model_of(dataset)
    assert model.regenerated is not None
    own = {int(tail) for head, tail in zip(model.edges.head, model.edges.tail, strict=True) if head == 17}
    one = min(own)
    kept = ~(((model.edges.head == 17) & (model.edges.tail == one)) | (
        (model.edges.tail == 17) & (model.edges.head == one)
    ))  # fmt: skip
    model._take_regenerated(dataclasses.replace(model.regenerated, kept=kept))
    with pytest.raises(InputError, match=f", but diffusion dropped 1 of {len(own)} facts; the user's items"):
        Explainer(model, dataset).explain("u4", "i17", hops=1)
    model._take_regenerated(dataclasses.replace(model.regenerated, kept=torch.ones_like(kept)))
    with pytest.raises(InputError) as told:
        Explainer(model, dataset).explain("u4", "i17", hops=1)
    assert "diffusion dropped" not in str(told.value)


def test_what_the_pairwise_view_adds_is_told(tiny_dataset: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    config = KDiffEConfig.model_validate({"dim": 4, "pairwise": {"weight": 0.5, "encoder": {"dim": 3}}})
    model = KDiffE(tiny_dataset, config, generator, torch.device("cpu"))
    model.begin_epoch(generator)
    explainer = Explainer(model.eval(), tiny_dataset)
    users, items = model.representations()
    # Its columns are the last three; what it adds to all items of the user alike is left out.
    part = float(users[4, -3:] @ items[7, -3:])
    note = f"{part:+.3f} of the score is the pairwise view's, which deletions leave as it is."
    assert note in explainer.explain("u4", "i7").notes
    without = Explainer(model_of(tiny_dataset), tiny_dataset).explain("u4", "i7")
    assert not any("pairwise" in note for note in without.notes)
