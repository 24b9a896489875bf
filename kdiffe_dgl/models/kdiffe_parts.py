"""The parts of KDiffE, built from its settings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.candidates import two_hop
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.graph.hetero import KnowledgeEdges
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig
from kdiffe_dgl.models.knowledge import RelationalAttention
from kdiffe_dgl.models.knowledge_diffusion import KnowledgeDiffusion
from kdiffe_dgl.models.modality import ModalityViews
from kdiffe_dgl.models.modality_diffusion import ModalityDiffusion
from kdiffe_dgl.models.neighbours import similar_items

__all__ = ["knowledge_diffusion", "knowledge_encoder", "modality_diffusions", "modality_views"]


def knowledge_encoder(
    config: KDiffEConfig, n_relations: int, generator: torch.Generator
) -> RelationalAttention:
    """Return the relational attention over a knowledge graph of some relations."""
    knowledge = config.knowledge
    return RelationalAttention(
        # One relation more for what diffusion proposes, where it may.
        n_relations + bool(knowledge.candidates),
        config.dim,
        knowledge.layers,
        knowledge.residual,
        knowledge.dropout,
        generator,
        knowledge.normalise,
    )


def knowledge_diffusion(
    config: KDiffEConfig,
    dataset: RecDataset,
    edges: KnowledgeEdges,
    interactions: sp.csr_matrix,
    n_entities: int,
    generator: torch.Generator,
    device: torch.device,
) -> KnowledgeDiffusion:
    """Return the diffusion over the rows of a knowledge graph.

    Parameters
    ----------
    config
        Settings of the model.
    dataset
        Its features may say which items are neighbours.
    edges
        The knowledge graph, inverses included.
    interactions
        In training, 0 or 1, ``[users, items]``.
    n_entities
        Number of entities, items included.
    generator, device
        Source of the initial weights, and where to compute.
    """
    neighbours = None
    if "neighbours" in config.knowledge.candidates and dataset.features:
        neighbours = similar_items(dataset.features.values(), config.neighbours, n_entities).to(device)
    return KnowledgeDiffusion(
        edges, interactions, n_entities, config.knowledge, config.dim, generator, device, neighbours
    )


def modality_views(
    config: KDiffEConfig, features: Mapping[str, Tensor], generator: torch.Generator
) -> ModalityViews:
    """Return the views of features, ``[items, width]`` for each modality."""
    modality = config.modality
    return ModalityViews(
        features,
        config.dim,
        modality.projection,
        config.layers,
        modality.adjacency_weight,
        modality.residual,
        modality.dropout,
        generator,
        modality.gated,
    )


def modality_diffusions(
    config: KDiffEConfig,
    features: Mapping[str, Tensor],
    interactions: sp.csr_matrix,
    generator: torch.Generator,
) -> dict[str, ModalityDiffusion]:
    """Return the diffusion over the users' rows for each modality, where its features are.

    Parameters
    ----------
    config
        Settings of the model.
    features
        ``[items, width]`` for each modality, on one device.
    interactions
        In training, 0 or 1, ``[users, items]``.
    generator
        Source of the initial weights.
    """
    modality, pairs = config.modality, interactions.tocoo()
    users, items = (torch.from_numpy(ends.astype(np.int64)) for ends in (pairs.row, pairs.col))
    rows = SparseRows.from_pairs(users, items, *interactions.shape)
    # Items two hops away are the same for all modalities.
    near = [two_hop(rows, modality.proposals)] if "two_hop" in modality.candidates else []
    return {
        name: ModalityDiffusion(
            rows, table, near, modality, config.neighbours, config.dim, generator, table.device
        )
        for name, table in features.items()
    }
