"""The knowledge graph of a data set: metadata by rules, a given graph, and relations of the features."""

from __future__ import annotations

from dataclasses import dataclass

from kdiffe_dgl.data.dataset import RecDataset
from kg_builders.extract import extract
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
    modalities
        Whether to add nearest-neighbour and cluster relations of each modality's features.
    """

    records: ItemRecords | None = None
    rules: Rules | None = None
    external: ExternalTriples | None = None
    modalities: bool = False


def with_knowledge(dataset: RecDataset, sources: KnowledgeSources) -> RecDataset:
    """Return the data set with the graph of its sources, entity ``i`` being item ``i``.

    What each source gave is told in the provenance under ``knowledge``. Without a source the data set
    is returned as it is.

    Raises
    ------
    InputError
        If a rule or a source doesn't fit the items.
    """
    items = dataset.items.select("id", "label")
    graphs: list[KnowledgeGraph] = []
    facts: dict[str, object] = {}
    if sources.records is not None and sources.rules is not None:
        extraction = extract(sources.records.select_items(items["id"]), sources.rules)
        graphs.append(extraction.kg)
        facts["rules"] = sources.rules.model_dump(mode="json", exclude_defaults=True)
    if not graphs:
        return dataset
    joined = graphs[0].union(*graphs[1:]) if len(graphs) > 1 else graphs[0]
    facts["triples_by_source"] = [graph.n_triples for graph in graphs]
    return dataset.replace(
        kg=joined.align_items(items), provenance=dict(dataset.provenance) | {"knowledge": facts}
    )
