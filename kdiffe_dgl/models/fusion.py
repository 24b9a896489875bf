"""Fusion: the views of a score side by side, so that one dot product of longer vectors is the score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kdiffe_dgl.models.contrast import View
from kdiffe_dgl.models.profiles import ProfileView
from kdiffe_dgl.unit_rows import unit_rows

__all__ = ["append_profiles", "fuse"]


def fuse(
    views: Sequence[View], score_weight: float, temperature: float, item_bias: Tensor | None = None
) -> View:
    r"""Return users and items whose dot product is the score of the views.

    With the main view z, the multimodal one m and its weight s, :math:`x = z \Vert \sqrt{s} m`. The score is
    :math:`x_u \cdot x_i + b_i` (KDiffE, prediction, where s is 1 and b is 0), or, with a temperature τ,
    :math:`\cos(x_u, x_i) / \tau + b_i`.

    Parameters
    ----------
    views
        Users ``[users, dim]`` and items ``[items, dim]`` of each view that speaks in the score: the main
        view, then the multimodal one, if there is one.
    score_weight
        s, of all views but the first.
    temperature
        τ; 0: the dot product.
    item_bias
        b, ``[items, 1]``; null: none.
    """
    main, *others = views
    # The factor of a dot product, shared by its two sides.
    scale = math.sqrt(score_weight)
    users, items = (
        torch.cat([main[side], *(scale * view[side] for view in others)], dim=1) for side in (0, 1)
    )
    if temperature:
        users, items = unit_rows(users) / temperature, unit_rows(items)
    if item_bias is not None:
        users = torch.cat([users, users.new_ones(len(users), 1)], dim=1)
        items = torch.cat([items, item_bias], dim=1)
    return users, items


def append_profiles(learned: View, profiles: Sequence[ProfileView]) -> View:
    """Return users and items of the learned score with the columns of profile views after their own."""
    users, items = learned
    of_users = [torch.from_numpy(view.users).to(users) for view in profiles]
    of_items = [torch.from_numpy(view.items).to(items) for view in profiles]
    return torch.cat([users, *of_users], dim=1), torch.cat([items, *of_items], dim=1)
