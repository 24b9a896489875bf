"""Features -> knowledge: items that are near each other, and clusters of items, for each modality.

For a catalogue with features alone this is its only knowledge graph. Any number of modalities, of any
name, goes the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from kg_builders.config import StrictModel, nearest
from kg_builders.errors import InputError
from kg_builders.neighbours import (
    Found,
    approximate_neighbours,
    estimate_recall,
    mutual_pairs,
    nearest_neighbours,
    neighbour_pairs,
    unit_rows,
)
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph

__all__ = ["ModalityReport", "ModalitySettings", "check_features", "find_neighbours", "modality_graph"]

EXACT_LIMIT = 50_000
"""Number of items up to which neighbours are exact by default; twice as many take four times as long."""

_ROWS = 16_384
_BATCH = 4096


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
    """Items compared at a time; fewer where that would take too much memory."""
    method: Literal["auto", "exact", "approximate"] = "auto"
    """How neighbours are found: ``auto`` is exact up to 50,000 items, and approximate (with the extra
    ``faiss``) beyond. What is installed does not change the choice: without faiss, more items are an error
    unless ``exact`` is asked for, whose time grows with their square."""
    probes: int = Field(default=32, ge=1)
    """Cells that an item is compared with where neighbours are approximate: more miss fewer neighbours."""


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
    method
        How the neighbours were found.
    recall
        Share of the exact neighbours that were found, estimated from 200 items; null if all were.
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
    method: str = "exact"
    recall: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def modality_graph(
    features: Mapping[str, np.ndarray],
    item_ids: Sequence[str],
    settings: ModalitySettings | Mapping[str, ModalitySettings] | None = None,
    labels: Sequence[str] | None = None,
    missing: Mapping[str, NDArray[np.bool_]] | None = None,
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
    missing
        Modality to [items], true where a row was filled in (``FeatureRecord.missing_mask``): such items
        get no facts from it, like those with a row of zeros.

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
            modality,
            matrix,
            pl.Series(ids, dtype=pl.Utf8),
            chosen[modality],
            _mask(modality, missing, len(ids)),
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


def _mask(
    modality: str, missing: Mapping[str, NDArray[np.bool_]] | None, n_items: int
) -> NDArray[np.bool_] | None:
    mask = (missing or {}).get(modality)
    if mask is not None and mask.shape != (n_items,):
        raise InputError(
            f"features {modality!r}: the missing rows are told for {mask.shape} items; expected {n_items}"
        )
    return mask


def _relate(
    modality: str,
    matrix: np.ndarray,
    ids: pl.Series,
    settings: ModalitySettings,
    missing: NDArray[np.bool_] | None,
) -> tuple[list[pl.DataFrame], ModalityReport]:
    unit, usable = unit_rows(matrix, settings.centre, missing)
    present = np.any(matrix != 0, axis=1)
    if missing is not None:
        present &= ~missing
    (row, neighbour, cosine), method, recall = find_neighbours(unit, usable, settings)
    pairs = mutual_pairs if settings.mutual else neighbour_pairs
    low, high = pairs(row, neighbour, len(ids))
    # Each pair's cosine, looked up among the directed ones, which are sorted by row and neighbour.
    code = np.minimum(row, neighbour) * len(ids) + np.maximum(row, neighbour)
    kept = np.isin(code, low * len(ids) + high)
    members, cluster, sizes = _clusters(unit, usable, settings)
    where = f"features/{modality}:cosine"
    triples = [
        _named(
            ids.gather(low),
            f"{modality}_neighbour",
            ITEM,
            ids.gather(high),
            None,
            f"{where}:neighbours={settings.neighbours}",
        ),
        _named(
            ids.gather(members),
            f"in_{modality}_cluster",
            f"{modality}_cluster",
            pl.Series(cluster).cast(pl.Utf8),
            (f"{modality} cluster " + pl.Series(cluster).cast(pl.Utf8)),
            f"{where}:clusters={len(sizes)}",
        ),
    ]
    report = ModalityReport(
        items=len(ids),
        width=matrix.shape[1],
        missing=int((~present).sum()),
        plain=int((present & ~usable).sum()),
        repeated=_count_repeated(matrix, present),
        neighbour_pairs=len(low),
        mean_similarity=float(cosine[kept].mean()) if kept.any() else None,
        clusters=len(sizes),
        largest_cluster=int(sizes.max(initial=0)),
        method=method,
        recall=recall,
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
    count = _count_distinct(unit, members, wanted)
    if count == 0:
        empty = np.empty(0, dtype=np.int64)
        return empty, empty.copy(), empty.copy()
    # Imported here: they take seconds. One thread, since the order of sums depends on their number.
    from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # noqa: PLC0415

    # No more than a thousand steps, which many items would otherwise exceed by far.
    rounds = min(100, max(1, 1000 * _BATCH // len(members)))
    model = MiniBatchKMeans(count, random_state=settings.seed, batch_size=_BATCH, n_init=3, max_iter=rounds)
    with threadpool_limits(1):
        assigned = model.fit_predict(unit if len(members) == len(unit) else unit[members])
    _, first, inverse = np.unique(assigned, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))[inverse]
    return members, number.astype(np.int64), np.bincount(number)


def _count_distinct(unit: NDArray[np.float64], members: NDArray[np.int64], wanted: int) -> int:
    """Return the number of distinct rows among the members, or ``wanted`` if there are at least so many."""
    distinct = np.empty((0, unit.shape[1]))
    block = max(_ROWS, 4 * wanted)
    for start in range(0, len(members), block):
        if len(distinct) >= wanted:
            break
        rows = unit[members[start : start + block]].round(9)
        distinct = np.unique(np.concatenate([distinct, rows]), axis=0)
    return min(wanted, len(distinct))


def _count_repeated(matrix: np.ndarray, present: NDArray[np.bool_]) -> int:
    """Return the number of present rows that equal another one, told by a hash of each."""
    counts: Counter[bytes] = Counter()
    for start in range(0, len(matrix), _ROWS):
        # Adding zero turns -0.0 into 0.0, which it equals.
        rows = np.ascontiguousarray(matrix[start : start + _ROWS][present[start : start + _ROWS]] + 0)
        counts.update(blake2b(row.tobytes(), digest_size=16).digest() for row in rows)
    return sum(count for count in counts.values() if count > 1)


def find_neighbours(
    unit: NDArray[np.float64], usable: NDArray[np.bool_], settings: ModalitySettings
) -> tuple[Found, str, float | None]:
    """Find the nearest neighbours of items, exactly or approximately as the settings say.

    Parameters
    ----------
    unit, usable
        From :func:`kg_builders.neighbours.unit_rows`.
    settings
        Number of neighbours, least similarity and method.

    Returns
    -------
    tuple
        Row, neighbour and cosine of each pair; ``"exact"`` or ``"approximate"``; and the share of the exact
        neighbours that was found, estimated, if not all were.

    Raises
    ------
    InputError
        If they are to be approximate, and faiss is not installed.
    """
    k, least = settings.neighbours, settings.min_similarity
    approximate = settings.method == "approximate" or (
        settings.method == "auto" and int(usable.sum()) > EXACT_LIMIT
    )
    if not approximate or k == 0:
        return nearest_neighbours(unit, usable, k, least, settings.block), "exact", None
    found = approximate_neighbours(unit, usable, k, least, settings.probes, settings.seed)
    return found, "approximate", estimate_recall(unit, usable, found, k, least, seed=settings.seed)


def _named(
    heads: pl.Series,
    relation: str,
    kind: str,
    tails: pl.Series,
    labels: pl.Series | None,
    source: str,
) -> pl.DataFrame:
    return pl.DataFrame({"head_id": heads, "tail_id": tails}).select(
        pl.lit(ITEM).alias("head_kind"),
        "head_id",
        pl.lit(relation).alias("relation"),
        pl.lit(kind).alias("tail_kind"),
        "tail_id",
        (pl.lit(None, pl.Utf8) if labels is None else labels).alias("tail_label"),
        pl.lit(source).alias("source"),
    )
