"""Checkpoints: everything comes back to the last bit, and what does not fit is refused in one sentence."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def fresh(seed: int, width: int = 3, device: str = "cpu") -> Checkpoint:
    initial = torch.Generator().manual_seed(seed)
    module = nn.Linear(4, width)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=initial))
    module.to(device)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    return Checkpoint(module, {"main": optimiser}, {"model": torch.Generator(device).manual_seed(seed)})


def step(state: Checkpoint) -> torch.Tensor:
    """Do one optimiser step on random input; return the weights."""
    (optimiser,), (generator,) = state.optimisers.values(), state.generators.values()
    x = torch.randn(8, 4, generator=generator, device=generator.device)
    optimiser.zero_grad()
    state.module(x).square().mean().backward()
    optimiser.step()
    return state.module.weight.detach().clone()


def devices() -> list[object]:
    absent = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
    return ["cpu", pytest.param("cuda", marks=absent)]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    state = fresh(0)
    step(state)
    save_checkpoint(state, tmp_path / "c.safetensors")
    return tmp_path / "c.safetensors"


@pytest.mark.parametrize("device", devices())
def test_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path, device: str) -> None:
    path = tmp_path / "c.safetensors"
    state = fresh(1, device=device)
    for _ in range(3):
        step(state)
    state.progress, state.extra = {"epoch": 3, "best": 0.1}, {"a/b": torch.arange(3.0)}
    save_checkpoint(state, path)
    expected = [step(state) for _ in range(3)]

    other = fresh(2, device=device)
    step(other)
    load_checkpoint(other, path)
    assert other.progress == {"epoch": 3, "best": 0.1}
    assert list(other.extra) == ["a/b"]
    assert torch.equal(other.extra["a/b"], torch.arange(3.0))
    path.write_bytes(b"")  # nothing may be read from the file later on
    for weights in expected:
        assert torch.equal(step(other), weights)


def test_a_checkpoint_before_the_first_step(tmp_path: Path) -> None:
    """Adam has no state yet."""
    state, other = fresh(1), fresh(2)
    save_checkpoint(state, tmp_path / "c.safetensors")
    load_checkpoint(other, tmp_path / "c.safetensors")
    assert torch.equal(step(state), step(other))


def test_the_file_is_replaced_whole(stored: Path) -> None:
    state = fresh(3)
    save_checkpoint(state, stored)
    assert [file.name for file in stored.parent.iterdir()] == ["c.safetensors"]
    other = fresh(4)
    load_checkpoint(other, stored)
    assert torch.equal(other.module.weight, state.module.weight)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c\.safetensors: no such checkpoint"):
        load_checkpoint(fresh(0), tmp_path / "c.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file(stored: Path, kept: int) -> None:
    stored.write_bytes(stored.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"c\.safetensors: damaged checkpoint; expected a whole"):
        load_checkpoint(fresh(0), stored)


def test_something_else_under_that_name(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(InputError, match="checkpoint version None; expected 1"):
        load_checkpoint(fresh(0), path)


def test_another_model(stored: Path) -> None:
    with pytest.raises(InputError, match="does not fit the model; expected that of the same run"):
        load_checkpoint(fresh(0, width=5), stored)


def test_other_optimisers_or_generators(stored: Path) -> None:
    for part in ("optimisers", "generators"):
        state = fresh(0)
        setattr(state, part, {"another": next(iter(getattr(state, part).values()))})
        with pytest.raises(InputError, match="does not fit the model"):
            load_checkpoint(state, stored)


def test_another_device(stored: Path) -> None:
    tensors = load_file(stored)
    groups = json.dumps({"main": fresh(0).optimisers["main"].state_dict()["param_groups"]})
    metadata = {"version": "1", "devices": '{"model": "cuda"}', "groups": groups, "progress": "{}"}
    save_file(tensors, stored, metadata)
    with pytest.raises(InputError, match="stopped on device 'cuda', not on 'cpu'; expected the same device"):
        load_checkpoint(fresh(0), stored)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"can't be written .*; expected a writable folder"):
        save_checkpoint(fresh(0), tmp_path / "gone" / "c.safetensors")
