"""A step of training on a neighbour-sampled part of the graph."""

from __future__ import annotations

import torch
from torch import Tensor

from kdiffe_dgl.graph.hetero import KnowledgeEdges, knowledge_graph
from kdiffe_dgl.graph.sampling import NeighbourSampler, Sample
from kdiffe_dgl.models.knowledge import KnowledgeView
from kdiffe_dgl.models.knowledge_diffusion import Regenerated
from kdiffe_dgl.models.step import Step, StepGraphs
from kdiffe_dgl.training.losses import sample_candidates

__all__ = ["sampled_step"]


def sampled_step(
    step: Step,
    sampler: NeighbourSampler,
    edges: KnowledgeEdges,
    regenerated: Regenerated | None,
    n_candidates: int,
    generator: torch.Generator,
) -> Step:
    """Sample around the nodes of a step, and cut all graphs to what was sampled.

    Parameters
    ----------
    step
        Over the whole graphs.
    sampler
        Samples the neighbours.
    edges, regenerated
        The knowledge graph, and which of its edges diffusion kept or proposed.
    n_candidates
        Items drawn as candidates of the softmax loss, beside the observed ones; 0 where it isn't used.
    generator
        Source of the samples.
    """
    rows, items = step.anchors.rows, torch.cat([step.positives, step.negatives])
    assert rows is not None, "a sampled step contrasts sampled nodes"
    candidates, targets, log_weight = None, step.targets, None
    if n_candidates:
        candidates, targets, log_weight = sample_candidates(
            step.graphs.n_items, step.positives, n_candidates, generator
        )
        items = torch.cat([items, candidates])
    users = torch.cat([step.users, rows[0]]).unique()
    items = torch.cat([items, rows[1]]).unique()
    graphs = _sampled_graphs(step.graphs, sampler, edges, regenerated, users, items, generator)
    return Step(
        graphs,
        torch.searchsorted(users, step.users),
        torch.searchsorted(items, step.positives),
        torch.searchsorted(items, step.negatives),
        step.anchors.renumbered(users, items),
        None if candidates is None else torch.searchsorted(items, candidates),
        targets,
        log_weight,
    )


def _sampled_graphs(
    graphs: StepGraphs,
    sampler: NeighbourSampler,
    edges: KnowledgeEdges,
    regenerated: Regenerated | None,
    users: Tensor,
    items: Tensor,
    generator: torch.Generator,
) -> StepGraphs:
    """Sample around users and items, sorted, each once; in the sample they come first, in this order."""
    device = users.device
    # What diffusion generated for a user joins the seeds: it is one item, and would seldom be met by chance.
    proposed = [operator.to_users.columns(users) for operator in graphs.generated.values()]
    further = torch.cat([items[:0], *proposed]).unique()
    seeds = torch.cat([items, further[~torch.isin(further, items)]])
    sample = sampler.sample(users.cpu(), seeds.cpu(), generator)
    chosen_users, chosen_items = sample.users.to(device), sample.items.to(device)
    return StepGraphs(
        graphs.operator.sample(chosen_users, chosen_items, rescale=True),
        *_knowledge(sample, edges, graphs.knowledge is not None, regenerated, device),
        {
            name: operator.sample(chosen_users, chosen_items, rescale=False)
            for name, operator in graphs.generated.items()
        },
        chosen_users,
        sample.entities.to(device),
    )


def _knowledge(
    sample: Sample, edges: KnowledgeEdges, whole: bool, regenerated: Regenerated | None, device: torch.device
) -> tuple[KnowledgeView | None, KnowledgeView | None]:
    """Return the sampled part of the knowledge graph, if there is one, and of the regenerated one."""
    if not whole:
        return None, None
    rows = sample.edge
    part = KnowledgeEdges(
        sample.head,
        edges.relation.cpu()[rows],
        sample.tail,
        edges.triple.cpu()[rows],
        len(sample.entities),
        edges.relation_names,
    )
    known = KnowledgeView(knowledge_graph(part), device)
    if regenerated is None:
        return known, None
    new = torch.full((edges.n_entities,), -1, dtype=torch.int64)
    new[sample.entities] = torch.arange(len(sample.entities))
    head, tail = new[regenerated.head.cpu()], new[regenerated.tail.cpu()]
    within = (head >= 0) & (tail >= 0)
    graph = knowledge_graph(part, regenerated.kept.cpu()[rows], (head[within], tail[within]))
    return known, KnowledgeView(graph, device)
