"""Guidance: what a regenerated row should mean for the recommendation task."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["LinearGuidance", "guidance_penalty"]


@dataclass(frozen=True)
class LinearGuidance:
    r"""Penalty :math:`\|\hat x_0 G - g\|^2`, averaged over the components, for every row.

    Both guidances of KDiffE have this form:

    * collaborative, for a KG row of entity h: G holds the collaborative context of every entity (for
      an item the user embeddings aggregated over the interactions), g is the embedding of h;
    * modality, for a user row: G holds the projected features of the items, g the sum of the
      embeddings of the items the user has interacted with.

    Attributes
    ----------
    basis
        G, ``[width, dim]``.
    target
        g of each row, ``[rows, dim]``; indexed by the rows of a batch.
    """

    basis: Tensor
    target: Tensor


def guidance_penalty(activation: Tensor, guided: Tensor, guided_bias: Tensor, target: Tensor) -> Tensor:
    r"""Return :math:`\|y (V^T G) + b^T G - g\|^2`, averaged over the components, ``[batch]``.

    Parameters
    ----------
    activation
        y, ``[batch, hidden]``.
    guided, guided_bias
        :math:`V^T G`, ``[hidden, dim]``, and :math:`b^T G`, ``[dim]``.
    target
        g of each row of the batch, ``[batch, dim]``.
    """
    return (activation @ guided + guided_bias - target).square().mean(dim=1)
