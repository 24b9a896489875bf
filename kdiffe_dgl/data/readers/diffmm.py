"""The layout of KDiffE, DiffMM and DiffKG: three pickled sparse matrices and ``*_feat.npy``.

``trnMat.pkl``, ``valMat.pkl`` and ``tstMat.pkl`` are SciPy matrices ``[users, items]``; a non-zero value
is an interaction. A ``kg.txt`` beside them is not read: in the published multimedia sets it says only
which modalities an item has. Build a graph from metadata or features instead, or union one with
``kg_builders``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.readers.assemble import ImportOptions, assemble, numbered
from kdiffe_dgl.data.readers.pickles import load_sparse_pickle
from kdiffe_dgl.errors import InputError

__all__ = ["read_diffmm"]

FILES = {"train": "trnMat.pkl", "validation": "valMat.pkl", "test": "tstMat.pkl"}
FEATURE_SUFFIX = "_feat.npy"


def read_diffmm(
    folder: Path,
    *,
    name: str | None = None,
    features: Mapping[str, Path] | None = None,
    labels: pl.DataFrame | None = None,
    options: ImportOptions | None = None,
) -> RecDataset:
    """Read a folder in the KDiffE/DiffMM/DiffKG layout.

    Parameters
    ----------
    folder
        Holds ``trnMat.pkl``, ``tstMat.pkl`` and, where there is one, ``valMat.pkl``.
    name
        Name of the data set; None: that of the folder.
    features
        Modality -> ``.npy`` file; None: every ``<modality>_feat.npy`` of the folder.
    labels
        Columns ``id`` (the item number as text) and ``label``.
    options
        Threshold and split; by default as given.

    Raises
    ------
    InputError
        If a file is missing or damaged, a pickle names foreign classes, the shapes differ, splits
        overlap or features don't fit.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: missing folder; expected one with {', '.join(FILES.values())}")
    parts, shape, paths = [], None, []
    for split, file in FILES.items():
        path = folder / file
        if split == "validation" and not path.exists():
            continue
        matrix = load_sparse_pickle(path)
        if shape is not None and matrix.shape != shape:
            raise InputError(
                f"{path}: shape {list(matrix.shape)}; expected {list(shape)} as in {FILES['train']}"
            )
        shape = matrix.shape
        paths.append(path)
        present = matrix.data != 0
        parts.append(
            pl.DataFrame({"user_id": matrix.row[present], "item_id": matrix.col[present]}).with_columns(
                pl.col("user_id", "item_id").cast(pl.Int64).cast(pl.Utf8), split=pl.lit(split)
            )
        )
    assert shape is not None
    if features is None:
        features = {
            path.name.removesuffix(FEATURE_SUFFIX): path for path in sorted(folder.glob(f"*{FEATURE_SUFFIX}"))
        }
    return assemble(
        name or folder.resolve().name,
        pl.concat(parts),
        options=options or ImportOptions(),
        source=str(folder),
        users=numbered(shape[0]),
        items=numbered(shape[1], labels),
        features=features,
        reader="diffmm",
        files=paths,
    )
