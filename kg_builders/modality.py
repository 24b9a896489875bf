"""Features -> knowledge: items that are near each other, and clusters of items, for each modality.

For a catalogue with features alone this is its only knowledge graph. Any number of modalities, of any
name, goes the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from kg_builders.config import StrictModel, nearest
from kg_builders.errors import InputError
from kg_builders.neighbours import mutual_pairs, nearest_neighbours, neighbour_pairs, unit_rows
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph

__all__ = ["ModalityReport", "ModalitySettings", "check_features", "modality_graph"]


class ModalitySettings(StrictModel):
    """How a modality becomes relations."""

    neighbours: int = Field(default=10, ge=0)
    """Number of nearest neighbours of an item; 0 for no such relation."""
    mutual: bool = False
    """Whether two items are related only if each is a neighbour of the other."""
    min_similarity: float = Field(default=0.0, ge=-1.0, lt=1.0)
    """Cosine that neighbours must exceed."""
    centre: bool = True
    """Whether the mean of all items is taken off first; without it, a large common part hides the rest."""
    clusters: int | None = Field(default=None, ge=0)
    """Number of clusters; 0 for no such relation; by default the square root of the number of items."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the clustering."""
    block: int = Field(default=1024, ge=1)
    """Items compared at a time."""


@dataclass(frozen=True)
class ModalityReport:
    """What a modality gave.

    Parameters
    ----------
    items, width
        Shape of the features.
    missing
        Items whose features are all zero; they have no neighbours and are in no cluster.
    plain
        Items whose features equal the mean of all; likewise.
    repeated
        Items whose features equal those of another item.
    neighbour_pairs, mean_similarity
        Number of related pairs and their mean cosine.
    clusters, largest_cluster
        Number of clusters and size of the largest.
    """

    items: int
    width: int
    missing: int
    plain: int
    repeated: int
    neighbour_pairs: int
    mean_similarity: float | None
    clusters: int
    largest_cluster: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def modality_graph(
    features: Mapping[str, np.ndarray],
    item_ids: Sequence[str],
    settings: ModalitySettings | Mapping[str, ModalitySettings] | None = None,
    labels: Sequence[str] | None = None,
) -> tuple[KnowledgeGraph, dict[str, ModalityReport]]:
    """Make a graph from the features of items.

    Parameters
    ----------
    features
        Modality to its matrix [items, width]; row ``i`` is item ``i`` of ``item_ids``.
    item_ids
        Original item ids.
    settings
        For all modalities, or for each by name; those without get the defaults.
    labels
        Names of the items for people; by default their ids.

    Returns
    -------
    KnowledgeGraph
        All items; for each modality ``m`` the symmetric relation ``m_neighbour`` between items (a pair
        is stored once), and entities of kind ``m_cluster`` with the relation ``in_m_cluster``.
    dict
        A report for each modality.

    Raises
    ------
    InputError
        If a matrix has not a row for each item or holds values that are not finite numbers, or
        settings are for a modality that there is not.
    """
    ids = [str(item) for item in item_ids]
    chosen = _settings_of(settings, features)
    named: list[pl.DataFrame] = []
    relations: list[tuple[str, str, bool]] = []
    reports: dict[str, ModalityReport] = {}
    for modality, matrix in features.items():
        check_features(modality, matrix, len(ids))
        triples, reports[modality] = _relate(
            modality, matrix, np.asarray(ids, dtype=object), chosen[modality]
        )
        named.extend(triples)
        relations.append((f"{modality}_neighbour", f"is near in {modality} to", True))
        relations.append((f"in_{modality}_cluster", f"is in the {modality} cluster", False))
    items = pl.DataFrame(
        {"id": ids, "label": list(labels) if labels is not None else ids},
        schema={"id": pl.Utf8, "label": pl.Utf8},
    )
    table = pl.concat([pl.DataFrame(schema=NAMED_SCHEMA), *named])
    described = pl.DataFrame(
        relations, schema={"name": pl.Utf8, "label": pl.Utf8, "symmetric": pl.Boolean}, orient="row"
    )
    return KnowledgeGraph.from_named(table, items, described), reports


def check_features(modality: str, matrix: np.ndarray, n_items: int) -> None:
    """Raise ``InputError`` unless ``matrix`` is [n_items, width] with finite numbers."""
    if matrix.ndim != 2 or matrix.shape[1] == 0 or matrix.dtype.kind not in "fiu":
        raise InputError(
            f"features {modality!r}: have shape {matrix.shape} and type {matrix.dtype}; "
            "expected numbers [items, width]"
        )
    if len(matrix) != n_items:
        raise InputError(
            f"features {modality!r}: have {len(matrix)} rows; expected one for each of {n_items} items"
        )
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        raise InputError(
            f"features {modality!r}: row {int(bad.argmax())} holds NaN or infinity; expected finite numbers"
        )


