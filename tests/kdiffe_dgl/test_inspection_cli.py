"""``kdiffe inspect`` prints a summary, writes every form, and tells bad input in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result
from refusals import refused

from kdiffe_dgl.cli import main


def inspect(folders: Path, *arguments: str, run: str = "run") -> Result:
    command = ["inspect", str(folders / run), "--data", str(folders / "data"), *arguments]
    return CliRunner().invoke(main, command)


def test_summary_by_default(folders: Path) -> None:
    result = inspect(folders)
    assert result.exit_code == 0, result.output
    for words in (
        "Inside kdiffe on tiny",
        "What diffusion did, by relation",
        "Most weakened entities",
        "genre",
    ):
        assert words in result.stdout


def test_json_to_the_terminal(folders: Path) -> None:
    told = json.loads(inspect(folders, "--format", "json", "--user", "u4", "-k", "3").stdout)
    assert [one["user"] for one in told["lists"]] == ["u4"]
    assert len(told["lists"][0]["recommended"]) == 3


def test_every_form_is_written(folders: Path, tmp_path: Path) -> None:
    page, plain = tmp_path / "inside.html", tmp_path / "inside.json"
    result = inspect(folders, "--colour-by", "g1", "--out", str(page), run="other")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(f"written  {page}\n")
    assert "6 items have it as a fact." in page.read_text(encoding="utf-8")
    assert inspect(folders, "--map", "tsne", "--out", str(plain)).exit_code == 0
    told = json.loads(plain.read_text(encoding="utf-8"))
    assert (told["run"]["model"], told["map"]["projection"]) == ("kdiffe", "tsne")
    folder = tmp_path / "inside"
    folder.mkdir()
    # Of an earlier run that had diffusion.
    (folder / "degrees.png").write_bytes(b"old")
    told = refused(inspect(folders, "--out", str(folder), run="other"))
    assert "holds degrees.png already" in told
    assert [path.name for path in folder.iterdir()] == ["degrees.png"]
    assert inspect(folders, "--overwrite", "--out", str(folder), run="other").exit_code == 0
    written = {path.name for path in folder.iterdir()}
    assert written == {"inspection.html", "inspection.json", "map.png", "training.png"}
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")


def test_bad_input(folders: Path, tmp_path: Path) -> None:
    assert "the nearest ids are" in refused(inspect(folders, "--user", "u44"))
    assert "no relation or entity is called so" in refused(inspect(folders, "--colour-by", "gener"))
    assert "'.docx' names no form" in refused(inspect(folders, "--out", str(tmp_path / "a.docx")))
    (tmp_path / "file").write_text("taken")
    assert "is a file; expected a folder" in refused(inspect(folders, "--out", str(tmp_path / "file")))
    told = refused(inspect(folders, "--format", "html", "--out", str(folders)))
    assert "is a folder; expected a file" in told
    missing = tmp_path / "no" / "a.html"
    assert "no such folder" in refused(inspect(folders, "--out", str(missing)))
    assert "can't be read" in refused(
        inspect(folders, "--pictures", str(tmp_path / "none"), "--out", str(tmp_path / "inside"), run="other")
    )
    told = refused(inspect(folders, "--format", "html", "--out", str(tmp_path / "a.json")))
    assert "its name tells json" in told
    told = refused(inspect(folders, "--out", ""))
    assert "--out '': names nothing" in told
    assert inspect(folders, "--map", "umap").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_help_shows_examples() -> None:
    shown = CliRunner().invoke(main, ["inspect", "--help"]).output
    assert "kdiffe inspect runs/ml-100k --data ml-100k" in shown
    assert "inspect" in CliRunner().invoke(main, ["--help"]).output
