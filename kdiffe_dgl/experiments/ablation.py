"""What each part of KDiffE is worth: arms without it, controls in its place, and curves over a setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.changes import ShuffledItems, WithoutFeatures
from kdiffe_dgl.experiments.output import TABLES, file_names, write_results
from kdiffe_dgl.experiments.summaries import dataset_tables
from kdiffe_dgl.experiments.sweeps import Sweep, read_sweep
from kdiffe_dgl.experiments.tables import Cell, ResultTable
from kdiffe_dgl.experiments.variants import Setup, StudyResult, Variant, alike
from kdiffe_dgl.serving import files
from kdiffe_dgl.serving.run_folder import installed_versions
from kdiffe_dgl.training.config import RunConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ARMS", "FULL", "Ablation", "Arm", "Sweep", "ablate", "choose_arms", "read_sweep"]

FULL = Variant("full model")

Needs = Callable[[RecDataset], bool]


def _always(dataset: RecDataset) -> bool:
    return True


def _has_graph(dataset: RecDataset) -> bool:
    return dataset.kg is not None and len(dataset.kg.triples) > 0


def _has_features(dataset: RecDataset) -> bool:
    return bool(dataset.features)


@dataclass(frozen=True)
class Arm:
    """A part that is left out or replaced, whatever the data.

    Parameters
    ----------
    name
        For ``--only``.
    variants
        What it makes of a data set; most make one.
    needs
        Whether the data have what the part reads.
    """

    name: str
    variants: Callable[[RecDataset], Sequence[Variant]]
    needs: Needs = _always


def _set(name: str, *overrides: str, needs: Needs = _always) -> Arm:
    """Return an arm that changes settings."""
    return Arm(name, lambda dataset: [Variant(name.replace("-", " "), overrides)], needs)


def _each_modality(dataset: RecDataset) -> list[Variant]:
    return [Variant(f"without {name}", (), WithoutFeatures((name,))) for name in sorted(dataset.features)]


def _no_modality(dataset: RecDataset) -> list[Variant]:
    return [Variant("without modalities", (), WithoutFeatures(tuple(sorted(dataset.features))))]


def _shuffled(dataset: RecDataset) -> list[Variant]:
    return [Variant("knowledge of other items", (), ShuffledItems())]


_NO_PROPOSALS = "model.knowledge.candidates=[]"

ARMS: Mapping[str, Arm] = {
    arm.name: arm
    for arm in (
        _set("without-attention", "model.attention.epsilon=0"),
        _set(
            "without-knowledge",
            "model.knowledge.layers=0",
            "model.profile.knowledge_weight=0",
            needs=_has_graph,
        ),
        Arm("shuffled-knowledge", _shuffled, _has_graph),
        _set("without-diffusion", "model.knowledge.selection=all", _NO_PROPOSALS, needs=_has_graph),
        _set("random-edges", "model.knowledge.selection=random", needs=_has_graph),
        _set("without-modality-diffusion", "model.modality.selection=all", needs=_has_features),
        _set("random-modality-edges", "model.modality.selection=random", needs=_has_features),
        Arm("without-each-modality", _each_modality, lambda dataset: len(dataset.features) > 1),
        Arm("without-modalities", _no_modality, _has_features),
        # Where it speaks: the default preset gives it no weight.
        _set("without-multimodal-view", "model.modality.score_weight=0", needs=_has_features),
        _set("without-interaction-profile", "model.profile.interaction_weight=0"),
        _set("without-pairwise-view", "model.pairwise.weight=0"),
        _set("without-knowledge-contrast", "model.contrast.knowledge_weight=0", needs=_has_graph),
        _set("without-modality-contrast", "model.contrast.modality_weight=0", needs=_has_features),
        _set(
            "without-guidance",
            "model.knowledge.diffusion.guidance=0",
            "model.modality.diffusion.guidance=0",
        ),
    )
}
"""Every arm; a new one is a line here."""


def choose_arms(dataset: RecDataset, base: RunConfig, only: Sequence[str]) -> tuple[list[Variant], list[str]]:
    """Return the variants of the arms that fit data and settings, and why others are left out.

    Parameters
    ----------
    dataset, base
        Data and settings.
    only
        Names of arms; empty: all that fit.

    Raises
    ------
    InputError
        If a name is unknown, the model is not kdiffe, or an arm that is asked for does not fit.
    """
    if base.name != "kdiffe":
        raise InputError(
            f"ablate: the model is {base.name!r}; expected kdiffe, whose parts the arms leave out"
        )
    unknown = [name for name in only if name not in ARMS]
    if unknown:
        raise InputError(f"--only {unknown[0]}: is no arm; expected some of {', '.join(ARMS)}")
    chosen: list[Variant] = []
    left_out: list[str] = []
    for name in dict.fromkeys(only or ARMS):
        arm = ARMS[name]
        reason = "" if arm.needs(dataset) else "the data have nothing of the kind"
        made = [] if reason else list(arm.variants(dataset))
        if made and all(alike(base, variant) for variant in made):
            reason = "it changes nothing in these settings"
        if reason and only:
            raise InputError(f"--only {name}: {reason}; expected an arm that differs from the full model")
        if reason:
            left_out.append(f"{name}: {reason}")
        else:
            chosen += made
    return chosen, left_out


@dataclass(frozen=True)
class Ablation:
    """What the arms and the curves brought.

    Parameters
    ----------
    arms
        Full model and arms; null where only settings were varied.
    sweeps
        The study of each setting that was varied; its first variant is the full model.
    left_out
        Which arms did not fit, and why.
    recorded
        How many runs were in the records when it began.
    """

    arms: StudyResult | None
    sweeps: Mapping[Sweep, StudyResult]
    left_out: tuple[str, ...]
    recorded: int = 0

    @property
    def studies(self) -> list[StudyResult]:
        """Return all studies, the arms first."""
        return [*([self.arms] if self.arms else []), *self.sweeps.values()]

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return len({job.folder for study in self.studies for mine in study.jobs.values() for job in mine})

    @property
    def failures(self) -> list[str]:
        """Return a sentence for each run that failed."""
        return list(dict.fromkeys(told for study in self.studies for told in study.failures))

    def tables(self) -> list[ResultTable]:
        """Return the table of each study, and what each part is worth."""
        found = []
        for study in self.studies:
            found += [dataset_tables(study.result)[0], _differences(study)]
        return found

    def figures(self) -> dict[str, Figure]:
        """Return the figures, by file name without suffix."""
        # Imported here: who only wants the tables does not wait for matplotlib.
        from kdiffe_dgl.experiments.curves import study_curve  # noqa: PLC0415
        from kdiffe_dgl.experiments.figures import differences, metric_bars  # noqa: PLC0415

        made = {}
        if self.arms is not None:
            made["arms"] = metric_bars(self.arms.result)
            compared = differences(self.arms.result)
            if compared is not None:
                made["differences"] = compared
        names = file_names(sweep.setting for sweep in self.sweeps)
        for sweep, study in self.sweeps.items():
            entries = study.result.entries[1:]
            setting = sweep.setting.removeprefix("model.")
            made[names[sweep.setting]] = study_curve(setting, sweep.values, entries, study.result.metrics)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return everything, as types that JSON knows."""
        return {
            "versions": installed_versions(),
            "arms": self.arms.result.to_dict() if self.arms else None,
            "left_out": list(self.left_out),
            "sweeps": {sweep.setting: study.result.to_dict() for sweep, study in self.sweeps.items()},
        }

    def write(self, folder: Path) -> None:
        """Write results.json, tables.md and figures/ into a folder."""
        write_study(folder, self.tables(), self.figures(), self.to_dict())


