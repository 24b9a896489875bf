"""The site builds by the line of ``make docs`` without a warning, and asks for nothing outside itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import site_command

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["'](?:https?:)?//[^"']*""")
ROLE = re.compile(r":(?:class|func|meth|mod|math|attr):<code>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    pytest.importorskip("mkdocstrings_handlers.python", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    # Strict: a link to nowhere, a page that is in no menu, a docstring that can't be read, all end the build.
    words = site_command(tmp_path_factory.mktemp("make"))
    assert "--strict" in words
    done = subprocess.run(
        [sys.executable, "-m", *words, "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built(site):
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    assert pages <= {page.relative_to(site) for page in site.rglob("*.html")}
    assert not list(site.rglob("*.py"))


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        assert not OUTSIDE.findall(page.read_text(encoding="utf-8")), page.name


def test_reference_holds_docstrings(site):
    page = (site / "reference" / "evaluation-serving.html").read_text(encoding="utf-8")
    assert "Ranks the whole catalogue for each user of a split and measures the lists." in page
    for reference in (site / "reference").glob("*.html"):
        text = reference.read_text(encoding="utf-8")
        assert not ROLE.search(text), reference.name
        assert ".. math::" not in text, reference.name


def test_the_pattern_finds_what_comes_from_elsewhere():
    assert OUTSIDE.search('<script async src="https://cdn.example/x.js">')
    assert OUTSIDE.search("<link rel=stylesheet href='//fonts.example/css'>")
    assert not OUTSIDE.search('<a href="https://www.dgl.ai">')
