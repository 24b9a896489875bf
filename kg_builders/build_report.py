"""What each part of a build did, as one record: for the terminal, for JSON, for the report's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from kg_builders.expand import ExpansionReport
from kg_builders.extraction_report import ExtractionReport
from kg_builders.label_link import LabelLinkReport
from kg_builders.link import LinkReport
from kg_builders.modality import ModalityReport
from kg_builders.prune import PruneStep, prune_table
from kg_builders.report import render
from kg_builders.review import Review
from kg_builders.sources.bad import BadRecords

__all__ = ["BuildReport", "prune_summary"]


@dataclass(frozen=True)
class BuildReport:
    """What each part of a build did, and what the graph holds in the end.

    Parameters
    ----------
    bad
        What was left out while reading: of the item records, and of given graphs among its ``others``.
    extraction
        What each rule gave.
    links
        How each given graph meets the catalogue.
    label_links
        Of those that were linked by labels, how much fits.
    expansions
        Of those of which only a part was taken, what each step took and left.
    modalities
        What became of each modality's features.
    review
        Merges of entities, those that were made and those that were only found likely.
    link_reviews
        Links by label, those that were made and those that were only found likely.
    pruning
        What each step of pruning took.
    graph
        Description of the result.
    """

    bad: BadRecords | None = None
    extraction: ExtractionReport | None = None
    links: tuple[LinkReport, ...] = ()
    label_links: tuple[LabelLinkReport, ...] = ()
    expansions: tuple[ExpansionReport, ...] = ()
    modalities: Mapping[str, ModalityReport] = field(default_factory=dict)
    review: Review | None = None
    link_reviews: tuple[Review, ...] = ()
    pruning: tuple[PruneStep, ...] = ()
    graph: Mapping[str, Any] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What looks wrong with the input; what looks wrong in the result is in ``graph``."""
        found = [warning for link in self.links if (warning := link.warning()) is not None]
        reviews = [*(() if self.review is None else (self.review,)), *self.link_reviews]
        return [*found, *(warning for review in reviews for warning in review.warnings())]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "warnings": self.warnings,
            "bad_records": None if self.bad is None else self.bad.to_dict(),
            "extraction": None if self.extraction is None else self.extraction.to_dict(),
            "links": [link.to_dict() for link in self.links],
            "label_links": [link.to_dict() for link in self.label_links],
            "expansions": [expansion.to_dict() for expansion in self.expansions],
            "modalities": {name: report.to_dict() for name, report in self.modalities.items()},
            "resolution": None if self.review is None else self.review.to_dict(),
            "pruning": [step.to_dict() for step in self.pruning],
            "graph": dict(self.graph),
        }

    def render(self) -> RenderableType:
        """Return tables for the terminal."""
        parts: list[RenderableType] = []
        if self.bad is not None:
            parts.extend(self.bad.sentences())
        if self.extraction is not None:
            parts.append(self.extraction.table())
        parts.extend(link.sentence() for link in self.links)
        parts.extend(link.sentence() for link in self.label_links)
        parts.extend(expansion.sentence() for expansion in self.expansions)
        parts.extend(f"Warning: {warning}" for warning in self.warnings)
        for name, report in self.modalities.items():
            found = f"{report.clusters:,} clusters ({report.method}{_recall(report)})"
            parts.append(
                f"features {name}: {report.neighbour_pairs:,} pairs of neighbours, {found}; "
                f"{report.missing:,} items without, {report.repeated:,} with the same as another"
            )
        if self.review is not None:
            parts.append(self.review.sentence())
        if self.pruning:
            parts.append(prune_summary(self.pruning))
        parts.append(render(dict(self.graph)))
        return Group(*(Text(part) if isinstance(part, str) else part for part in parts))


def prune_summary(steps: Sequence[PruneStep]) -> RenderableType:
    """Return the table of what pruning took, or a line where it took nothing."""
    if any(step.triples or step.entities or step.relations or step.moved for step in steps):
        return prune_table(steps)
    return Text(f"Pruning: nothing to take, by {len(steps)} steps")


def _recall(report: ModalityReport) -> str:
    """Say what share of the nearest neighbours an approximate search found."""
    return "" if report.recall is None else f", {report.recall:.1%} of the nearest found"
