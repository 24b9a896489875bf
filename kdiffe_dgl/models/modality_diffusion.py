"""Diffusion over the user-item graph for one modality: the items that it generates for every user."""

from __future__ import annotations

import torch
from torch import Tensor

from kdiffe_dgl.diffusion.candidates import from_neighbours, unite
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.regenerate import top_order
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.trainer import GraphDiffusion
from kdiffe_dgl.models.kdiffe_config import ModalityConfig
from kdiffe_dgl.models.neighbours import similar_items

__all__ = ["ModalityDiffusion"]


class ModalityDiffusion(GraphDiffusion):
    """Guided diffusion over users' rows, guided by one modality's features (KDiffE, guided diffusion).

    Parameters
    ----------
    interactions
        Training interactions, ``[users, items]``.
    features
        Raw features of the modality, ``[items, width]``.
    near
        Items that may be proposed to a user whatever the modality, ``[users, items]``.
    config
        Settings.
    neighbours
        Most similar items of an item, where proposals come from them.
    context_dim
        Embedding size.
    generator
        Source of the initial weights (on the CPU).
    device
        Where to compute.
    """

    def __init__(
        self,
        interactions: SparseRows,
        features: Tensor,
        near: list[SparseRows],
        config: ModalityConfig,
        neighbours: int,
        context_dim: int,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        super().__init__(interactions, config.diffusion, context_dim, generator, device)
        self._top, self._selection = config.top, config.selection
        proposals = [*near]
        if "neighbours" in config.candidates:
            similar = similar_items([features.cpu().numpy()], neighbours)
            proposals.append(from_neighbours(interactions, similar, config.proposals, of="columns"))
        self._candidates = unite(interactions, *proposals).edges.to(device) if proposals else None

    def train_epoch(
        self, context: Tensor | None, guidance: LinearGuidance | None, generator: torch.Generator
    ) -> float:
        """Train the denoiser, unless generation does not ask it, and return the mean loss of a row, or 0."""
        if self._selection != "scored":
            return 0.0
        return super().train_epoch(context, guidance, generator)

    def generate(self, context: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the user-item edges that diffusion generates, int64 ``[edges]`` each.

        They are the best of a user's candidates, where there are sources of candidates, else of all items;
        or, as controls, as many of these at random, or the user's own items.

        Parameters
        ----------
        context
            Collaborative context of every user, ``[users, dim]``.
        generator
            Source of sampling noise, where there is any.
        """
        if self._selection == "all":
            return self.matrix.coordinates()
        if self._selection == "random":
            return self._random(generator)
        if self._candidates is None:
            return self.top_columns(self._top, context, generator)
        return self.top_among(self._candidates, self._top, context, generator)

    def _random(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return as many items of each user, drawn at random from those that may be generated."""
        device = self.rows.device
        if self._candidates is None:
            k = min(self._top, self.matrix.width)
            drawn = [
                torch.rand(len(rows), self.matrix.width, generator=generator, device=device).topk(k).indices
                for rows in self.rows.split(2048)
            ]
            return self.rows.repeat_interleave(k), torch.cat(drawn).flatten()
        rows, columns = self._candidates.coordinates()
        scores = torch.rand(len(rows), generator=generator, device=device)
        best = top_order(rows, columns, scores, self._top)
        return rows[best], columns[best]
