r"""One optimiser step over any number of rows, without a graph of autograd over the wide matrices.

The loss is a function of small products of the parameters (:class:`LossProducts`) and of sums over the
non-zeros of each row. So the rows go through it in chunks, each of which is differentiated at once with
respect to these; what they add up to is carried over to W, V and b by one product each:

.. math:: \nabla_V = X^T \nabla_{XV} + V (\nabla_{\Gamma} + \nabla_{\Gamma}^T) + b \nabla_{V^T b}^T
          + G \nabla_{V^T G}^T, \quad \Gamma = V^T V,

and likewise for W and b. It is the same gradient as that of :meth:`DiffusionProcess.loss`, in one array of
the size of V and, once that is used, one of the size of W.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.process import DiffusionProcess, RowSums
from kdiffe_dgl.diffusion.products import LossProducts, covariance_root, draw_noise, is_own_root
from kdiffe_dgl.diffusion.rows import RowBatch, SparseRows

__all__ = ["CHUNK_ENTRIES", "StepGradient", "accumulate"]

CHUNK_ENTRIES = 1 << 21
"""Most entries of an array of activations, ``[rows, hidden]``: 8 MB; longer batches are cut into chunks."""


@dataclass(frozen=True)
class StepGradient:
    """What the rows of a step add up to, from which the gradients of the wide matrices follow.

    Attributes
    ----------
    loss
        Mean over the rows.
    process, guidance
        As given to :func:`accumulate`.
    by_column
        The rows of the step as columns, ``[width]``.
    edge_weights
        Weight of each of its non-zeros in the input; null without dropout.
    sums
        Gradients with respect to the sums of each row (its ``counts`` are of no use).
    products
        Products of the parameters, with the gradient of each.
    covariance
        :math:`W W^T` with its gradient; null where W is the root of its own noise.
    """

    loss: Tensor
    process: DiffusionProcess
    guidance: LinearGuidance | None
    by_column: RowBatch
    edge_weights: Tensor | None
    sums: RowSums
    products: LossProducts
    covariance: Tensor | None

    @torch.no_grad()
    def of_output(self) -> tuple[Tensor, Tensor]:
        """Return the gradients of V ``[width, hidden]`` and of b ``[width]``."""
        net, products = self.process.denoiser, self.products
        output = self.by_column.sum_of(self.sums.output)
        bias = self.by_column.sum_of(self.sums.bias.unsqueeze(1)).squeeze(1)
        gram = _gradient(products.gram)
        output.addmm_(net.output, gram + gram.t())
        output.addr_(net.output_bias, _gradient(products.bias_output))
        bias.addmv_(net.output, _gradient(products.bias_output))
        bias.add_(2 * net.output_bias * _gradient(products.bias_square))
        if self.guidance is not None and products.guided is not None and products.guided_bias is not None:
            output.addmm_(self.guidance.basis, _gradient(products.guided).t())
            bias.addmv_(self.guidance.basis, _gradient(products.guided_bias))
        return output, bias

    @torch.no_grad()
    def of_input(self) -> Tensor:
        """Return the gradient of W transposed, ``[width, hidden]``."""
        net, products = self.process.denoiser, self.products
        gradient = self.by_column.sum_of(self.sums.input, self.edge_weights)
        if self.covariance is None:
            gradient.add_(_gradient(products.root))
        else:
            covariance = _gradient(self.covariance)
            gradient.addmm_(net.input, covariance + covariance.t())
        if products.column_sum is not None:
            gradient.add_(_gradient(products.column_sum))
        return gradient


def accumulate(
    process: DiffusionProcess,
    matrix: SparseRows,
    rows: Tensor,
    timesteps: Tensor,
    context: Tensor | None,
    guidance: LinearGuidance | None,
    weight: float,
    generator: torch.Generator,
    chunk: int | None = None,
) -> StepGradient:
    r"""Differentiate the mean of reconstruction error + weight · penalty over some rows.

    The gradients of the small parameters (time, context and biases of the hidden layer) are added to
    their ``grad``; those of W, V and b follow from what is returned, before a parameter changes.

    Parameters
    ----------
    process
        Process whose denoiser is trained.
    matrix, rows, timesteps, context, guidance, generator
        As for :meth:`DiffusionProcess.loss`; context and guidance without gradient.
    weight
        Weight λ of the guidance penalty.
    chunk
        Rows differentiated at once; by default as many as :data:`CHUNK_ENTRIES` allows.

    Returns
    -------
    StepGradient
        With the loss.
    """
    net = process.denoiser
    chunk = chunk or max(1, CHUNK_ENTRIES // net.hidden)
    covariance, root = None, net.input.detach()
    if not is_own_root(net.input):
        covariance = (root.t() @ root).requires_grad_()
        root = covariance_root(covariance)
    with torch.no_grad():
        products = LossProducts.of(net, guidance, root).leaves()
    clean = matrix.batch(rows)
    weights: list[Tensor] = []
    gradients = RowSums(
        net.input.new_empty(len(rows), net.hidden),
        net.input.new_empty(len(rows), net.hidden),
        net.input.new_empty(len(rows)),
        clean.counts,
    )
    total = net.input.new_zeros(())
    for start in range(0, len(rows), chunk):
        own = slice(start, min(start + chunk, len(rows)))
        part = clean.part(own.start, own.stop)
        noise = draw_noise(products.root, len(part.counts), generator)
        hidden = process.edge_weights(part, generator)
        if hidden is not None:
            weights.append(hidden)
        with torch.no_grad():
            sums = RowSums.of(net, part, hidden)
        for leaf in (sums.input, sums.output, sums.bias):
            leaf.requires_grad_()
        reconstruction, penalty = process.loss_of(
            sums,
            products,
            timesteps[own],
            None if context is None else context[rows[own]],
            None if guidance is None else guidance.target[rows[own]],
            noise,
        )
        loss = (reconstruction + weight * penalty).sum() / len(rows)
        loss.backward()
        total += loss.detach()
        gradients.input[own] = _gradient(sums.input)
        gradients.output[own] = _gradient(sums.output)
        gradients.bias[own] = _gradient(sums.bias)
    if covariance is not None:
        root.backward(_gradient(products.root))
    by_column, order = clean.transposed(net.width)
    by_edge = torch.cat(weights)[order] if weights else None
    return StepGradient(total, process, guidance, by_column, by_edge, gradients, products, covariance)


def _gradient(leaf: Tensor) -> Tensor:
    """Return what has been collected at a leaf; zeros where nothing has."""
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
