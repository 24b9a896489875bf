"""What searches of settings found, in small files: ``DATASET/search-MODEL-DIGEST.json``.

The digest is of all that a search insists on, of the settings only those that are not the defaults: a version
that knows more settings still finds what an older one searched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdiffe_dgl.config import Component, parse_config
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.jobs import identity_name
from kdiffe_dgl.experiments.record_files import (
    EXPECTED,
    SCHEMA_VERSION,
    check_version,
    dataset_folder,
    lasting,
    require_writable,
)
from kdiffe_dgl.serving import files

__all__ = ["SearchRecords"]


class _Best(Component):
    """What a search found."""

    schema_version: int
    identity: dict[str, Any]
    trials: int
    value: float
    values: dict[str, Any]


@dataclass(frozen=True)
class SearchRecords:
    """The records of searches in a folder.

    Parameters
    ----------
    folder
        The folder, which holds the records of runs, too.
    """

    folder: Path

    def file(self, dataset: RecDataset, identity: Mapping[str, Any], trials: int) -> Path:
        """Return the file for a search of so many trials: with more, it is another search."""
        name = identity_name(str(identity["model"]), {**_lasting_identity(identity), "trials": trials})
        return dataset_folder(self.folder, dataset) / f"search-{name}.json"

    def best(
        self, dataset: RecDataset, identity: Mapping[str, Any], trials: int, names: Sequence[str]
    ) -> tuple[float, dict[str, Any]] | None:
        """Return the best validation metric of a search and the values that gave it; null without a record.

        Parameters
        ----------
        dataset
            The data set.
        identity
            See :func:`kdiffe_dgl.experiments.tuning.identity`.
        trials
            Trials of the whole search.
        names
            The settings that are searched.

        Raises
        ------
        InputError
            If the file is damaged, was edited, or is another than its name says.
        """
        file = self.file(dataset, identity, trials)
        if not file.exists():
            return None
        stored = files.read_json(file, dict, EXPECTED)
        check_version(file, stored)
        best = parse_config(_Best, stored, str(file))
        stored_as = _lasting_identity(best.identity, str(file))
        if (stored_as, best.trials) != (_lasting_identity(identity), trials):
            raise InputError(f"{file}: holds another search; expected that of its name")
        if best.values.keys() != set(names):
            raise InputError(
                f"{file}: holds the settings {', '.join(sorted(best.values)) or '(none)'}; expected "
                f"{', '.join(sorted(names))}"
            )
        return best.value, best.values

    def keep(
        self,
        dataset: RecDataset,
        identity: Mapping[str, Any],
        trials: int,
        value: float,
        values: Mapping[str, Any],
    ) -> Path:
        """Record what a search found, and return the file; parameters as of :meth:`best`."""
        found = {
            "schema_version": SCHEMA_VERSION,
            "identity": dict(identity),
            "trials": trials,
            "value": value,
            "values": dict(sorted(values.items())),
        }
        file = self.file(dataset, identity, trials)
        require_writable(file.parent)
        files.write_json(file, found)
        return file


def _lasting_identity(identity: Mapping[str, Any], where: str = "") -> Any:
    """Return what a search insists on as JSON gives it back, its settings without the defaults."""
    settings = identity.get("settings")
    if isinstance(settings, Mapping) and "training" in settings:
        identity = {**identity, "settings": lasting(settings, where)}
    return json.loads(json.dumps(dict(identity)))
