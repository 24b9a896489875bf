"""What to show of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.inspection.maps import Projection

__all__ = ["InspectionOptions"]


@dataclass(frozen=True)
class InspectionOptions:
    """What to show of a run.

    Parameters
    ----------
    colour_by
        Relation or entity that colours the map of the items, see
        :func:`kdiffe_dgl.inspection.maps.choose_colouring`; null: chosen by the data.
    projection
        How the items come into the plane: ``pca`` or ``tsne``.
    users
        Original ids of the users whose lists are shown; empty: one with a short history, one of middling
        length, and one with a long one.
    k
        Items of a list.
    top
        Entities that are told of those most strengthened, and as many of those most weakened.
    pictures
        Folder of pictures named by item ids; null: none.
    most_points
        Items on the map, and users and items in the plot of attention; of more, as many are drawn.
    compared_users
        Users whose lists are compared where a part of the model is taken away.
    seed
        Of the draws, and of t-SNE.

    Raises
    ------
    InputError
        If a number is too small, or the projection is unknown.
    """

    colour_by: str | None = None
    projection: Projection = "pca"
    users: tuple[str, ...] = ()
    k: int = 10
    top: int = 10
    pictures: Path | None = None
    most_points: int = 2000
    compared_users: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("top", 1), ("most_points", 3), ("compared_users", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"inspect: {name} is {getattr(self, name)}; expected at least {least}")
        if self.seed >= 2**32:
            raise InputError(
                f"inspect: seed is {self.seed}; expected less than 2^32, as scikit-learn takes it"
            )
        if self.projection not in get_args(Projection):
            expected = " or ".join(get_args(Projection))
            raise InputError(f"inspect: projection is {self.projection!r}; expected {expected}")
