"""A self-contained HTML page about one run."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.curves import training_curves
from kdiffe_dgl.evaluation.tables import by_cutoff, fitted_weights
from kdiffe_dgl.serving.files import atomic_file
from kdiffe_dgl.serving.run_folder import HISTORY, METRICS, RunFolder

__all__ = ["checked_history", "checked_metrics", "write_report"]

_MOST_EPOCHS = 2**31
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd; }
th { text-align: left; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; }
"""


def write_report(run_dir: str | os.PathLike[str]) -> Path:
    """Write ``report.html``, ``curves.png`` and ``curves.svg`` into a run folder.

    The page holds the metrics, the training curves, the epochs, the configuration and the versions; it
    refers to no other file, so it can be sent as it is. All text is escaped.

    Parameters
    ----------
    run_dir
        A finished run.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder is not a finished run, or a file in it is damaged.
    """
    run = RunFolder(run_dir)
    history = checked_history(run)
    metrics = checked_metrics(run)
    figure = training_curves(history)
    for name in ("curves.png", "curves.svg"):
        with atomic_file(run.path / name) as temporary:
            figure.savefig(temporary, dpi=120)
    picture = base64.b64encode((run.path / "curves.png").read_bytes()).decode("ascii")
    config = yaml.safe_dump(run.config(), sort_keys=False, allow_unicode=True)
    title = f"{run.info.model} on {run.info.dataset}"
    facts = {
        "Model": run.info.model,
        "Data set": run.info.dataset,
        "Fingerprint": run.info.fingerprint,
        "Seed": run.info.seed,
        "Epochs": len(history),
        "Seconds": f"{sum(float(entry.get('seconds') or 0.0) for entry in history):.1f}",
        "Masked in test": ", ".join(str(split) for split in metrics.get("mask", ())),
    }
    fitted = metrics.get("scoring_weights")
    if fitted:
        facts["Weights in the score, fitted on validation"] = fitted_weights(fitted)
        facts["Validation"] = (
            "metrics are with these weights; by epoch, below, they are from before they were fitted"
        )
    page = "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            _table(["", ""], facts.items()),
            *_metric_sections(metrics),
            "<h2>Training</h2>",
            f'<img alt="Losses and validation metrics by epoch" src="data:image/png;base64,{picture}">',
            _history_table(history),
            f"<h2>Configuration</h2>\n<pre>{escape(config)}</pre>",
            "<h2>Versions</h2>",
            _table(["package", "version"], run.info.versions.items()),
            "</body>\n</html>\n",
        ]
    )
    target = run.path / "report.html"
    with atomic_file(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def checked_history(run: RunFolder) -> list[dict[str, Any]]:
    """Read the list of epochs; an entry that is none raises ``InputError``."""
    history = run.history()
    for place, entry in enumerate(history):
        usable = (
            isinstance(entry, dict)
            and isinstance(entry.get("epoch"), int)
            and 0 <= entry["epoch"] < _MOST_EPOCHS
            and isinstance(entry.get("seconds") or 0.0, (int, float))
            and all(isinstance(entry.get(field) or {}, dict) for field in ("losses", "validation", "side"))
        )
        if not usable:
            raise InputError(
                f"{run.path / HISTORY}: entry {place} is not an epoch; expected a number 'epoch', and "
                "'losses', 'validation' and 'side' by name"
            )
    return history


def checked_metrics(run: RunFolder) -> dict[str, Any]:
    """Read the metrics; values that are no finite numbers raise ``InputError``."""
    metrics = run.metrics()
    for split in ("validation", "test", "scoring_weights"):
        values = metrics.get(split)
        if values is not None and not (
            isinstance(values, dict)
            and all(isinstance(value, (int, float)) and math.isfinite(value) for value in values.values())
        ):
            raise InputError(f"{run.path / METRICS}: field {split!r} does not map names to finite numbers")
    return metrics


def _metric_sections(metrics: Mapping[str, Any]) -> Iterable[str]:
    for split in ("validation", "test"):
        if metrics.get(split):
            cutoffs, rows = by_cutoff(metrics[split])
            yield f"<h2>{split.capitalize()} metrics</h2>"
            yield _table(
                ["metric", *(f"@{cutoff}" for cutoff in cutoffs)],
                ([name, *(values.get(cutoff, "") for cutoff in cutoffs)] for name, values in rows.items()),
            )


def _history_table(history: Sequence[Mapping[str, Any]]) -> str:
    losses = sorted({name for entry in history for name in entry.get("losses") or {}})
    shown = [
        name
        for name in ("recall@20", "ndcg@20")
        if any(name in (entry.get("validation") or {}) for entry in history)
    ]
    rows = (
        [
            entry["epoch"],
            entry.get("seconds") or "",
            *((entry.get("losses") or {}).get(name, "") for name in losses),
            *((entry.get("validation") or {}).get(name, "") for name in shown),
        ]
        for entry in history
    )
    return _table(["epoch", "seconds", *losses, *(f"validation {name}" for name in shown)], rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["<table>"]
    if any(header):
        cells = "".join(f"<th>{escape(name)}</th>" for name in header)
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    lines.append("<tbody>")
    lines.extend(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    lines.append("</tbody></table>")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.4f}</td>'
    kind = ' class="number"' if isinstance(value, int) else ""
    return f"<td{kind}>{escape(str(value))}</td>"
