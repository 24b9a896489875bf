"""What in a description deserves a person's look, and the setting that mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kg_builders.schema import ITEM

__all__ = ["warnings_of"]

FEW_HEADS = 10
"""A relation with fewer heads is too small to warn of."""
MANY = 100
"""Fewer entities of a kind, or items, tell nothing about a share of them."""
FEW_RELATIONS = 5
"""So many relations may be rare before it is told."""
MOST_NAMED = 3
MIRRORED = 0.8
"""A relation is worth a warning if this share of it is in another relation, or in both directions."""


def warnings_of(described: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each thing that looks wrong, the gravest first."""
    return [
        *_coverage(described),
        *_one_tail(described),
        *_hubs(described),
        *_repeated(described),
        *_rare(described),
        *_poor(described),
        *_used_once(described),
        *_unnamed(described),
    ]


def _coverage(described: Mapping[str, Any]) -> Iterator[str]:
    facts = described["item_facts"]
    if not described["triples"]:
        yield "the graph has no triple; see what the rules left out, and lower min_items or raise max_share"
    elif described["items"] and facts["coverage"] < 0.5:
        yield f"only {facts['coverage']:.1%} of the items have a fact; add rules, features or a linked graph"
    elif described["items"] >= MANY and facts["coverage"] < 0.95:
        shown = ", ".join(repr(item["label"] or item["id"]) for item in facts["without_facts"])
        yield (
            f"{facts['items_without_facts']:,} items ({1 - facts['coverage']:.1%}) have no fact, such as "
            f"{shown}; lower min_items, or add rules or features for them"
        )


def _one_tail(described: Mapping[str, Any]) -> Iterator[str]:
    for relation in described["relation_table"]:
        if relation["tails"] == 1 and relation["heads"] >= FEW_HEADS:
            yield (
                f"relation {relation['name']!r} has one tail for all its heads and tells none apart; "
                "drop it: name it in drop_relations"
            )


def _hubs(described: Mapping[str, Any]) -> Iterator[str]:
    for hub in described["hubs"]:
        if hub["share"] > 0.5:
            yield (
                f"{hub['label']!r} ({hub['kind']}) is joined to {hub['share']:.1%} of the items; "
                "set max_share to drop it"
            )


def _repeated(described: Mapping[str, Any]) -> Iterator[str]:
    redundancy = described["redundancy"]
    repeated = redundancy["duplicate_triples"]
    if repeated:
        what = "1 triple says" if repeated == 1 else f"{repeated:,} triples say"
        yield f"{what} what another says; set duplicates: true"
    triples = {relation["name"]: relation["triples"] for relation in described["relation_table"]}
    for key, how in (("inverse", "the reverse of"), ("overlapping", "the same as")):
        for pair in redundancy[key]:
            first, second = pair["relations"]
            if pair["share"] < MIRRORED or triples[first] < FEW_HEADS:
                continue
            # What both relations say, as a share of what either says.
            common = pair["triples"] / max(triples[first] + triples[second] - pair["triples"], 1)
            remedy = "name one of them in drop_relations if they mean the same"
            if key == "inverse":
                remedy = f"set inverse_relations: {_floor(pair['share'])} to merge them"
            elif common >= 0.5:
                remedy = f"set synonymous_relations: {_floor(common)} to merge them"
            yield f"{pair['share']:.1%} of relation {first!r} is {how} {second!r}; {remedy}"
    for relation in redundancy["both_ways"]:
        if relation["share"] >= MIRRORED and triples[relation["relation"]] >= FEW_HEADS:
            yield (
                f"{relation['share']:.1%} of relation {relation['relation']!r} is stored in both directions; "
                "mark it as symmetric, so that each pair counts once"
            )


def _rare(described: Mapping[str, Any]) -> Iterator[str]:
    rare = [row["name"] for row in described["relation_table"] if row["triples"] < FEW_HEADS]
    if len(rare) >= FEW_RELATIONS and described["triples"] >= MANY * FEW_HEADS:
        yield (
            f"{len(rare)} of {described['relations']} relations have fewer than {FEW_HEADS} triples, such as "
            f"{', '.join(repr(name) for name in rare[:MOST_NAMED])}; set min_relation_triples: {FEW_HEADS}"
        )


def _poor(described: Mapping[str, Any]) -> Iterator[str]:
    facts, items = described["item_facts"], described["items"]
    if items < MANY or not described["triples"]:
        return
    known = items - facts["items_without_facts"]
    few = facts["items_with_few_facts"] - facts["items_without_facts"]
    if few > 0.25 * items:
        yield (
            f"{few:,} items ({few / items:.1%}) have facts, but fewer than {facts['few_facts']}; lower "
            "min_items or min_degree, or add rules for more fields"
        )
    alike = facts["same_facts"]
    if alike["items"] > 0.2 * known:
        yield (
            f"{alike['items']:,} of the {known:,} items with facts have exactly the facts of another, so the "
            "graph can't tell them apart; add rules for fields that differ, or features with neighbours"
        )
    elsewhere = described["component_sizes"]["items_with_facts_elsewhere"]
    if elsewhere > 0.2 * items:
        yield (
            f"{elsewhere:,} items with facts ({elsewhere / items:.1%}) are joined by no path to the largest "
            "part of the graph; lower min_items or raise max_share, so that more entities are shared"
        )


def _used_once(described: Mapping[str, Any]) -> Iterator[str]:
    for kind in described["kinds"]:
        if kind["kind"] != ITEM and kind["entities"] >= MANY and kind["used_once_share"] > 0.5:
            yield (
                f"{kind['used_once_share']:.1%} of the {kind['entities']:,} entities of kind "
                f"{kind['kind']!r} are in a single triple and join nothing; set min_degree: 2, or min_items "
                "in the rule"
            )


def _unnamed(described: Mapping[str, Any]) -> Iterator[str]:
    for kind in described["kinds"]:
        if kind["kind"] == ITEM and kind["entities"] >= MANY and kind["unnamed"] > 0.5 * kind["entities"]:
            yield (
                f"{kind['unnamed']:,} items have no name besides their id, so that nobody can read the "
                "examples; set label to the field that names them"
            )


def _floor(share: float) -> float:
    """Return a share in whole percents that it reaches."""
    return int(100 * share) / 100
