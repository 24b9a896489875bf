"""The edges that diffusion made, as named tensors that a run folder keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from kdiffe_dgl.graph.views import require_edges
from kdiffe_dgl.models.knowledge_diffusion import Regenerated

__all__ = ["pack", "unpack_knowledge", "unpack_modality"]

State = Mapping[str, Tensor]


def pack(
    regenerated: Regenerated | None, generated: Sequence[tuple[Tensor, Tensor] | None]
) -> dict[str, Tensor]:
    """Return the regenerated knowledge graph, and users and items of the graph of each modality."""
    state = {}
    if regenerated is not None:
        state = {
            "knowledge/kept": regenerated.kept,
            "knowledge/head": regenerated.head,
            "knowledge/tail": regenerated.tail,
        }
    # By position: names of modalities may hold anything.
    for number, edges in enumerate(generated):
        if edges is not None:
            state[f"modality/{number}/users"], state[f"modality/{number}/items"] = edges
    return state


def unpack_knowledge(state: State, n_edges: int, n_entities: int) -> Regenerated:
    """Return the regenerated knowledge graph of a graph with so many edges and entities.

    Raises
    ------
    ValueError
        If it is not there, or of another graph.
    """
    kept, head, tail = (_part(state, f"knowledge/{part}") for part in ("kept", "head", "tail"))
    if kept.shape != (n_edges,):
        raise ValueError(f"graphs of {len(kept)} edges; expected {n_edges}")
    require_edges(head, tail, n_entities, n_entities)
    return Regenerated(kept, head, tail)


def unpack_modality(state: State, number: int, n_users: int, n_items: int) -> tuple[Tensor, Tensor]:
    """Return users and items of the graph of a modality, by its place.

    Raises
    ------
    ValueError
        If it is not there, or leads beyond these users and items.
    """
    users, items = (_part(state, f"modality/{number}/{side}") for side in ("users", "items"))
    require_edges(users, items, n_users, n_items)
    return users, items


def _part(state: State, name: str) -> Tensor:
    if name not in state:
        raise ValueError(f"graphs without {name}")
    return state[name]
