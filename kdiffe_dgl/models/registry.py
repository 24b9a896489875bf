"""Models by name: every subclass of the base in this package is found by its own ``name``."""

from __future__ import annotations

import difflib

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.lightgcn import LightGCN

__all__ = ["MODELS", "model_class"]

MODELS: dict[str, type[RecommenderModel]] = {cls.name: cls for cls in (KDiffE, LightGCN)}


def model_class(name: str) -> type[RecommenderModel]:
    """Return the model class of a name.

    Raises
    ------
    InputError
        If there is none; the message offers the nearest.
    """
    if name in MODELS:
        return MODELS[name]
    close = difflib.get_close_matches(name.lower(), MODELS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(sorted(MODELS))}"
    raise InputError(f"unknown model {name!r}; {hint}")
