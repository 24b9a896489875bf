"""A restored model is the one of the run's best epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.restore import restore_model
from kdiffe_dgl.training.run import train_run

SMALL = [
    "model.dim=8",
    "model.knowledge.diffusion.hidden=6",
    "model.modality.diffusion.hidden=6",
    "model.knowledge.candidates=[two_hop]",
    "model.knowledge.main=regenerated",
]
# High rates, so that the best epoch is not the last and its graphs differ from those of the last.
TRAINING = ["training.epochs=6", "training.learning_rate=0.05", "training.batch_size=16"]


@pytest.mark.parametrize("model", ["kdiffe", "lightgcn"])
def test_representations_are_those_of_the_run(tmp_path: Path, tiny_dataset: Any, model: str) -> None:
    own = SMALL if model == "kdiffe" else ["model.dim=8"]
    config = resolve({"model": {"name": model}}, [*own, *TRAINING])
    train_run(tiny_dataset, tmp_path / "run", config, seed=3)
    run = RunFolder(tmp_path / "run")
    restored = restore_model(run, tiny_dataset)
    for found, stored in zip(restored.representations(), run.representations(), strict=True):
        np.testing.assert_allclose(found.detach().numpy(), stored, rtol=1e-5, atol=1e-6)
    assert not restored.training
    if isinstance(restored, KDiffE):
        # What diffusion kept matters: with the graph as it was built, scores are others.
        restored.graphs = type(restored.graphs)(
            restored.graphs.operator,
            restored.graphs.knowledge,
            restored.graphs.knowledge,
            restored.graphs.generated,
        )
        assert not np.allclose(restored.representations()[1].numpy(), run.representations()[1], atol=1e-4)


def test_other_data_and_damaged_graphs_are_refused(tmp_path: Path, tiny_dataset: Any) -> None:
    train_run(tiny_dataset, tmp_path / "run", resolve({}, [*SMALL, "training.epochs=1"]))
    run = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match="expected the data set that it was trained on"):
        restore_model(run, tiny_dataset.replace(kg=None))
    graphs = run.graphs()
    run.write_graphs({**graphs, "knowledge/kept": torch.ones(3, dtype=torch.bool)})
    with pytest.raises(InputError, match="graphs of 3 edges"):
        restore_model(run, tiny_dataset)
    items = graphs["modality/1/items"]
    for name, damaged, message in (
        ("modality/1/items", items.astype(np.float32), "ends of edges of torch.float32"),
        ("modality/1/items", items[:-1], "ends of edges of torch.int64 and shape"),
        ("modality/1/items", items + 10**6, "an end of an edge beyond"),
        ("knowledge/tail", graphs["knowledge/tail"] - 10**6, "an end of an edge beyond"),
    ):
        run.write_graphs({key: torch.tensor(value) for key, value in {**graphs, name: damaged}.items()})
        with pytest.raises(InputError, match=message):
            restore_model(run, tiny_dataset)
    del graphs["modality/1/items"]
    run.write_graphs(graphs)
    with pytest.raises(InputError, match="without modality/1/items"):
        restore_model(run, tiny_dataset)
    (run.path / "graphs.safetensors").unlink()
    with pytest.raises(InputError, match=r"graphs\.safetensors"):
        restore_model(run, tiny_dataset)