def write_study(
    folder: Path, tables: Sequence[ResultTable], figures: Mapping[str, Figure], facts: Mapping[str, Any]
) -> None:
    """Write results.json, tables.md and figures/ into a folder, each file whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.atomic_file(folder / f"{TABLES}.md") as temporary:
        temporary.write_text("\n".join(table.markdown() for table in tables), encoding="utf-8")
    write_results(folder, figures, facts)


def _differences(study: StudyResult) -> ResultTable:
    """Return how far each variant lies from the first, with corrected p-values."""
    result = study.result
    rows = []
    for entry in result.entries[1:]:
        cells = [Cell(entry.name)]
        for metric in result.metrics:
            found = result.contrast(metric, entry.name)
            if found is None:
                cells += [Cell("–")] * 3
                continue
            low, high = (-bound for bound in reversed(found.paired.interval))
            cells += [
                Cell(f"{-found.paired.difference:+.4f}"),
                Cell(f"{low:+.4f} to {high:+.4f}"),
                Cell(f"{found.p:.2g}", mark=found.mark),
            ]
        rows.append(tuple(cells))
    header = [""]
    for metric in result.metrics:
        header += [f"{metric}, minus {result.reference}", "95 % interval", "p"]
    note = (
        "Paired over users, on values averaged over seeds; p: the larger of t-test and Wilcoxon, after Holm."
    )
    return ResultTable(f"{result.name}: differences", tuple(header), tuple(rows), (note,), "differences")


def ablate(setup: Setup, *, only: Sequence[str] = (), sweeps: Sequence[Sweep] = ()) -> Ablation:
    """Train the full model and its arms, or over the values of settings, and compare them.

    Parameters
    ----------
    setup
        Data, settings of the full model, seeds, and where results go.
    only
        Arms to train; by default all that fit, or none where settings are varied.
    sweeps
        Settings to vary.

    Raises
    ------
    InputError
        If the data, an arm or a setting do not fit.
    """
    chosen: list[Variant] = []
    left_out: list[str] = []
    if only or not sweeps:
        chosen, left_out = choose_arms(setup.dataset, setup.base, only)
    for sweep in sweeps:  # mistakes are told before anything is trained
        sweep.require_fits(setup.base)
    studies = [chosen] if chosen else []
    studies += [sweep.variants() for sweep in sweeps]
    # Of all studies first: what is wrong with a record is told before anything is trained.
    recorded = {folder for variants in studies for folder in setup.recorded([FULL, *variants])}
    arms = setup.run([FULL, *chosen]) if chosen else None
    varied = {sweep: setup.run([FULL, *sweep.variants()]) for sweep in sweeps}
    return Ablation(arms, varied, tuple(left_out), len(recorded))
