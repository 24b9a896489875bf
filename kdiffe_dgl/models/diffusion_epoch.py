"""An epoch's diffusion: each denoiser trains and regenerates its graph by itself, all side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.models.base import EpochLog
from kdiffe_dgl.models.knowledge_diffusion import KnowledgeDiffusion, Regenerated
from kdiffe_dgl.models.modality_diffusion import ModalityDiffusion
from kdiffe_dgl.side_by_side import child_generators, side_by_side

__all__ = ["Task", "knowledge_task", "modality_task", "run_tasks"]

Task = Callable[[torch.Generator], Callable[[], EpochLog]]
"""Trains and regenerates; returns what takes up the graph and tells the log, once nothing else is running."""


def knowledge_task(
    diffusion: KnowledgeDiffusion,
    users: Tensor,
    entities: Tensor,
    n_known: int | None,
    take_up: Callable[[Regenerated], None],
) -> Task:
    """Return the task of the knowledge graph.

    Parameters
    ----------
    diffusion
        The diffusion of its rows.
    users, entities
        Embeddings, ``[users, dim]`` and ``[entities, dim]``, detached.
    n_known
        Number of known edges, to tell how many are proposed; null: none can be.
    take_up
        Takes the regenerated graph.
    """

    def run(generator: torch.Generator) -> Callable[[], EpochLog]:
        context = diffusion.context(users)
        log = {"diffusion/knowledge": diffusion.train_guided(context, entities, generator)}
        regenerated = diffusion.regenerate(context, generator)
        log["kept/knowledge"] = float(regenerated.kept.double().mean())
        if n_known is not None:
            log["proposed/knowledge"] = len(regenerated.head) / max(1, n_known)

        def take() -> EpochLog:
            take_up(regenerated)
            return log

        return take

    return run


def modality_task(
    name: str,
    diffusion: ModalityDiffusion,
    context: Tensor,
    guidance: LinearGuidance,
    take_up: Callable[[str, Tensor, Tensor], None],
) -> Task:
    """Return the task of a modality.

    Parameters
    ----------
    name, diffusion
        The modality, and the diffusion of its users' rows.
    context
        What rows are conditioned on, ``[users, dim]``.
    guidance
        Guidance of the denoiser.
    take_up
        Takes the modality, and users and items of the generated edges.
    """

    def run(generator: torch.Generator) -> Callable[[], EpochLog]:
        loss = diffusion.train_epoch(context, guidance, generator)
        users, items = diffusion.generate(context, generator)

        def take() -> EpochLog:
            take_up(name, users, items)
            return {f"diffusion/{name}": loss}

        return take

    return run


def run_tasks(
    tasks: Sequence[Task], costs: Sequence[float], generator: torch.Generator, together: bool
) -> EpochLog:
    """Run tasks, each with random numbers of its own, and take up what they found.

    Parameters
    ----------
    tasks, costs
        The tasks, and what each of them costs.
    generator
        Gives each task its generator.
    together
        Whether they run side by side, in threads; otherwise one after the other.
    """
    own = child_generators(generator, len(tasks))
    run = [partial(task, each) for task, each in zip(tasks, own, strict=True)]
    taken = side_by_side(run, costs) if together else [task() for task in run]
    log: dict[str, float] = {}
    for take in taken:
        log |= take()
    return log
