"""State of an unfinished training run in one safetensors file; no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kdiffe_dgl.errors import InputError

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

_VERSION = "1"


@dataclass
class Checkpoint:
    """Everything that a training run needs to go on as if it had not stopped.

    Attributes
    ----------
    module
        The model.
    optimisers
        All optimisers by name.
    generators
        All random generators by name.
    progress
        JSON-able state of the training loop: epoch, best epoch, history.
    """

    module: nn.Module
    optimisers: Mapping[str, torch.optim.Optimizer]
    generators: Mapping[str, torch.Generator]
    progress: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; the file appears whole or not at all."""
    tensors: dict[str, Tensor] = {
        f"model/{name}": value for name, value in checkpoint.module.state_dict().items()
    }
    groups: dict[str, Any] = {}
    for name, optimiser in checkpoint.optimisers.items():
        state = optimiser.state_dict()
        groups[name] = state["param_groups"]
        for index, values in state["state"].items():
            for key, value in values.items():
                tensors[f"optimiser/{name}/{index}/{key}"] = torch.as_tensor(value)
    for name, generator in checkpoint.generators.items():
        tensors[f"generator/{name}"] = generator.get_state()
    metadata = {
        "version": _VERSION,
        "groups": json.dumps(groups),
        "progress": json.dumps(checkpoint.progress),
    }
    temporary = path.with_name(f".{path.name}.part")
    try:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary, metadata
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Fill a checkpoint's model, optimisers and generators in place, and its ``progress``.

    Raises
    ------
    InputError
        If the file is missing, damaged, or belongs to a model of another shape.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; expected a run that was stopped before its end")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise InputError(f"{path}: damaged checkpoint; expected a whole safetensors file") from error
    if metadata.get("version") != _VERSION:
        raise InputError(f"{path}: checkpoint version {metadata.get('version')!r}; expected {_VERSION}")
    groups: dict[str, Any] = json.loads(metadata["groups"])
    try:
        checkpoint.module.load_state_dict(_under("model/", tensors))
    except RuntimeError as error:
        raise InputError(
            f"{path}: the checkpoint does not fit the model; expected that of the same run"
        ) from error
    for name, optimiser in checkpoint.optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(f"optimiser/{name}/", tensors).items():
            index, _, entry = key.partition("/")
            state.setdefault(int(index), {})[entry] = value
        optimiser.load_state_dict({"state": state, "param_groups": groups[name]})
    for name, generator in checkpoint.generators.items():
        generator.set_state(tensors[f"generator/{name}"])
    checkpoint.progress = json.loads(metadata["progress"])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
