"""One adjacency with its denoiser and optimiser: trains an epoch, then scores edges."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.diffusion.denoiser import Conditioning, FactorisedDenoiser
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.process import DiffusionProcess, Weighting
from kdiffe_dgl.diffusion.products import ReverseProducts
from kdiffe_dgl.diffusion.regenerate import top_of_blocks, top_order
from kdiffe_dgl.diffusion.rows import RowBatch, SparseRows
from kdiffe_dgl.diffusion.schedule import LinearVarianceSchedule
from kdiffe_dgl.diffusion.step import accumulate
from kdiffe_dgl.optimiser import adam
from kdiffe_dgl.search import Between, Choices, SearchSpace

__all__ = ["DiffusionConfig", "GraphDiffusion"]


class DiffusionConfig(Component):
    """Settings of a diffusion process and its denoiser."""

    SEARCH: ClassVar[SearchSpace] = {
        "steps": Choices((5, 10, 20)),
        "dropout": Between(0.05, 0.6),
        "guidance": Between(0.0, 1.0),
    }

    steps: int = Field(10, ge=1)
    """Timesteps T."""
    noise_scale: float = Field(0.1, gt=0)
    """Noise scale s."""
    noise_min: float = Field(1e-4, gt=0)
    """Least variance before scaling."""
    noise_max: float = Field(0.02, gt=0)
    """Greatest variance before scaling."""
    sampling_noise_steps: int = Field(0, ge=0)
    """Noise steps T' put on the rows before the reverse process; 0 as published."""
    hidden: int = Field(256, ge=1)
    """Hidden units of the denoiser; the paper has 1000."""
    time_dim: int = Field(10, ge=2)
    """Width of the time embedding."""
    conditioning: Conditioning = "vector"
    """How a row's collaborative context enters the denoiser; the paper adds a scalar."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of observed edges hidden from the denoiser in training."""
    guidance: float = Field(0.5, ge=0)
    """Weight λ of the guidance penalty."""
    weighting: Weighting = "snr"
    """What an error counts: by the signal-to-noise ratio of its timestep (paper), or in all timesteps alike
    and divided by the root of the row's number of edges, so that no row outweighs all others."""
    learning_rate: float = Field(1e-3, gt=0)
    """Step size of the denoiser's own optimiser."""
    batch_size: int = Field(2048, ge=1)
    """Rows a step, where ``min_steps`` and ``max_steps`` allow."""
    min_steps: int = Field(1, ge=1)
    """Least steps a pass over the rows: of a small graph they get smaller batches."""
    max_steps: int = Field(32, ge=1)
    """Most steps a pass over the rows. A step costs a pass over all columns beside its rows, so that on
    a large graph the batches grow, and the time of an epoch with the edges, not with their square."""
    epochs: int = Field(1, ge=1)
    """Passes over the rows for each epoch of the recommender."""

    @model_validator(mode="after")
    def _some_number_of_steps(self) -> DiffusionConfig:
        if self.min_steps > self.max_steps:
            raise ValueError(f"min_steps of at most max_steps, {self.max_steps}")
        return self

    @model_validator(mode="after")
    def _noise_steps_exist(self) -> DiffusionConfig:
        if self.sampling_noise_steps > self.steps:
            raise ValueError(f"sampling_noise_steps of at most steps, {self.steps}")
        return self


