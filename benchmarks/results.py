"""Makes the tables of docs/results.md and docs/tried.md from the records of measurements.

Run ``python benchmarks/results.py``. A block of a page that begins with ``<!-- table: NAME -->`` and ends
with ``<!-- end of table -->`` is filled from ``benchmarks/records/NAME.json``; the text around the blocks
stays as it is. ``--keep NAME=FILE`` first makes a record of what a benchmark, ``kdiffe compare``, ``kdiffe
ablate`` or ``kdiffe robustness`` wrote, without the facts of the machine and the values of each user.
``--check`` only says whether the pages are as their records say.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from common import Figures

from kdiffe_dgl.experiments.tables import Cell, ResultTable, ranked

__all__ = ["fill", "keep", "main", "render"]

PAGES = tuple(Path(__file__).resolve().parents[1] / "docs" / name for name in ("results.md", "tried.md"))
RECORDS = Path(__file__).resolve().parent / "records"
METRICS = ("recall@20", "ndcg@20")
_TITLES = {"recall@20": "Recall@20", "ndcg@20": "NDCG@20"}
_RANKED_BY = {
    "score": "the model's own score",
    "interactions": "ranker: score, popularity, co-occurrence",
    "facts": "the same and facts",
    "shuffled": "the same and facts of shuffled items",
    "features": "the same and features",
    "everything": "the same, facts and features",
    "ceiling": "the choices themselves",
}
_BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def _spread(values: list[float]) -> str:
    """Return mean ± sample standard deviation; the mean of one value is that value."""
    mean = f"{np.mean(values):.4f}"
    return f"{mean} ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else mean


def _p(value: float) -> str:
    """Return a p-value with two digits."""
    return "< 1e-10" if value < 1e-10 else f"{value:.2g}"


def _difference(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['difference']:+.4f} ({low:+.4f} to {high:+.4f})"


def _columns(values: list[dict[str, list[float]]]) -> list[list[Cell]]:
    """Return a column of cells for each metric, the best in bold."""
    columns = []
    for metric in METRICS:
        best, second = ranked([float(np.mean(each[metric])) if each else None for each in values])
        columns.append(
            [
                Cell(_spread(each[metric]) if each else "–", place in best, place in second)
                for place, each in enumerate(values)
            ]
        )
    return columns


# --- kinds of records ----------------------------------------------------------------------------


def _arms(record: Figures) -> ResultTable:
    """Return the table of ``arms.py``: figures of each arm, and what the first has before it."""
    values = [
        {metric: [run[metric] for run in runs] for metric in METRICS} for runs in record["arms"].values()
    ]
    recall, ndcg = _columns(values)
    first = next(iter(record["arms"]))
    rows = []
    for place, name in enumerate(record["arms"]):
        cells = [Cell(name), recall[place], ndcg[place]]
        for found in record["comparisons"].get(name, [None, None]):
            text = (
                [_difference(found), f"{_p(found['p_t'])}, {_p(found['p_wilcoxon'])}"] if found else ["", ""]
            )
            cells += [Cell(each) for each in text]
        rows.append(tuple(cells))
    seeds = len(next(iter(record["arms"].values())))
    header = ["Graph", *_TITLES.values()]
    for title in _TITLES.values():
        header += [f"{first} minus it, {title}", "p (t, W.)"]
    return ResultTable(f"Preset {record['preset']}, {seeds} seeds", tuple(header), tuple(rows))


def _compare(record: Figures) -> Iterator[ResultTable]:
    """Return the tables of ``kdiffe compare``, a data set each."""
    for name, found in record["datasets"].items():
        recall, ndcg = _columns(_values(found["entries"]))
        rows = []
        for place, (entry, each) in enumerate(found["entries"].items()):
            validation = [run["validation"]["recall@20"] for run in each["runs"]]
            cells = [
                Cell(entry), Cell(str(len(validation))), Cell(_spread(validation) if validation else "–"),
                recall[place], ndcg[place],
            ]  # fmt: skip
            rows.append((*cells, *_compared(found, entry)))
        reference = next((each["reference"] for each in found["comparisons"]), "the first")
        header = ["Model", "Seeds", "Validation Recall@20", *_TITLES.values()]
        header += [f"{reference} minus it in {title}, p" for title in _TITLES.values()]
        yield ResultTable(f"{name}, {found['users_evaluated']:,} users", tuple(header), tuple(rows))


def _faithfulness(record: Figures) -> ResultTable:
    """Return the table of ``faithfulness.py``."""
    low, high = record["ratio_interval"]
    rows = tuple(
        (
            Cell(str(number + 1)), Cell(f"{best:.3f}"), Cell(f"{drawn:.3f}"), Cell(f"{best / drawn:.2f}"),
        )
        for number, (best, drawn) in enumerate(
            zip(record["mean_drop_top"], record["mean_drop_random"], strict=True)
        )
    )  # fmt: skip
    notes = (f"95 % interval of the last ratio, by bootstrap: {low:.2f} to {high:.2f}.",)
    title = f"{record['dataset']}, {record['recommendations']} recommendations"
    return ResultTable(title, ("Deleted paths", "Best", "Random", "Ratio"), rows, notes)


def _ceiling(record: Figures) -> ResultTable:
    """Return the table of ``ceiling.py``, and its differences as notes."""
    figures = record["figures"]
    values = [{metric: [run[metric] for run in runs] for metric in METRICS} for runs in figures.values()]
    recall, ndcg = _columns(values)
    rows = tuple(
        (Cell(_RANKED_BY.get(name, name)), Cell(recall[place].text), Cell(ndcg[place].text))
        for place, name in enumerate(figures)
    )
    notes = []
    for pair in ("facts - shuffled", "facts - interactions"):
        for found in record["comparisons"].get(pair, []):
            tests = f"p {_p(found['p_t'])} (t), {_p(found['p_wilcoxon'])} (W.)"
            notes.append(f"{pair}, {_TITLES[found['metric']]}: {_difference(found)}, {tests}.")
    title = f"{record['dataset']}, validation, {record['candidates']} candidates of {record['users']:,} users"
    return ResultTable(title, ("Candidates ranked by", *_TITLES.values()), rows, tuple(notes))


def _values(entries: Mapping[str, Any]) -> list[dict[str, list[float]]]:
    """Return the test values of each entry by metric; nothing for one without runs."""
    return [
        {metric: [run["test"][metric] for run in each["runs"]] for metric in METRICS} if each["runs"] else {}
        for each in entries.values()
    ]


def _compared(found: Mapping[str, Any], name: str) -> list[Cell]:
    """Return a cell a metric: what the reference has before an entry, and the larger corrected p-value."""
    cells = []
    for metric in METRICS:
        one = next(
            (each for each in found["comparisons"] if (each["other"], each["metric"]) == (name, metric)), None
        )
        worst = max(one["p_t_corrected"], one["p_wilcoxon_corrected"]) if one else None
        cells.append(Cell("" if one is None or worst is None else f"{one['difference']:+.4f}, {_p(worst)}"))
    return cells


def _ablation(record: Figures) -> ResultTable:
    """Return the table of ``kdiffe ablate``: figures of each arm, and what the full model has before it."""
    found = record["arms"]
    recall, ndcg = _columns(_values(found["entries"]))
    rows = tuple(
        (Cell(name), recall[place], ndcg[place], *_compared(found, name))
        for place, name in enumerate(found["entries"])
    )
    full = next(iter(found["entries"]))
    seeds = len(found["entries"][full]["runs"])
    header = ["Arm", *_TITLES.values(), *(f"{full} minus it in {title}, p" for title in _TITLES.values())]
    return ResultTable(f"{found['dataset']}, {seeds} seeds", tuple(header), rows)


def _robustness(record: Figures) -> ResultTable:
    """Return the table of ``kdiffe robustness``: what noise costs, and how much of it is thrown out."""
    values = _values(record["entries"])
    recall, ndcg = _columns(values)
    means = [float(np.mean(each[METRICS[0]])) if each else None for each in values]
    rows = []
    for place, name in enumerate(record["entries"]):
        mean, clean = means[place], means[0]
        change = mean / clean - 1 if mean is not None and clean else None
        cells = [Cell(name), Cell(recall[place].text), Cell(ndcg[place].text)]
        cells.append(Cell("" if not place or change is None else f"{change:+.1%}"))
        sorted_out = record["added_triples"].get(name) or []
        for key in ("gone", "stay", "auc"):
            shares = [run[key] for run in sorted_out if run[key] is not None]
            cells.append(Cell(f"{np.mean(shares):.3f}" if shares else ""))
        rows.append(tuple(cells))
    told = []
    for name, found in (record.get("planted") or {}).items():
        figures = ([run[key] for run in found if run[key] is not None] for key in ("auc", "gone", "stay"))
        auc, gone, stay = figures
        if not (auc and gone and stay):  # all triples are of one kind
            continue
        told.append(
            f"{name}: AUC {np.mean(auc):.3f} ({min(auc):.3f} to {max(auc):.3f}); {np.mean(stay):.1%} of the "
            f"former stay, {np.mean(gone):.1%} of the latter are gone"
        )
    notes = [f"Triples that cause interactions against all others, {'; '.join(told)}."] if told else []
    seeds = len(next(iter(record["entries"].values()))["runs"])
    header = ("Noise", *_TITLES.values(), "Change in Recall@20", "Added gone", "Others stay", "AUC of scores")
    title = f"{record['dataset']}, {seeds} seed{'' if seeds == 1 else 's'}"
    return ResultTable(title, header, tuple(rows), tuple(notes))


def _listed(kind: Callable[[Figures], ResultTable]) -> Callable[[Figures], Iterator[ResultTable]]:
    def tables(record: Figures) -> Iterator[ResultTable]:
        yield kind(record)

    return tables


_KINDS: Mapping[str, Callable[[Figures], Iterator[ResultTable]]] = {
    "ablation": _listed(_ablation),
    "arms": _listed(_arms),
    "ceiling": _listed(_ceiling),
    "compare": _compare,
    "faithfulness": _listed(_faithfulness),
    "robustness": _listed(_robustness),
}
"""First word of a record's name -> its tables."""


