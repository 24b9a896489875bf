"""A trained model as it was in its best epoch, graphs included."""

from __future__ import annotations

import numpy as np
import torch

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.models.registry import model_class
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve

__all__ = ["model_seed", "restore_model"]


def model_seed(seed: int) -> int:
    """Return the seed of a model's initial weights and random walks in a run of a given seed."""
    return int(np.random.SeedSequence(seed).generate_state(3)[0])


def restore_model(
    run: RunFolder, dataset: RecDataset, device: torch.device | str = "cpu"
) -> RecommenderModel:
    """Build the model of a run with the weights and graphs of its best epoch.

    Parameters
    ----------
    run
        A run that was trained to its end, or stopped after a validation.
    dataset
        The data set that it was trained on.
    device
        Where to compute.

    Returns
    -------
    RecommenderModel
        In evaluation mode. Its ``representations`` are those of the run folder, up to rounding.

    Raises
    ------
    InputError
        If the data set is another one, or the folder lacks what is needed.
    """
    run.check_dataset(dataset)
    config = resolve(run.config(), where=str(run.path / "config.yaml"))
    place = torch.device(device)
    generator = torch.Generator().manual_seed(model_seed(run.info.seed))
    model = model_class(config.name)(dataset, config.model, generator, place)
    weights = {name: torch.from_numpy(np.array(value)) for name, value in run.weights().items()}
    graphs = {name: torch.from_numpy(np.array(value)) for name, value in run.graphs().items()}
    try:
        model.load_state_dict(weights)
        model.load_graph_state(graphs)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise InputError(
            f"{run.path}: weights or graphs do not fit the model ({reason}); expected those of the same run"
        ) from error
    return model.eval()