class GraphDiffusion(nn.Module):
    """Guided diffusion over the rows of one adjacency (KDiffE, guided diffusion).

    Parameters
    ----------
    matrix
        Binary adjacency whose rows are x_0.
    config
        Settings.
    context_dim
        Width of the condition of a row.
    generator
        Source of the initial weights (on the CPU).
    device
        Where to compute.
    """

    def __init__(
        self,
        matrix: SparseRows,
        config: DiffusionConfig,
        context_dim: int,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.config = config
        self.matrix = matrix.to(device)
        self.rows = self.matrix.occupied()
        self.denoiser = FactorisedDenoiser(
            matrix.width, config.hidden, config.time_dim, context_dim, config.conditioning, generator
        ).to(device)
        schedule = LinearVarianceSchedule(
            config.steps, config.noise_scale, config.noise_min, config.noise_max
        )
        self.process = DiffusionProcess(schedule, self.denoiser, config.dropout, config.weighting)
        self.optimiser = adam(list(self.denoiser.parameters()), config.learning_rate)

    @property
    def cost(self) -> float:
        """About what an epoch takes, in the unit of any other's: what is multiplied by the hidden units."""
        return float(len(self.matrix.columns) + self.matrix.n_rows + self.matrix.width) * self.config.hidden

    def train_epoch(
        self, context: Tensor | None, guidance: LinearGuidance | None, generator: torch.Generator
    ) -> float:
        """Train the denoiser on every occupied row once, in random order.

        Parameters
        ----------
        context
            Condition of every row, ``[rows, context_dim]``, without gradient.
        guidance
            Guidance penalty for every row, without gradient.
        generator
            Source of order, timesteps, noise and dropout.

        Returns
        -------
        float
            Mean loss of a row.
        """
        total, device = torch.zeros((), device=self.rows.device), self.rows.device
        config, n_rows = self.config, len(self.rows)
        size = min(config.batch_size, -(-n_rows // config.min_steps))
        size = max(1, size, -(-n_rows // config.max_steps))
        for _ in range(self.config.epochs):
            order = self.rows[torch.randperm(len(self.rows), generator=generator, device=device)]
            for rows in order.split(size):
                total += self._step(rows, context, guidance, generator) * len(rows)
        return float(total) / max(1, len(self.rows) * self.config.epochs)

    def _step(
        self,
        rows: Tensor,
        context: Tensor | None,
        guidance: LinearGuidance | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Take one step of the optimiser on some rows and return their mean loss."""
        net, optimiser = self.denoiser, self.optimiser
        timesteps = torch.randint(self.config.steps, (len(rows),), generator=generator, device=rows.device)
        optimiser.zero_grad(set_to_none=True)
        found = accumulate(
            self.process, self.matrix, rows, timesteps, context, guidance, self.config.guidance, generator
        )
        # One wide matrix after the other: Adam leaves out what has no gradient, so that there is never
        # more than one array of gradients of that size.
        net.output.grad, net.output_bias.grad = found.of_output()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        net.input.grad = found.of_input()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return found.loss

    @torch.no_grad()
    def score_edges(
        self,
        rows: Tensor,
        columns: Tensor,
        context: Tensor | None,
        generator: torch.Generator,
        block: int = 8192,
    ) -> Tensor:
        """Score candidate edges by the regenerated rows.

        Parameters
        ----------
        rows, columns
            Candidate edges, int64 ``[edges]`` each, rows ascending.
        context
            Condition of every row, ``[rows, context_dim]``.
        generator
            Source of sampling noise, where there is any.
        block
            Rows regenerated at once.

        Returns
        -------
        Tensor
            x̂_0 at the candidates, ``[edges]``.
        """
        distinct, counts = torch.unique_consecutive(rows, return_counts=True)
        wanted = RowBatch(columns, torch.cumsum(counts, 0) - counts, counts)
        parts = [columns.new_zeros(0, dtype=self.denoiser.output.dtype)]
        products = self._products()
        for start in range(0, len(distinct), block):
            own = distinct[start : start + block]
            activation = self._reverse(own, context, generator, products)
            parts.append(self.denoiser.decode_at(activation, wanted.part(start, start + len(own))))
        return torch.cat(parts)

    @torch.no_grad()
    def top_among(
        self,
        candidates: SparseRows,
        k: int | Tensor,
        context: Tensor | None,
        generator: torch.Generator,
        block: int = 8192,
    ) -> tuple[Tensor, Tensor]:
        """Return the k best columns of every row among its candidates.

        Parameters
        ----------
        candidates
            Candidate edges, for instance the known ones and proposals: ``candidates.edges`` of
            :func:`kdiffe_dgl.diffusion.candidates.unite`.
        k
            Columns to keep a row; or for each row how many, int64 ``[rows]``.
        context
            Condition of every row, ``[rows, context_dim]``.
        generator
            Source of sampling noise, where there is any.
        block
            Rows regenerated and scored at once.

        Returns
        -------
        tuple of Tensor
            Rows, ascending, and columns of the kept edges, int64 ``[kept]`` each. Within a row the best
            comes first, of equal scores the lower column; a row with fewer candidates keeps them all.
        """
        kept: list[tuple[Tensor, Tensor]] = []
        products = self._products()
        for rows in candidates.occupied().split(block):
            activation = self._reverse(rows, context, generator, products)
            part = candidates.batch(rows)
            local = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), part.counts)
            scores = self.denoiser.decode_at(activation, part)
            best = top_order(local, part.columns, scores, k[rows] if isinstance(k, Tensor) else k)
            kept.append((rows[local[best]], part.columns[best]))
        if not kept:
            return self.rows.new_zeros(0), self.rows.new_zeros(0)
        return torch.cat([rows for rows, _ in kept]), torch.cat([columns for _, columns in kept])

    @torch.no_grad()
    def top_columns(
        self, k: int, context: Tensor | None, generator: torch.Generator, block: int = 2048
    ) -> tuple[Tensor, Tensor]:
        """Return the k best columns of every occupied row among all columns.

        The time is that of rows times columns; for wide rows see :meth:`top_among`.

        Parameters
        ----------
        k
            Columns to keep a row.
        context
            Condition of every row, ``[rows, context_dim]``.
        generator
            Source of sampling noise, where there is any.
        block
            Rows regenerated at once; so many of their columns are decoded at once that memory is
            bounded.

        Returns
        -------
        tuple of Tensor
            Rows and columns of the kept edges, int64 ``[occupied * k]`` each; of every row the best
            first, of equal scores the lower column.
        """
        k = min(k, self.matrix.width)
        kept = []
        products = self._products()
        for rows in self.rows.split(block):
            activation = self._reverse(rows, context, generator, products)
            kept.append(top_of_blocks(self.denoiser.decode_blocks(activation), k))
        columns = torch.cat(kept) if kept else self.rows.new_zeros((0, k))
        return self.rows.repeat_interleave(k), columns.flatten()

    def _products(self) -> ReverseProducts:
        """Return what the reverse process needs of all columns, for as long as nothing is trained."""
        return ReverseProducts.of(self.denoiser, self.config.sampling_noise_steps > 0)

    def _reverse(
        self, rows: Tensor, context: Tensor | None, generator: torch.Generator, products: ReverseProducts
    ) -> Tensor:
        steps = self.config.sampling_noise_steps
        return self.process.reverse(self.matrix, rows, context, steps, generator, products)
