r"""What a denoiser says of edges that it was not shown.

A denoiser that is given an edge gives it back, true or false: :math:`\hat x_0` at a row's own edges says
mostly what it was told. So the pairs of an adjacency are dealt out into parts, and each part is judged by
rows that were regenerated without it: from a row's other edges and its context alone, does the edge follow?
(Held-out entries of a matrix, predicted from the rest, are what Owen and Perry choose ranks by:
*Bi-cross-validation of the SVD and the nonnegative matrix factorization*, Ann. Appl. Stat. 2009. Here they
are left out of the input of one network, whose training hides edges from it likewise: ``dropout``.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdiffe_dgl.diffusion.products import ReverseProducts
from kdiffe_dgl.diffusion.regenerate import pair_keys
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.trainer import GraphDiffusion

__all__ = ["held_out_evidence"]

PARTS = 2
"""Parts that the pairs are dealt out into: with two, half of a row is hidden, as by a dropout of a half."""

LEAST = 1e-4
"""Least value that a logarithm is taken of: what is reconstructed as absent may be negative."""


@torch.no_grad()
def held_out_evidence(
    diffusion: GraphDiffusion,
    head: Tensor,
    tail: Tensor,
    context: Tensor | None,
    generator: torch.Generator,
    block: int = 8192,
) -> Tensor:
    r"""Regenerate every edge from rows that lack it.

    Parameters
    ----------
    diffusion
        Diffusion over the rows of a symmetric adjacency that holds the edges in both directions.
    head, tail
        The edges, int64 ``[edges]`` each; those of the same two entities are hidden together.
    context
        Condition of every row, ``[rows, context_dim]``, which must know nothing of the edges either.
    generator
        Deals out the pairs, and is the source of sampling noise, where there is any.
    block
        Rows regenerated at once.

    Returns
    -------
    Tensor
        float32 ``[edges, 4]``, logarithms of :math:`\hat x_0` at the edge in the row of the head and in that
        of the tail, and of the mean over the judged rows in the column of the tail and in that of the head:
        what is likely for this row, and what is for any.
    """
    net, size = diffusion.denoiser, diffusion.matrix.width
    keys, of_edge = pair_keys(head, tail, size).unique(return_inverse=True)
    part = torch.randperm(len(keys), generator=generator, device=keys.device) % PARTS
    first, second = torch.div(keys, size, rounding_mode="floor"), keys % size
    products = ReverseProducts.of(net, diffusion.config.sampling_noise_steps > 0)
    found = net.output.new_empty((len(keys), 2))
    total, n_rows = net.output.new_zeros(net.hidden), 0
    for number in range(PARTS):
        hidden = torch.nonzero(part == number).squeeze(1)
        left = torch.nonzero(part != number).squeeze(1)
        shown = _both_ways(first[left], second[left], size)
        wanted = _both_ways(first[hidden], second[hidden], size)
        values = []
        for rows in wanted.occupied().split(block):
            activation = diffusion.process.reverse(
                shown, rows, context, diffusion.config.sampling_noise_steps, generator, products
            )
            total += activation.sum(dim=0)
            n_rows += len(rows)
            values.append(net.decode_at(activation, wanted.batch(rows)))
        if not values:
            continue
        at, value = wanted.coordinates(), torch.cat(values)
        place = at[0] * size + at[1]
        for side, (row, column) in enumerate(((first, second), (second, first))):
            found[hidden, side] = value[torch.searchsorted(place, row[hidden] * size + column[hidden])]
    usual = net.decode((total / max(1, n_rows)).unsqueeze(0)).squeeze(0)
    # A pair's first end is the lesser entity, which may be the tail.
    swapped = head > tail
    own = found[of_edge]
    own[swapped] = own[swapped].flip(1)
    return torch.cat([own, torch.stack([usual[tail], usual[head]], dim=1)], dim=1).clamp(min=LEAST).log()


def _both_ways(first: Tensor, second: Tensor, size: int) -> SparseRows:
    return SparseRows.from_pairs(torch.cat([first, second]), torch.cat([second, first]), size, size)
