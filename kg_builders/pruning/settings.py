"""Which steps of pruning run, and how far they go."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from kg_builders.config import StrictModel

__all__ = ["PruneSettings"]


class PruneSettings(StrictModel):
    """Which steps run; they run in the order of the fields."""

    drop_relations: tuple[str, ...] = ()
    """Relations to leave out, by name."""
    duplicates: bool = True
    """Merge triples that say the same."""
    inverse_relations: float | None = Field(default=0.95, gt=0.0, le=1.0)
    """A relation of which this share of the triples is the reverse of another relation's is merged into it;
    null to keep both."""
    synonymous_relations: float | None = Field(default=0.95, gt=0.0, le=1.0)
    """A relation of which this share of the triples says what another relation says, of the same two
    entities or of the same sets of items, is merged into it; null to keep both."""
    duplicates_across_relations: bool = False
    """Of several relations between the same head and tail, keep the triple of the rarest relation only."""
    min_relation_triples: int = Field(default=1, ge=1)
    """A relation with fewer triples is dropped."""
    max_share: float | None = Field(default=None, gt=0.0, le=1.0)
    """An entity that more than this share of the items is joined to is dropped; null to keep all."""
    max_degree: int | None = Field(default=None, ge=1)
    """An entity with more neighbours is dropped; null to keep all."""
    min_degree: int = Field(default=1, ge=1)
    """An entity with fewer neighbours is dropped, once."""
    min_degree_of: dict[str, int] = Field(default_factory=dict)
    """Kind of entities to the neighbours that one of them needs, in place of ``min_degree``."""
    uninformative_relations: Literal["drop", "warn", "keep"] = "drop"
    """What to do with a relation that says the same of nearly everything, such as "has picture"."""
    uninformative_share: float = Field(default=0.99, gt=0.5, le=1.0)
    """Share of the items (or of entities of a kind) of which such a relation says the same."""
    keep_relations: Literal["all", "useful"] = "all"
    """With ``useful``, a relation that tells no more than chance about which items the same users choose
    is dropped; that needs training interactions."""
    significance: float = Field(default=0.01, gt=0.0, lt=1.0)
    """Share of useless relations among the kept ones that is put up with."""
    permutations: int = Field(default=99, ge=19)
    """Shuffles that tell what chance gives."""
    seed: int = Field(default=0, ge=0)
    """Of the shuffles."""
    facts_per_item: int | None = Field(default=None, ge=1)
    """Facts that an item keeps, the most informative ones; null to keep all."""
    k_core: int = Field(default=1, ge=1)
    """Entities with fewer neighbours are dropped until none is left."""
    unreachable: bool = True
    """Drop entities that no path joins to an item."""
    max_hops: int | None = Field(default=None, ge=1)
    """Entities that are more steps away from every item are dropped; null to keep them."""

    @field_validator("min_degree_of")
    @classmethod
    def _positive(cls, value: dict[str, int]) -> dict[str, int]:
        for kind, least in value.items():
            if least < 1:
                raise ValueError(f"{kind!r} needs at least {least} neighbours; expected 1 or more")
        return value