def _settings_of(
    settings: ModalitySettings | Mapping[str, ModalitySettings] | None, features: Mapping[str, np.ndarray]
) -> dict[str, ModalitySettings]:
    if settings is None or isinstance(settings, ModalitySettings):
        return dict.fromkeys(features, settings or ModalitySettings())
    for modality in settings:
        if modality not in features:
            raise InputError(
                f"settings for modality {modality!r}: no such features{nearest(modality, features)}"
            )
    return {modality: settings.get(modality, ModalitySettings()) for modality in features}


def _relate(
    modality: str, matrix: np.ndarray, ids: NDArray[np.object_], settings: ModalitySettings
) -> tuple[list[pl.DataFrame], ModalityReport]:
    unit, usable = unit_rows(matrix, settings.centre)
    present = np.any(matrix != 0, axis=1)
    row, neighbour, cosine = nearest_neighbours(
        unit, usable, settings.neighbours, settings.min_similarity, settings.block
    )
    pairs = mutual_pairs if settings.mutual else neighbour_pairs
    low, high = pairs(row, neighbour, len(ids))
    # Each pair's cosine, looked up among the directed ones, which are sorted by row and neighbour.
    code = np.minimum(row, neighbour) * len(ids) + np.maximum(row, neighbour)
    kept = np.isin(code, low * len(ids) + high)
    members, cluster, sizes = _clusters(unit, usable, settings)
    where = f"features/{modality}:cosine"
    triples = [
        _named(
            ids[low],
            f"{modality}_neighbour",
            ITEM,
            ids[high],
            None,
            f"{where}:neighbours={settings.neighbours}",
        ),
        _named(
            ids[members],
            f"in_{modality}_cluster",
            f"{modality}_cluster",
            cluster.astype(str).astype(object),
            (f"{modality} cluster " + pl.Series(cluster).cast(pl.Utf8)),
            f"{where}:clusters={len(sizes)}",
        ),
    ]
    report = ModalityReport(
        items=len(ids),
        width=matrix.shape[1],
        missing=int((~present).sum()),
        plain=int((present & ~usable).sum()),
        repeated=_count_repeated(matrix[present]),
        neighbour_pairs=len(low),
        mean_similarity=float(cosine[kept].mean()) if kept.any() else None,
        clusters=len(sizes),
        largest_cluster=int(sizes.max(initial=0)),
    )
    return triples, report


def _clusters(
    unit: NDArray[np.float64], usable: NDArray[np.bool_], settings: ModalitySettings
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that are in a cluster, the cluster of each, and the sizes of the clusters.

    Clusters of unit rows are clusters by cosine. They are numbered by their first row.
    """
    members = np.flatnonzero(usable)
    wanted = round(len(unit) ** 0.5) if settings.clusters is None else settings.clusters
    distinct = len(np.unique(unit[members].round(9), axis=0)) if wanted and len(members) else 0
    count = min(wanted, distinct)
    if count == 0:
        empty = np.empty(0, dtype=np.int64)
        return empty, empty.copy(), empty.copy()
    # Imported here: they take seconds. One thread, since the order of sums depends on their number.
    from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # noqa: PLC0415

    model = MiniBatchKMeans(count, random_state=settings.seed, batch_size=4096, n_init=3)
    with threadpool_limits(1):
        assigned = model.fit_predict(unit[members])
    _, first, inverse = np.unique(assigned, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))[inverse]
    return members, number.astype(np.int64), np.bincount(number)


def _count_repeated(matrix: np.ndarray) -> int:
    if not len(matrix):
        return 0
    _, counts = np.unique(matrix, axis=0, return_counts=True)
    return int(counts[counts > 1].sum())


def _named(
    heads: NDArray[np.object_],
    relation: str,
    kind: str,
    tails: NDArray[np.object_],
    labels: pl.Series | None,
    source: str,
) -> pl.DataFrame:
    frame = pl.DataFrame(
        {"head_id": list(heads), "tail_id": list(tails)},
        schema=dict.fromkeys(("head_id", "tail_id"), pl.Utf8),
    )
    return frame.select(
        pl.lit(ITEM).alias("head_kind"),
        "head_id",
        pl.lit(relation).alias("relation"),
        pl.lit(kind).alias("tail_kind"),
        "tail_id",
        (pl.lit(None, pl.Utf8) if labels is None else labels).alias("tail_label"),
        pl.lit(source).alias("source"),
    )
