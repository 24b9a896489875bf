"""Forms of a table: who is best, and characters that mean something to LaTeX or Markdown."""

from __future__ import annotations

import io
import re
import shutil
import subprocess

import pytest
from rich.console import Console

from kdiffe_dgl.experiments.tables import Cell, ResultTable, escape_latex, latex_tables, ranked

STRANGE = r"a_b & 50% #1 {x} ~^\ $y$ [z] <p> |q| *r* ±"
TABLE = ResultTable(
    STRANGE,
    ("", "recall@20"),
    ((Cell("[odd] & name"), Cell("0.1", best=True)), (Cell("b"), Cell("0.05", second=True, mark="**"))),
    ("p < 0.05",),
    "strange name",
)


@pytest.mark.parametrize(
    ("values", "best", "second"),
    [
        ([0.1, 0.3, 0.2], {1}, {2}),
        ([0.3, 0.3, 0.2, None], {0, 1}, {2}),
        ([None, 0.2], {1}, set()),
        ([None, None], set(), set()),
    ],
)
def test_best_and_second(values, best, second):
    assert ranked(values) == (best, second)


def test_markdown_marks_and_escapes():
    lines = TABLE.markdown().splitlines()
    assert lines[0].startswith(r"### a\_b & 50% \#1 \{x\}")
    assert lines[4] == r"| \[odd\] & name | **0.1** |"
    assert lines[5] == r"| b | <u>0.05</u><sup>\*\*</sup> |"
    assert lines[-1] == r"p \< 0.05"


def test_latex_marks_and_escapes():
    text = TABLE.latex()
    assert r"\textbf{0.1}" in text
    assert r"\underline{0.05}$^{**}$" in text
    assert r"\label{tab:strange-name}" in text
    assert escape_latex(STRANGE) == (
        r"a\_b \& 50\% \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{} \$y\$ {[}z{]} "
        r"\textless{}p\textgreater{} \textbar{}q\textbar{} *r* $\pm$"
    )
    depth = 0
    for place, character in enumerate(text):
        if character in "{}" and text[place - 1] != "\\":
            depth += 1 if character == "{" else -1
            assert depth >= 0
    assert depth == 0


def test_tables_of_one_document_have_labels_of_their_own():
    names = ("A 1", "A-1", "A-1-2", "a-1", "电影", "书")
    tables = [ResultTable("t", ("", "n"), (), (), name) for name in names]
    labels = re.findall(r"\\label{tab:(.*)}", latex_tables(tables))
    assert labels == ["A-1", "A-1-2", "A-1-2-2", "a-1", "-", "--2"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path):
    packages = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}"
    page = rf"{packages}\begin{{document}}{TABLE.latex()}\end{{document}}"
    (tmp_path / "page.tex").write_text(page, encoding="utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "page.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_a_terminal_shows_the_best_in_bold():
    buffer = io.StringIO()
    Console(file=buffer, force_terminal=True, width=80, color_system="standard").print(TABLE.rich())
    assert "\x1b[1m0.1\x1b[0m" in buffer.getvalue()
    assert "\x1b[4m0.05\x1b[0m" in buffer.getvalue()
