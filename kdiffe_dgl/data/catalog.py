"""Data sets that can be fetched: what they are, their terms, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kdiffe_dgl.errors import InputError
from kg_builders.config import nearest

__all__ = ["CATALOG", "CatalogEntry", "catalog_entry"]


@dataclass(frozen=True)
class CatalogEntry:
    """A data set inside a published Python package.

    Parameters
    ----------
    name
        Name on the command line.
    title
        One line for people.
    terms
        Under what conditions the data may be used, and where that is written.
    requirement
        What pip is asked for: one exact version.
    wheel
        File name of the wheel.
    sha256
        Of the wheel, as published on PyPI.
    files
        Path inside the wheel -> file name in the raw folder.
    item_label
        How the fields of ``.item`` make a label.
    text
        Fields of ``.item`` that make the text modality.
    recipe
        What the knowledge graph is made of: a ``kg_builders`` recipe for the raw folder.
    keep
        Raw files that are kept beside the data set, so that its graph can be built anew.
    """

    name: str
    title: str
    terms: str
    requirement: str
    wheel: str
    sha256: str
    files: dict[str, str] = field(default_factory=dict)
    item_label: str | None = None
    text: tuple[str, ...] = ()
    recipe: dict[str, Any] | None = None
    keep: tuple[str, ...] = ()


_ML_100K = CatalogEntry(
    name="ml-100k",
    title="MovieLens 100K: 100,000 ratings of 1,682 films by 943 people, with Freebase triples",
    terms=(
        "MovieLens 100K is by the GroupLens Research Project, University of Minnesota. It may be used for "
        "research, with acknowledgement (Harper and Konstan 2015, The MovieLens Datasets: History and "
        "Context, doi:10.1145/2827872). It may not be used for commercial or revenue-bearing purposes "
        "without permission, nor passed on without it. Terms: "
        "https://files.grouplens.org/datasets/movielens/ml-100k-README.txt. The files are those in the "
        "RecBole 1.2.1 wheel (MIT licence); the triples come from Freebase (CC BY)."
    ),
    requirement="recbole==1.2.1",
    wheel="recbole-1.2.1-py3-none-any.whl",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    files={
        f"recbole/dataset_example/ml-100k/ml-100k.{suffix}": f"ml-100k.{suffix}"
        for suffix in ("inter", "item", "user", "kg", "link")
    },
    item_label="{movie_title} ({release_year})",
    text=("movie_title", "release_year", "class"),
    recipe={
        "source": {"kind": "recbole", "path": "ml-100k.item"},
        "rules": "ml-100k",
        "external": [
            {"kind": "recbole", "triples": "ml-100k.kg", "links": "ml-100k.link", "entity": "freebase"}
        ],
        # An entity that touches one item alone says nothing about any other item.
        "prune": {"k_core": 2},
    },
    keep=("ml-100k.item", "ml-100k.kg", "ml-100k.link"),
)

CATALOG = {entry.name: entry for entry in (_ML_100K,)}
"""Name -> entry of every data set that can be fetched."""


def catalog_entry(name: str) -> CatalogEntry:
    """Look a data set up by name.

    Raises
    ------
    InputError
        If there is none of that name; the nearest is offered.
    """
    if name not in CATALOG:
        raise InputError(f"data set {name!r} can't be fetched{nearest(name, CATALOG)}")
    return CATALOG[name]
