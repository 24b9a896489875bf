"""The knowledge graph of a data set: metadata by rules, a given graph, and relations of the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kg_builders.extract import extract
from kg_builders.link import link_external
from kg_builders.modality import ModalitySettings, modality_graph
from kg_builders.rules import Rules
from kg_builders.schema import KnowledgeGraph
from kg_builders.sources.records import ItemRecords
from kg_builders.sources.triples import ExternalTriples

__all__ = ["KnowledgeSources", "with_knowledge"]


@dataclass(frozen=True)
class KnowledgeSources:
    """What a knowledge graph is made of; the parts are joined.

    Parameters
    ----------
    records, rules
        Item metadata and the rules that make triples of them; both or neither.
    external
        A given graph with its item-id map.
    external_kind
        Kind of its entities that are no items.
    modalities
        How to make nearest-neighbour and cluster relations of each modality's features; None: not.
    """

    records: ItemRecords | None = None
    rules: Rules | None = None
    external: ExternalTriples | None = None
    external_kind: str = "external"
    modalities: ModalitySettings | None = None


def with_knowledge(dataset: RecDataset, sources: KnowledgeSources) -> RecDataset:
    """Return the data set with the graph of its sources, entity ``i`` being item ``i``.

    What each source gave is told in the provenance under ``knowledge``. Without a source the data set
    is returned as it is.

    Raises
    ------
    InputError
        If a rule or a source doesn't fit the items, or there are no features to relate items by.
    """
    items = dataset.items.select("id", "label")
    graphs: list[KnowledgeGraph] = []
    facts: dict[str, Any] = {}
    if sources.records is not None and sources.rules is not None:
        extraction = extract(sources.records.select_items(items["id"]), sources.rules)
        graphs.append(extraction.kg)
        facts["rules"] = {
            "rules": sources.rules.model_dump(mode="json", exclude_defaults=True),
            "triples": extraction.kg.n_triples,
        }
    if sources.external is not None:
        linked, report = link_external(sources.external, items, sources.external_kind)
        graphs.append(linked)
        facts["external"] = report.to_dict()
    if sources.modalities is not None:
        if not dataset.features:
            raise InputError(
                f"data set {dataset.name}: no features to make relations of; expected at least one modality"
            )
        near, reports = modality_graph(
            dataset.features, items["id"].to_list(), sources.modalities, items["label"].to_list()
        )
        graphs.append(near)
        facts["modalities"] = {
            "settings": sources.modalities.model_dump(mode="json"),
            **{modality: report.to_dict() for modality, report in reports.items()},
        }
    if not graphs:
        return dataset
    # The labels of the data set win over those that a source has for the items.
    joined = graphs[0].align_items(items).union(*graphs[1:]).align_items(items)
    return dataset.replace(kg=joined, provenance=dict(dataset.provenance) | {"knowledge": facts})
