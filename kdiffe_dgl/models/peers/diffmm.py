"""DiffMM: a user-item graph for each modality, made by guided diffusion in every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdiffe_dgl.config import Component, Layers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.trainer import DiffusionConfig, GraphDiffusion
from kdiffe_dgl.graph.bipartite import BipartiteOperator
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency
from kdiffe_dgl.graph.views import interaction_view, view_operator
from kdiffe_dgl.models.base import EpochLog
from kdiffe_dgl.models.modality import ModalityViews, Projection
from kdiffe_dgl.models.pairwise import PairwiseConfig, PairwiseModel
from kdiffe_dgl.models.peers.item_features import FeatureConfig, ItemFeatures
from kdiffe_dgl.search import Between, Choices, SearchSpace
from kdiffe_dgl.training.losses import bpr_loss, contrast_nodes, squared_norm

__all__ = ["DiffMM", "DiffMMConfig"]

View = tuple[Tensor, Tensor]


class DiffMMConfig(PairwiseConfig):
    """Settings of DiffMM."""

    SEARCH: ClassVar[SearchSpace] = {
        "layers": Between(1, 3),
        "adjacency_weight": Between(0.0, 0.6),
        "residual": Between(0.0, 1.0),
        "top": Between(1, 10),
        "contrast_weight": Between(1e-3, 0.3, log=True),
        "contrast_main": Choices((True, False)),
        "temperature": Between(0.1, 1.0, log=True),
    }

    layers: Layers = 1
    """Propagation layers."""
    projection: Projection = "linear"
    """How features are projected: ``linear``, or ``matrix`` with a leaky rectifier."""
    adjacency_weight: float = Field(0.2, ge=0)
    """Weight of what comes over the generated graphs."""
    residual: float = Field(0.5, ge=0)
    """Weight of the normalised fusion of the modalities."""
    top: int = Field(5, ge=1)
    """Items that diffusion keeps of each user."""
    contrast_weight: float = Field(0.01, ge=0)
    """Weight of the contrast."""
    contrast_main: bool = True
    """Whether the modalities are contrasted with the representations, rather than with each other."""
    temperature: float = Field(0.5, gt=0)
    """Temperature of the contrast."""
    regularisation: float = Field(1e-4, ge=0)
    """Weight of the squared norm of all embeddings."""
    diffusion: DiffusionConfig = DiffusionConfig(
        steps=5, hidden=1000, conditioning="none", dropout=0.5, guidance=0.1, batch_size=1024
    )
    """The diffusion process, its denoiser and the weight of its guidance."""


class DiffMM(PairwiseModel):
    r"""Multi-modal diffusion for recommendation.

    - *Multi-modal graph diffusion*: rows of the interactions are noised and restored, for each modality m
      by a denoiser of its own, which is guided to :math:`\|\hat x_0 P_m - x_0 I\|^2` (modality-aware
      signal injection), where P_m are projected features and I the embeddings of items. Each epoch, after
      its training, the ``top`` items of each restored row are the edges of the generated graph :math:`G_m`.
    - *Multi-modal graph aggregation*: :meth:`kdiffe_dgl.models.modality.ModalityViews.multimodal`; what it
      returns are the representations.
    - *Cross-modal contrastive augmentation*: :math:`z_m` is that of
      :meth:`kdiffe_dgl.models.modality.ModalityViews.contrastive`; InfoNCE with all nodes as negatives,
      of the representations against each z_m or of each two z_m against each other.

    Source: Jiang, Xia, Wei, Luo, Lin, Huang, *DiffMM: Multi-Modal Diffusion Model for Recommendation*, MM
    2024, and the authors' code, whose settings for TikTok are the defaults. KDiffE is built on this model:
    the parts are the same in our code.

    Differs: any number of modalities; guidance reads features whose rows have length 1; all edges of the
    generated graphs are used, where the authors draw half of them, for tests as well; the denoiser is that
    of :class:`~kdiffe_dgl.diffusion.trainer.GraphDiffusion`, which computes the published loss without
    wide rows.
    """

    name: ClassVar[str] = "diffmm"
    Config: ClassVar[type[Component]] = DiffMMConfig
    config: DiffMMConfig

    def __init__(
        self, dataset: RecDataset, config: DiffMMConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        features = ItemFeatures(dataset, FeatureConfig(trained=False), self.name)
        self.modalities = features.modalities
        self.modality_views = ModalityViews(
            {name: table.to(device) for name, table in zip(self.modalities, features.tables, strict=True)},
            config.dim,
            config.projection,
            config.layers,
            config.adjacency_weight,
            config.residual,
            0.0,
            generator,
        )
        interactions = dataset.matrix("train")
        operator = BipartiteOperator.from_scipy(normalised_adjacency(interactions), self.n_users)
        self.operator = operator.to(device)
        self.user_sum = Propagation.from_scipy(interactions, device)
        rows = SparseRows.from_scipy(interactions)
        self.diffusions = nn.ModuleList(
            GraphDiffusion(rows, config.diffusion, config.dim, generator, device) for _ in self.modalities
        )
        self._generated: dict[str, BipartiteOperator] = {}
        self._edges: dict[str, View] = {}
        self.to(device)

    # --- diffusion -------------------------------------------------------------------------------

    def _named(self) -> dict[str, GraphDiffusion]:
        found = {}
        for name, diffusion in zip(self.modalities, self.diffusions, strict=True):
            assert isinstance(diffusion, GraphDiffusion)
            found[name] = diffusion
        return found

    def begin_epoch(self, generator: torch.Generator) -> EpochLog:
        """Train the denoisers and make the graphs of the modalities; see the base class."""
        with torch.no_grad():
            projected = self.modality_views.project(None)
            target = self.user_sum(self.item_embedding)
        log = {}
        for name, diffusion in self._named().items():
            guidance = LinearGuidance(projected[name], target)
            log[f"diffusion/{name}"] = diffusion.train_epoch(None, guidance, generator)
            self._take(name, *diffusion.top_columns(self.config.top, None, generator))
        return log

    def _take(self, name: str, users: Tensor, items: Tensor) -> None:
        self._edges[name] = users, items
        view = interaction_view(users.cpu(), items.cpu(), self.n_users, self.n_items)
        self._generated[name] = view_operator(view, self.device)

    def graph_state(self) -> dict[str, Tensor]:
        """Return the generated edges; see the base class."""
        return {
            f"{side}/{number}": ends
            for number, name in enumerate(self.modalities)
            for side, ends in zip(("users", "items"), self._edges.get(name, ()), strict=False)
        }

    def load_graph_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up generated edges; see the base class."""
        try:
            for number, name in enumerate(self.modalities):
                self._take(name, state[f"users/{number}"], state[f"items/{number}"])
        except KeyError as error:
            raise ValueError(f"graphs without {error.args[0]}") from error

    # --- views and losses ------------------------------------------------------------------------

    def _representations(self, projected: Mapping[str, Tensor]) -> View:
        return self.modality_views.multimodal(
            projected, self.user_embedding, self.item_embedding, self.operator, self._generated
        )

    def views(self) -> View:
        """Return the representations of users and items; see the base class."""
        return self._representations(self.modality_views.project(None))

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR, the contrast and the norm of all embeddings; see the base class."""
        config = self.config
        projected = self.modality_views.project(None)
        views = every_user, every_item = self._representations(projected)
        user = every_user[users]
        scores = [(user * every_item[items]).sum(dim=1) for items in (positives, negatives)]
        terms = {
            "bpr": bpr_loss(scores[0], scores[1]),
            "regularisation": config.regularisation
            * squared_norm([self.user_embedding, self.item_embedding]),
        }
        modal = [
            self.modality_views.contrastive(
                projected[name], self.user_embedding, self.operator, self._generated[name]
            )
            for name in self.modalities
        ]
        pairs = [(views, view) for view in modal] if config.contrast_main else list(combinations(modal, 2))
        contrast = [
            contrast_nodes(first[side], second[side], rows, config.temperature, "all")
            for first, second in pairs
            for side, rows in enumerate((users, positives))
        ]
        if contrast:
            terms["contrast"] = config.contrast_weight * torch.stack(contrast).sum()
        return terms

    # --- optimisers ------------------------------------------------------------------------------

    def recommender_parameters(self) -> list[nn.Parameter]:
        """Return all parameters but those of the denoisers."""
        side = {id(parameter) for parameter in self.diffusions.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in side]

    def side_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimiser of each denoiser."""
        return {name: diffusion.optimiser for name, diffusion in self._named().items()}
