"""``kdiffe explain`` writes every form, and tells bad input in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from refusals import refused

from kdiffe_dgl.cli import main


def explain(folders: Path, *arguments: str, run: str = "run") -> Result:
    command = ["explain", str(folders / run), "--data", str(folders / "data"), *arguments]
    return CliRunner().invoke(main, command)


def test_sentences_by_default(folders: Path) -> None:
    result = explain(folders, "--user", "u4")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Why Item ")
    assert "Because " in result.stdout


@pytest.mark.parametrize("form", ["text", "html", "png", "svg", "pdf", "json", "graphml"])
def test_every_form_is_written(folders: Path, tmp_path: Path, form: str) -> None:
    file = tmp_path / f"why.{'txt' if form == 'text' else form}"
    result = explain(
        folders, "--user", "u4", "--item", "i7", "--paths", "3", "--facts-only", "--out", str(file)
    )
    assert result.exit_code == 0, result.output
    assert file.stat().st_size > 200
    if form == "json":
        told = json.loads(file.read_text(encoding="utf-8"))
        assert told["item"]["id"] == "i7"
        assert 1 <= len(told["paths"]) <= 3
        assert "other user" not in {node["role"] for node in told["nodes"]}


def test_several_items_make_a_folder(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "why"
    result = explain(folders, "--user", "u4", "--top", "2", "--format", "json", "--out", str(out))
    assert result.exit_code == 0, result.output
    files = sorted(path.name for path in out.iterdir())
    assert [name[:3] for name in files] == ["01-", "02-"]
    recommended = CliRunner().invoke(
        main, ["recommend", str(folders / "run"), "--user", "u4", "-k", "2", "--format", "json"]
    )
    expected = [row["item"] for row in json.loads(recommended.stdout)]
    assert [json.loads((out / name).read_text())["item"]["id"] for name in files] == expected


def test_bad_input(folders: Path, tmp_path: Path) -> None:
    assert "the nearest ids are" in refused(explain(folders, "--user", "u44"))
    assert "unknown item 'i77'" in refused(explain(folders, "--user", "u4", "--item", "i77"))
    assert "expected a run of kdiffe" in refused(explain(folders, "--user", "u4", run="other"))
    assert "expected a run folder" in refused(explain(folders, "--user", "u4", run="nowhere"))
    out = str(tmp_path / "why.docx")
    assert "'.docx' names no form" in refused(explain(folders, "--user", "u4", "--out", out))
    assert "names no form" in refused(explain(folders, "--user", "u4", "--out", str(tmp_path / "why")))
    for options in (("--format", "png"), ("--top", "2", "--format", "html"), ("--paths", "0")):
        assert explain(folders, "--user", "u4", *options).exit_code == 2
    html = str(tmp_path / "why.png")
    assert "its name tells png" in refused(
        explain(folders, "--user", "u4", "--format", "html", "--out", html)
    )
    assert not list(tmp_path.iterdir())


def test_what_would_be_left_out_is_refused(folders: Path) -> None:
    told = refused(explain(folders, "--user", "u4", "--item", "i7", "--top", "2"))
    assert told.startswith("error: --item i7 and --top 2: ")
    told = refused(explain(folders, "--user", "u4", "--user", "u5"))
    assert told == "error: --user u4 and u5: given 2 times; expected one --user\n"
    assert "expected one --item" in refused(explain(folders, "--user", "u4", "--item", "i7", "--item", "i8"))
    assert refused(explain(folders, "--user", "u4", "--out", "")) == (
        "error: --out '': names nothing; expected a file or folder to write\n"
    )
    assert explain(folders, "--item", "i7").exit_code == 2


def test_ids_that_are_not_utf8(folders: Path) -> None:
    assert "unknown user '\\\\udcff'" in refused(explain(folders, "--user", "\udcff"))
    for command in ("recommend", "inspect"):
        asked = [command, str(folders / "run"), "--user", "\udcffu4"]
        asked += ["--data", str(folders / "data")] if command == "inspect" else []
        assert "unknown user '\\\\udcffu4'" in refused(CliRunner().invoke(main, asked))


def test_a_file_is_replaced_with_permission_alone(folders: Path, tmp_path: Path) -> None:
    file = tmp_path / "why.json"
    file.write_text("mine")
    asked = ("--user", "u4", "--out", str(file))
    assert f"--out {file}: already exists" in refused(explain(folders, *asked))
    assert file.read_text() == "mine"
    assert explain(folders, "--overwrite", *asked).exit_code == 0
    assert json.loads(file.read_text(encoding="utf-8"))


def test_files_of_an_earlier_time_go(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "why"
    asked = ("--user", "u4", "--format", "text", "--out", str(out), "--top")
    assert explain(folders, *asked, "3").exit_code == 0
    three = sorted(path.name for path in out.iterdir())
    (out / "04-i1.png").write_bytes(b"old")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    told = refused(explain(folders, *asked, "2"))
    assert f"holds {three[0]} already; expected another folder" in told
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    asked = ("--overwrite", *asked)
    assert explain(folders, *asked, "2").exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == three[:2]
    # Beside a file of the user's, others may be theirs as well.
    (out / "notes.md").write_text("mine")
    assert explain(folders, *asked, "3").exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert f"holds {three[2]} of an earlier time" in refused(explain(folders, *asked, "2"))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_several_files_come_all_or_none(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "why"
    asked = ("--user", "u4", "--top", "2", "--format", "json", "--out", str(out))
    write, seen = Path.write_bytes, []

    def stopped(path: Path, content: bytes) -> int:
        seen.append(path.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", stopped)
        assert explain(folders, *asked).exit_code != 0
    assert len(seen) == 2
    assert not list(tmp_path.iterdir())
    assert explain(folders, *asked).exit_code == 0
    first, second = sorted(out.iterdir())
    first.unlink()
    second.unlink()
    second.mkdir()
    assert "is a folder in it" in refused(explain(folders, *asked))
    assert list(out.iterdir()) == [second]


def test_help_shows_examples() -> None:
    shown = CliRunner().invoke(main, ["explain", "--help"]).output
    assert "kdiffe explain runs/ml-100k --data ml-100k --user 12" in shown
    assert "explain" in CliRunner().invoke(main, ["--help"]).output
