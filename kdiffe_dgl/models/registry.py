"""Models by name: ours are imported when they are used, others' come from installed packages.

Another package offers a model by an entry point in its ``pyproject.toml``::

    [project.entry-points."kdiffe_dgl.models"]
    entity-mean = "my_package.models:EntityMean"

where the name is that of the class, ``EntityMean.name``. Once the package is installed,
``kdiffe train --model entity-mean`` trains it, and runs of it are read back as any others.
"""

from __future__ import annotations

import difflib
import inspect
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from kdiffe_dgl.config import Component
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.base import RecommenderModel

__all__ = ["GROUP", "MODELS", "model_class", "model_names"]

GROUP = "kdiffe_dgl.models"
"""Entry-point group by which a package offers models: ``name = module:Class``."""

_PEERS = "kdiffe_dgl.models.peers"

MODELS: dict[str, str | type[RecommenderModel]] = {
    "kdiffe": "kdiffe_dgl.models.kdiffe:KDiffE",
    "lightgcn": "kdiffe_dgl.models.lightgcn:LightGCN",
    "bm3": f"{_PEERS}.bm3:BM3",
    "bprmf": f"{_PEERS}.bprmf:BPRMF",
    "diffkg": f"{_PEERS}.diffkg:DiffKG",
    "diffmm": f"{_PEERS}.diffmm:DiffMM",
    "diffrec": f"{_PEERS}.diffrec:DiffRec",
    "ease": f"{_PEERS}.ease:EASE",
    "freedom": f"{_PEERS}.freedom:FREEDOM",
    "itemknn": f"{_PEERS}.itemknn:ItemKNN",
    "kgat": f"{_PEERS}.kgat:KGAT",
    "kgcl": f"{_PEERS}.kgcl:KGCL",
    "kgrec": f"{_PEERS}.kgrec:KGRec",
    "lgmrec": f"{_PEERS}.lgmrec:LGMRec",
    "mgcn": f"{_PEERS}.mgcn:MGCN",
    "mmgcn": f"{_PEERS}.mmgcn:MMGCN",
    "popularity": f"{_PEERS}.popularity:Popularity",
    "rp3beta": f"{_PEERS}.rp3beta:RP3beta",
    "sgl": f"{_PEERS}.sgl:SGL",
    "slmrec": f"{_PEERS}.slmrec:SLMRec",
    "vbpr": f"{_PEERS}.vbpr:VBPR",
}
"""Name to ``module:Class``. A script may enter a class of its own, which holds for its process."""


def model_names() -> list[str]:
    """Return the names of all models, those of other packages included, in alphabetical order."""
    return sorted({*MODELS, *_plug_ins()})


def model_class(name: str) -> type[RecommenderModel]:
    """Return the model class of a name; only its own module is imported.

    Raises
    ------
    InputError
        If there is none, and the message offers the nearest; or another package's can't be imported or
        is not a model of that name.
    """
    if name in MODELS:
        entry = MODELS[name]
        if not isinstance(entry, str):
            return entry
        module, _, attribute = entry.partition(":")
        found: type[RecommenderModel] = getattr(import_module(module), attribute)
        return found
    plug_ins = _plug_ins()
    if name in plug_ins:
        return _load(plug_ins[name])
    names = model_names()
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"
    raise InputError(f"unknown model {name!r}; {hint}")


def _load(point: EntryPoint) -> type[RecommenderModel]:
    """Import another package's model and check what would otherwise fail later, and less clearly."""
    where = f"model {point.name!r} of an installed package: {point.value}"
    try:
        found = point.load()
    except Exception as error:  # a foreign module may raise anything while it is imported
        raise InputError(
            f"{where} can't be imported ({type(error).__name__}: {error}); "
            "expected a class that its package provides"
        ) from error
    if not (isinstance(found, type) and issubclass(found, RecommenderModel)):
        raise InputError(f"{where} is no subclass of RecommenderModel; expected one")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise InputError(
            f"{where} lacks {missing}; expected a class that defines what RecommenderModel asks for"
        )
    if getattr(found, "name", None) != point.name:
        # Run folders hold the name of the class, and are read back by it.
        raise InputError(
            f"{where} has the name {getattr(found, 'name', None)!r}; expected the name of its entry point"
        )
    config = getattr(found, "Config", None)
    if not (isinstance(config, type) and issubclass(config, Component)):
        raise InputError(f"{where} has no settings; expected a class Config, derived from Component")
    return found


def _plug_ins() -> dict[str, EntryPoint]:
    # The first by name and value counts where two packages offer the same name; ours always count.
    found = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value), reverse=True)
    return {point.name: point for point in found if point.name not in MODELS}
