"""Pictures, tables and the HTML page of a run."""

import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.curves import training_curves
from kdiffe_dgl.evaluation.report import write_report
from kdiffe_dgl.evaluation.tables import by_cutoff, metrics_table
from kdiffe_dgl.serving import RunFolder

HISTORY = [
    {
        "epoch": epoch,
        "seconds": 1.25,
        "losses": {"bpr": 0.7 / (epoch + 1), "<b>bold</b>": 0.01},
        "validation": {"recall@20": recall, "ndcg@20": recall / 2} if recall else None,
    }
    for epoch, recall in enumerate([0.1, None, 0.3, 0.2])
]
METRICS = {
    "validation": {"recall@10": 0.21, "recall@20": 0.3},
    "test": {"recall@20": 0.2812, "gini@20": 0.75},
    "mask": ["train"],
}


@pytest.fixture
def run(tiny_dataset: RecDataset, tmp_path: Path) -> RunFolder:
    """A run whose names try to be markup."""
    dataset = tiny_dataset.replace(name="<script>alert(1)</script>")
    folder = RunFolder.create(
        tmp_path / "run", dataset, model="kdiffe", seed=3, config={"note": "</pre><img src=x>"}
    )
    folder.write_representations(np.zeros((24, 2)), np.zeros((18, 2)))
    folder.write_history(HISTORY)
    folder.write_metrics(METRICS)
    return folder


class Page(HTMLParser):
    """Collects tags, their addresses and the text of cells; notices tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def test_page_is_complete_and_stands_alone(run: RunFolder) -> None:
    target = write_report(run.path)
    assert target == run.path / "report.html"
    page = Page(target.read_text(encoding="utf-8"))
    assert not page.open
    assert {"0.2812", "0.7500", "0.2100", "kdiffe", "train", "torch", "5.0"} <= set(page.cells)
    assert page.cells.count("1.2500") == len(HISTORY)
    assert [address[:22] for address in page.addresses] == ["data:image/png;base64,"]


def test_text_is_never_markup(run: RunFolder) -> None:
    page = Page(write_report(run.path).read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert page.tags.count("img") == 1
    assert "<script>alert(1)</script>" in page.cells
    assert "<b>bold</b>" in page.cells


def test_pictures_lie_beside_the_page(run: RunFolder) -> None:
    write_report(run.path)
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (run.path / "curves.svg").read_text(encoding="utf-8")
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]


def test_report_of_a_run_without_epochs_or_test(run: RunFolder) -> None:
    run.write_history([])
    run.write_metrics({"validation": {"recall@20": 0.5}, "test": None})
    page = Page(write_report(run.path).read_text(encoding="utf-8"))
    assert "0.5000" in page.cells
    assert "0.2812" not in page.cells


@pytest.mark.parametrize(
    ("history", "metrics", "message"),
    [
        ([{"seconds": 1}], METRICS, "history.json: entry 0 is not an epoch"),
        ([{"epoch": 0, "losses": [1]}], METRICS, "history.json: entry 0 is not an epoch"),
        (["x"], METRICS, "history.json: entry 0 is not an epoch"),
        ([{"epoch": 0, "side": [1]}], METRICS, "history.json: entry 0 is not an epoch"),
        ([{"epoch": 0, "side": "x"}], METRICS, "history.json: entry 0 is not an epoch"),
        ([{"epoch": 0, "seconds": "x"}], METRICS, "history.json: entry 0 is not an epoch"),
        ([{"epoch": 10**15}], METRICS, "history.json: entry 0 is not an epoch"),
        ([{"epoch": -1}], METRICS, "history.json: entry 0 is not an epoch"),
        (HISTORY, {"test": {"recall@20": "high"}}, "metrics.json: field 'test'"),
    ],
)
def test_files_of_another_shape_are_named(run: RunFolder, history: list, metrics: dict, message: str) -> None:
    run.write_history(history)
    run.write_metrics(metrics)
    with pytest.raises(InputError, match=message):
        write_report(run.path)
    assert not (run.path / "report.html").exists()


def test_metrics_that_are_not_finite_are_refused(run: RunFolder) -> None:
    (run.path / "metrics.json").write_text('{"test": {"recall@20": NaN}}', encoding="utf-8")
    with pytest.raises(InputError, match=r"metrics\.json"):
        write_report(run.path)


def test_unfinished_run_has_no_report(run: RunFolder) -> None:
    (run.path / "metrics.json").unlink()
    with pytest.raises(InputError, match=r"metrics\.json: missing file"):
        write_report(run.path)


def lines_of(figure) -> dict[str, list[list[float]]]:  # type: ignore[no-untyped-def]
    return {
        str(line.get_label()): [list(line.get_xdata()), list(line.get_ydata())]
        for axes in figure.axes
        for line in axes.get_lines()
    }


def test_curves_show_what_was_recorded() -> None:
    figure = training_curves(HISTORY)
    lines = lines_of(figure)
    assert lines["bpr"] == [[0, 1, 2, 3], [entry["losses"]["bpr"] for entry in HISTORY]]
    assert lines["recall@20"] == [[0, 2, 3], [0.1, 0.3, 0.2]]
    # The circles are unnamed lines of one point, at the best epoch.
    circles = [line for line in figure.axes[1].get_lines() if len(line.get_xdata()) == 1]
    assert [list(line.get_xdata()) for line in circles] == [[2], [2]]
    assert figure.axes[0].get_yscale() == "log"


def test_curves_choose_metrics_and_skip_what_is_not_finite() -> None:
    history = [
        {"epoch": 1, "losses": {"kl": -0.5}, "validation": {"mrr@5": 0.2, "map@5": 0.1}},
        {"epoch": 2, "losses": {"kl": float("nan")}, "validation": {"mrr@5": 0.3, "map@5": 0.2}},
    ]
    assert lines_of(training_curves(history))["kl"] == [[1], [-0.5]]
    assert training_curves(history).axes[0].get_yscale() == "linear"
    assert lines_of(training_curves(history))["mrr@5"] == [[1, 2], [0.2, 0.3]]
    assert lines_of(training_curves(history, ["map@5"]))["map@5"] == [[1, 2], [0.1, 0.2]]


def test_curves_leave_global_state_alone() -> None:
    from matplotlib import _pylab_helpers

    training_curves(HISTORY)
    assert _pylab_helpers.Gcf.get_all_fig_managers() == []


def test_metrics_by_cutoff() -> None:
    cutoffs, rows = by_cutoff({"recall@20": 0.3, "recall@5": 0.1, "ndcg@5": 0.2, "loss": 9.0, "x@y": 1.0})
    assert cutoffs == [5, 20]
    assert rows == {"recall": {20: 0.3, 5: 0.1}, "ndcg": {5: 0.2}}


def test_metrics_table_has_a_row_for_each_metric_of_each_split() -> None:
    buffer = io.StringIO()
    table = metrics_table({"validation": METRICS["validation"], "test": METRICS["test"]}, "[red]not markup")
    Console(file=buffer, width=80).print(table)
    text = buffer.getvalue()
    assert "[red]not markup" in text
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line
    ]
    assert rows == [
        ["validation", "recall", "0.2100", "0.3000"],
        ["test", "recall", "", "0.2812"],
        ["test", "gini", "", "0.7500"],
    ]