# --- records and page ----------------------------------------------------------------------------


def keep(name: str, file: Path, records: Path) -> Path:
    """Make a record of a file of figures, and return it.

    Left out are facts of the machine, folders, groups and values by user, which the page does not show.
    """
    read = json.loads(file.read_text(encoding="utf-8"))
    dropped = {"machine", "run", "plan", "top", "random", "seconds", "connecting_paths", "scores"}
    # At these places alone: an arm, an entry or a setting may have any of the names.
    figures = {key: value for key, value in read.items() if key not in dropped}
    # A comparison has entries by data set, an ablation among its arms, a study of noise at the top.
    for found in (*figures.get("datasets", {}).values(), figures.get("arms"), figures):
        if isinstance(found, dict) and "entries" in found and "comparisons" in found:
            found["entries"] = {
                entry: {"settings": each.get("settings"), "runs": [_of_run(run) for run in each["runs"]]}
                for entry, each in found["entries"].items()
            }
    record = records / f"{name}.json"
    records.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(_rounded(figures), indent=1) + "\n", encoding="utf-8")
    return record


def _of_run(run: Figures) -> Figures:
    """Return what the page needs of a run."""
    splits = {
        split: {metric: value for metric, value in run[split].items() if metric in METRICS}
        for split in ("validation", "test")
    }
    return {**{key: run[key] for key in ("seed", "best_epoch", "epochs") if key in run}, **splits}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def render(name: str, records: Path = RECORDS) -> str:
    """Return the Markdown of the tables of a record.

    Parameters
    ----------
    name
        Of the record; its first word says what kind it is of.
    records
        Folder of the records.
    """
    kind = _KINDS.get(name.partition("-")[0])
    file = records / f"{name}.json"
    if kind is None or not file.is_file():
        known = ", ".join(_KINDS)
        raise SystemExit(f"table {name}: expected a record {file} of a kind in {known}")
    record = json.loads(file.read_text(encoding="utf-8"))
    # Headings of the page would hang below the section that they stand in.
    return "\n".join(
        table.markdown().replace("### ", "**", 1).replace("\n", "**\n", 1) for table in kind(record)
    )


def fill(page: str, records: Path = RECORDS) -> str:
    """Return the page with its blocks filled."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{render(found[2], records)}\n{found[3]}", page)


def main() -> None:
    """Keep records, fill the pages or check them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--keep", action="append", default=[], metavar="NAME=FILE", help="Repeatable.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 if it would")
    options = parser.parse_args()
    for given in options.keep:
        name, _, file = given.partition("=")
        print(f"record {keep(name, Path(file), RECORDS)}")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        filled = fill(text)
        if filled == text:
            print(f"{page} is as its records say")
        elif options.check:
            raise SystemExit(f"{page} is not as its records say; run python benchmarks/results.py")
        else:
            page.write_text(filled, encoding="utf-8")
            print(f"{page} written")


if __name__ == "__main__":
    main()
