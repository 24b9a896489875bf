"""Random triples: noise whose place is known, to be told apart from the triples of a graph.

Put among the edges of a graph before these are scored, they are decoys: what a score gives to them, it gives
to any random edge (as in the target-decoy search of proteomics: Elias and Gygi, *Target-decoy search strategy
for increased confidence*, Nature Methods 2007).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kdiffe_dgl.diffusion.regenerate import pair_keys

__all__ = ["Ends", "proportional", "random_triples"]

Ends = Literal["relation", "any"]

ROUNDS = 64
"""Most rounds of drawing; a relation whose pairs are nearly all taken gets fewer triples than asked for."""


def proportional(relation: Tensor, share: float, n_relations: int, least: int = 0) -> Tensor:
    """Return how many triples of each relation are a share of it, int64 ``[relations]``.

    Parameters
    ----------
    relation
        Relation of each known triple, int64 ``[triples]``.
    share
        What part of them; more than 1 is allowed.
    n_relations
        Number of relations.
    least
        Least number for a relation that occurs.
    """
    known = torch.bincount(relation, minlength=n_relations)
    wanted = torch.floor(known.double() * share + 0.5).long()
    return torch.where(known > 0, wanted.clamp(min=least), 0)


def random_triples(
    head: Tensor,
    relation: Tensor,
    tail: Tensor,
    counts: Tensor,
    n_entities: int,
    generator: torch.Generator,
    ends: Ends = "relation",
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw triples that join entities which no known triple joins, in whichever relation or direction.

    Parameters
    ----------
    head, relation, tail
        Known triples, int64 ``[triples]`` each.
    counts
        How many to draw of each relation, int64 ``[relations]``.
    n_entities
        Number of entities.
    generator
        Source of randomness, on the CPU.
    ends
        ``"relation"``: head and tail are drawn, each as likely, from the heads and the tails that the
        relation has, so that only what is said can be false; ``"any"``: from all entities with a triple.

    Returns
    -------
    tuple of Tensor
        Head, relation and tail, int64 ``[drawn]``, sorted by relation; no two join the same entities.
    """
    if ends == "any":
        everyone = torch.cat([head, tail]).unique()
        heads = tails = _Choices.same(everyone, len(counts))
    else:
        heads, tails = (_Choices.of(relation, each, len(counts), n_entities) for each in (head, tail))
    taken = pair_keys(head, tail, n_entities).unique()
    wanted = torch.where((heads.sizes > 0) & (tails.sizes > 0), counts, 0)
    found = [torch.empty(3, 0, dtype=torch.int64)]
    for _ in range(ROUNDS):
        of = torch.repeat_interleave(torch.arange(len(wanted)), wanted)
        if not len(of):
            break
        first, second = heads.draw(of, generator), tails.draw(of, generator)
        keys = pair_keys(first, second, n_entities)
        # Of equal pairs the first: a stable sort by key leaves it in front.
        order = torch.argsort(keys, stable=True)
        repeated = torch.zeros(len(keys), dtype=torch.bool)
        repeated[order[1:]] = keys[order[1:]] == keys[order[:-1]]
        good = ~repeated & (first != second) & ~torch.isin(keys, taken)
        found.append(torch.stack([first, of, second])[:, good])
        taken = torch.cat([taken, keys[good]])
        wanted = wanted - torch.bincount(of[good], minlength=len(wanted))
    drawn = torch.cat(found, dim=1)
    drawn = drawn[:, torch.argsort(drawn[1], stable=True)]
    return drawn[0], drawn[1], drawn[2]


class _Choices:
    """Entities that each relation may draw.

    Parameters
    ----------
    starts, sizes
        Where those of a relation begin in ``entities``, and how many they are, int64 ``[relations]``.
    entities
        int64.
    """

    def __init__(self, starts: Tensor, sizes: Tensor, entities: Tensor) -> None:
        self.starts, self.sizes, self.entities = starts, sizes, entities

    @classmethod
    def of(cls, relation: Tensor, entity: Tensor, n_relations: int, n_entities: int) -> _Choices:
        """Take the entities that occur with each relation."""
        distinct = torch.unique(relation * n_entities + entity)
        sizes = torch.bincount(distinct // n_entities, minlength=n_relations)
        return cls(torch.cumsum(sizes, 0) - sizes, sizes, distinct % n_entities)

    @classmethod
    def same(cls, entities: Tensor, n_relations: int) -> _Choices:
        """Take the same entities for all relations."""
        zeros = torch.zeros(n_relations, dtype=torch.int64)
        return cls(zeros, zeros + len(entities), entities)

    def draw(self, relation: Tensor, generator: torch.Generator) -> Tensor:
        """Draw an entity for each of some relations, int64."""
        uniform = torch.rand(len(relation), generator=generator, dtype=torch.float64)
        place = (uniform * self.sizes[relation]).long()
        return self.entities[self.starts[relation] + place]
