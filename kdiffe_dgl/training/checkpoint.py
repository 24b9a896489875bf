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
        JSON-able state of the training loop: best epoch, history.
    extra
        Tensors that belong to that state: the best epoch's weights and representations.
    """

    module: nn.Module
    optimisers: Mapping[str, torch.optim.Optimizer]
    generators: Mapping[str, torch.Generator]
    progress: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; the file appears whole or not at all.

    Raises
    ------
    InputError
        If the folder is gone or can't be written to.
    """
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
    tensors.update({f"extra/{name}": value for name, value in checkpoint.extra.items()})
    metadata = {
        "version": _VERSION,
        "devices": json.dumps(_devices(checkpoint)),
        "groups": json.dumps(groups),
        "progress": json.dumps(checkpoint.progress),
    }
    temporary = path.with_name(f".{path.name}.part")
    try:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary, metadata
        )
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: can't be written ({error}); expected a writable folder with room"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Fill a checkpoint's model, optimisers and generators in place, and its ``progress`` and ``extra``.

    Raises
    ------
    InputError
        If the file is missing, damaged, of a model of another shape, or of another kind of device.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; expected a run that was stopped before its end")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies: the tensors of the file lie in its memory map, which would outlive the file.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: damaged checkpoint; expected a whole safetensors file") from error
    if metadata.get("version") != _VERSION:
        raise InputError(f"{path}: checkpoint version {metadata.get('version')!r}; expected {_VERSION}")
    devices = _devices(checkpoint)
    stored = json.loads(metadata["devices"])
    if stored.keys() == devices.keys() and stored != devices:
        # A generator of one kind of device can't go on on another, so neither could the result be the same.
        raise InputError(
            f"{path}: the run was stopped on device {stored[_differing(stored, devices)]!r}, not on "
            f"{devices[_differing(stored, devices)]!r}; expected the same device"
        )
    try:
        _restore(checkpoint, tensors, json.loads(metadata["groups"]))
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path}: the checkpoint does not fit the model; expected that of the same run"
        ) from error
    checkpoint.progress = json.loads(metadata["progress"])
    checkpoint.extra = _under("extra/", tensors)


def _restore(checkpoint: Checkpoint, tensors: Mapping[str, Tensor], groups: Mapping[str, Any]) -> None:
    checkpoint.module.load_state_dict(_under("model/", tensors))
    for name, optimiser in checkpoint.optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(f"optimiser/{name}/", tensors).items():
            index, _, entry = key.partition("/")
            state.setdefault(int(index), {})[entry] = value
        optimiser.load_state_dict({"state": state, "param_groups": groups[name]})
    for name, generator in checkpoint.generators.items():
        generator.set_state(tensors[f"generator/{name}"])


def _devices(checkpoint: Checkpoint) -> dict[str, str]:
    return {name: generator.device.type for name, generator in checkpoint.generators.items()}


def _differing(first: Mapping[str, str], second: Mapping[str, str]) -> str:
    return next(name for name in first if first[name] != second[name])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
