"""The page of results is made of its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import results

BLOCK = "<!-- table: {} -->\n{}<!-- end of table -->\n"
ARMS = {
    "preset": "tiny",
    "arms": {
        "built": [{"recall@20": 0.25, "ndcg@20": 0.1}, {"recall@20": 0.35, "ndcg@20": 0.3}],
        "none": [{"recall@20": 0.2, "ndcg@20": 0.25}, {"recall@20": 0.2, "ndcg@20": 0.25}],
    },
    "comparisons": {
        "none": [
            {
                "metric": metric,
                "difference": gain,
                "interval": interval,
                "p_t": p,
                "p_wilcoxon": 0.5,
            }
            for metric, gain, interval, p in (
                ("recall@20", 0.1, [0.09, 0.11], 3e-12),
                ("ndcg@20", -0.05, [-0.06, -0.04], 0.0123),
            )
        ]
    },
}


@pytest.mark.parametrize("path", results.PAGES, ids=lambda path: path.stem)
def test_a_page_is_as_its_records_say(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert page.count("<!-- table: ") == page.count("<!-- end of table -->") > 0
    assert results.fill(page) == page


def test_a_block_is_filled_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / "arms-tiny.json").write_text(json.dumps(ARMS))
    page = "# Before\n" + BLOCK.format("arms-tiny", "stale\n") + "after <!-- not a table -->\n"
    filled = results.fill(page, tmp_path)
    assert filled.startswith("# Before\n<!-- table: arms-tiny -->\n")
    assert filled.endswith("<!-- end of table -->\nafter <!-- not a table -->\n")
    assert "stale" not in filled
    # Means and sample deviations by hand: 0.25 and 0.35; 0.1 and 0.3.
    assert "| built | **0.3000 ± 0.0707** |" in filled
    assert "**0.2500 ± 0.0000**" in filled
    assert "+0.1000 (+0.0900 to +0.1100) | \\< 1e-10, 0.5 |" in filled
    assert "-0.0500 (-0.0600 to -0.0400) | 0.012, 0.5 |" in filled
    assert results.fill(filled, tmp_path) == filled


@pytest.mark.parametrize("name", ["arms-absent", "unheard-of"])
def test_a_table_without_record_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "unheard-of.json").write_text("{}")
    with pytest.raises(SystemExit, match=rf"table {name}: expected a record"):
        results.fill(BLOCK.format(name, ""), tmp_path)


def test_a_record_holds_no_folder_and_no_machine(tmp_path: Path) -> None:
    arms = {**ARMS, "arms": {**ARMS["arms"], "random": ARMS["arms"]["none"]}}
    figures = {**arms, "machine": {"cores": 2}, "run": "/a/run", "seconds": [1.0], "ratio": 0.123456789}
    source = tmp_path / "figures.json"
    source.write_text(json.dumps(figures))
    kept = json.loads(results.keep("arms-tiny", source, tmp_path / "records").read_text())
    assert kept == {**arms, "ratio": 0.123457}


def test_tables_of_a_comparison(tmp_path: Path) -> None:
    def runs(*values: float) -> list[dict[str, dict[str, float]]]:
        return [
            {split: {"recall@20": x, "ndcg@20": x / 2} for split in ("validation", "test")} for x in values
        ]

    record = {
        "datasets": {
            "Tiny": {
                "users_evaluated": 1234,
                "entries": {
                    "Ours": {"runs": runs(0.4, 0.6)},
                    "Theirs": {"runs": runs(0.3)},
                    "Lost": {"runs": []},
                },
                "comparisons": [
                    {
                        "reference": "Ours", "other": "Theirs", "metric": "recall@20", "difference": 0.2,
                        "p_t_corrected": 1e-5, "p_wilcoxon_corrected": 0.02,
                    }
                ],
            }
        }
    }  # fmt: skip
    (tmp_path / "compare-tiny.json").write_text(json.dumps(record))
    table = results.render("compare-tiny", tmp_path)
    assert table.startswith("**Tiny, 1,234 users**\n")
    assert "| Ours | 2 | 0.5000 ± 0.1414 | **0.5000 ± 0.1414** | **0.2500 ± 0.0707** |  |  |" in table
    # The larger of the two p-values stands.
    assert "| Theirs | 1 | 0.3000 | <u>0.3000</u> | <u>0.1500</u> | +0.2000, 0.02 |  |" in table
    assert "| Lost | 0 | – | – | – |  |  |" in table


def test_a_record_of_a_comparison_keeps_entries_of_any_name_and_what_the_page_shows(tmp_path: Path) -> None:
    figures = {"recall@20": 0.5, "ndcg@20": 0.25, "map@5": 0.1}
    run = {"seed": 0, "best_epoch": 2, "folder": "/a", "groups": {}, "validation": figures, "test": figures}
    entries = {name: {"settings": {"top": 1}, "summary": {}, "runs": [run]} for name in ("random", "Ours")}
    source = tmp_path / "results.json"
    source.write_text(json.dumps({"plan": {}, "datasets": {"Tiny": {"entries": entries, "comparisons": []}}}))
    file = results.keep("compare-tiny", source, tmp_path)
    assert file == tmp_path / "compare-tiny.json"
    shown = {"recall@20": 0.5, "ndcg@20": 0.25}
    kept = {
        "settings": {"top": 1},
        "runs": [{"seed": 0, "best_epoch": 2, "validation": shown, "test": shown}],
    }
    assert json.loads(file.read_text())["datasets"]["Tiny"]["entries"] == {"random": kept, "Ours": kept}


def _entry(*recalls: float) -> dict[str, Any]:
    runs = [
        {
            "seed": seed,
            "folder": "somewhere",
            "best_epoch": 1,
            "epochs": 2,
            "validation": {"recall@20": recall, "ndcg@20": 0.1},
            "test": {"recall@20": recall, "ndcg@20": recall / 2, "mrr@20": 0.3},
        }
        for seed, recall in enumerate(recalls)
    ]
    return {"settings": {}, "summary": {}, "runs": runs}


def test_the_table_of_an_ablation(tmp_path: Path) -> None:
    comparison = {
        "metric": "recall@20", "reference": "full", "other": "without-x", "difference": 0.05,
        "p_t_corrected": 0.001, "p_wilcoxon_corrected": 0.02,
    }  # fmt: skip
    found = {"entries": {"full": _entry(0.2, 0.4), "without-x": _entry(0.25, 0.25), "failed": _entry()}}
    arms = {"dataset": "tiny", **found, "comparisons": [comparison]}
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"arms": arms, "sweeps": {}, "left_out": []}))
    results.keep("ablation-tiny", file, tmp_path)
    assert "somewhere" not in (tmp_path / "ablation-tiny.json").read_text()
    table = results.render("ablation-tiny", tmp_path)
    assert "**tiny, 2 seeds**" in table
    # Of two p-values the larger.
    assert "| without-x | <u>0.2500 ± 0.0000</u> | <u>0.1250 ± 0.0000</u> | +0.0500, 0.02 |  |" in table
    assert "| failed | – | – |  |  |" in table


def test_the_table_of_noise(tmp_path: Path) -> None:
    entries = {"no noise": _entry(0.2, 0.4), "triples +50%": _entry(0.3, 0.24)}
    sorted_out = [
        {"gone": 0.8, "precision": 0.9, "stay": 0.7, "auc": 0.75},
        {"gone": 0.9, "precision": None, "stay": 0.8, "auc": 0.85},
    ]
    study = {
        "dataset": "tiny", "entries": entries, "comparisons": [],
        "levels": {"triples": {"triples +50%": 0.5}},
        "added_triples": {"triples +50%": sorted_out},
        "planted": {"no noise": sorted_out, "triples +50%": sorted_out[:1]},
    }  # fmt: skip
    file = tmp_path / "results.json"
    file.write_text(json.dumps(study))
    results.keep("robustness-tiny", file, tmp_path)
    table = results.render("robustness-tiny", tmp_path)
    assert "| no noise | 0.3000 ± 0.1414 | 0.1500 ± 0.0707 |  |  |  |  |" in table
    assert "| triples +50% | 0.2700 ± 0.0424 | 0.1350 ± 0.0212 | -10.0% | 0.850 | 0.750 | 0.800 |" in table
    told = "no noise: AUC 0.800 (0.750 to 0.850); 75.0% of the former stay, 85.0% of the latter are gone"
    assert f"Triples that cause interactions against all others, {told}; triples +50%: AUC 0.750" in table
