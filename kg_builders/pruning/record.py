"""What a step of pruning took, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import polars as pl
from rich.table import Table
from rich.text import Text

from kg_builders.errors import InputError

__all__ = ["PruneStep", "prune_table"]


@dataclass(frozen=True)
class PruneStep:
    """What a step took.

    Parameters
    ----------
    name
        Which step.
    reason
        Why, in words.
    triples, entities, relations
        How many of each it took.
    items
        Items that lost at least one triple.
    examples
        A few of what it took.
    moved
        Triples that it moved to another relation instead of taking them.
    source
        Gives the triples that it took. It refers to the graph before pruning, which therefore stays in
        memory as long as the step does; ``without_source`` lets it go.
    """

    name: str
    reason: str
    triples: int
    entities: int
    relations: int
    items: int
    examples: tuple[str, ...]
    moved: int = 0
    source: Callable[[], pl.DataFrame] | None = field(default=None, repr=False, compare=False)

    def removed(self) -> pl.DataFrame:
        """Return what the step took, with columns of ``kg_builders.pruning.undo.REMOVED_SCHEMA``.

        Raises
        ------
        InputError
            If the step has let go of the graph.
        """
        if self.source is None:
            raise InputError(f"pruning step {self.name!r}: what it took was not kept")
        return self.source()

    def without_source(self) -> PruneStep:
        """Return the record alone, which holds no graph in memory."""
        return replace(self, source=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self.without_source())
        del values["source"]
        return values


def prune_table(steps: Sequence[PruneStep], title: str = "Pruning") -> Table:
    """Return a table for the terminal: a row a step that took something, and a line that names the others."""
    took = [step.triples or step.entities or step.relations or step.moved for step in steps]
    idle = [step.name for step, some in zip(steps, took, strict=True) if not some]
    table = Table(title=title, caption=f"nothing to take: {', '.join(idle)}" if idle else None)
    for name in ("step", "taken because"):
        table.add_column(name)
    for name in ("triples", "entities", "relations", "items touched"):
        table.add_column(name, justify="right")
    for step in steps:
        if step.name in idle:
            continue
        examples = f": {', '.join(step.examples[:5])}" if step.examples else ""
        moved = f" ({step.moved:,} moved to the other relation)" if step.moved else ""
        counts = (step.triples, step.entities, step.relations, step.items)
        # Labels of entities are data, not markup.
        table.add_row(Text(step.name), Text(f"{step.reason}{examples}{moved}"), *(f"{n:,}" for n in counts))
    return table
