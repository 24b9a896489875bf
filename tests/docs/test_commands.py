"""Every command line and every piece of Python in the documentation is run, or says why not.

A fenced block that is to be run has a line before it, which is not seen on the page::

    <!-- run: library -->

Blocks of one page with the same word run one after the other, in one folder that the function of that name
in ``workspaces.py`` fills; their Python shares its names. One that can't be run says so::

    <!-- not run: needs hours -->

What needs the package index is not run either, but all command lines are parsed. Training is cut to an epoch
of few steps; nothing else is changed.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from workspaces import WORKSPACES

from kdiffe_dgl.cli import main as kdiffe
from kdiffe_dgl.cli.train import settings_for
from kg_builders import parse_recipe, parse_rules
from kg_builders.cli import main as kg_build

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS: dict[str, click.Group] = {"kdiffe": kdiffe, "kg-build": kg_build}
SHELL = ("sh", "bash", "shell", "console")
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<language>[\w+-]*)[^`]*$")
RUN = re.compile(r"^ *<!-- (?:run: (?P<workspace>[\w-]+)|not run: (?P<reason>[^>]+)) -->$")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")
OPERATORS = ("|", "||", "&", "&&", ";", ">", ">>", "2>")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, what it holds, and in which workspace it runs, or why it doesn't."""

    page: str
    line: int
    language: str
    text: str
    workspace: str | None
    reason: str | None = None


@dataclass(frozen=True)
class Command:
    """A command line of ours."""

    words: tuple[str, ...]
    page: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {shlex.join(self.words)}"


def parse_blocks(page: str, text: str) -> Iterator[Block]:
    workspace = reason = None
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        if run := RUN.match(line):
            workspace, reason = run["workspace"], run["reason"]
            continue
        fence = FENCE.match(line)
        if fence is None:
            marked = workspace is not None or reason is not None
            assert not marked or not line.strip(), f"{page}:{number}: expected the block that is meant"
            continue
        body = []
        for _, inner in lines:
            if inner.strip() == fence["ticks"]:
                break
            body.append(inner.removeprefix(fence["indent"]))
        else:
            raise AssertionError(f"{page}:{number}: the block has no end")
        yield Block(page, number, fence["language"], "\n".join(body), workspace, reason)
        workspace = reason = None


def commands_of(block: Block) -> list[Command]:
    """Return the commands of ours in a block of shell lines, each up to a pipe or the like."""
    if block.language not in SHELL:
        return []
    found = []
    for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        if words and (program := words[0].rpartition("/")[2]) in PROGRAMS:
            end = next((place for place, word in enumerate(words) if word in OPERATORS), None)
            found.append(Command((program, *words[1:end]), block.page, block.line))
    return found


def parse(words: tuple[str, ...]) -> click.Context:
    """Parse a command line with click's own commands and run nothing."""
    command: click.Command = PROGRAMS[words[0]]
    context, name, rest = None, words[0], list(words[1:])
    while isinstance(command, click.Group):
        # With the group's settings: a command remembers the names of its help option from its first context.
        context = click.Context(command, info_name=name, parent=context, **command.context_settings)
        given = rest
        _, rest, _ = command.make_parser(context).parse_args(list(given))
        if not rest:
            if given:
                # --help and --version end the parsing here.
                command.make_context(name, given, parent=context.parent)
            raise click.UsageError("names no command")
        found, inner, rest = command.resolve_command(context, rest)
        assert inner is not None
        assert found is not None
        command, name = inner, found
    return command.make_context(name, rest, parent=context)


@functools.cache
def all_blocks() -> tuple[Block, ...]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return tuple(
        block
        for page in pages
        for block in parse_blocks(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8"))
    )


def all_commands() -> list[Command]:
    return [command for block in all_blocks() for command in commands_of(block)]


def check_settings(context: click.Context) -> None:
    """Check the settings that a training command gives: --set, --preset and --model."""
    given = context.params
    if context.info_name == "train" and not given["resume"]:
        settings_for(given["data"].name, given["preset_name"], None, given["overrides"], given["model"])
    if context.info_name == "quickstart":
        settings_for("ml-100k", None, None, given["overrides"], None)


@pytest.mark.parametrize("command", all_commands(), ids=str)
def test_command_line_is_one_that_exists(command):
    try:
        context = parse(command.words)
    except click.exceptions.Exit:
        # --help and --version end the parsing.
        return
    except click.ClickException as error:
        pytest.fail(f"{command}: {error.format_message()}")
    check_settings(context)


def test_listed_commands_exist():
    text = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1].split() for line in text.splitlines() if line.startswith(("| `kd", "| `kg"))]
    assert len(listed) > 15
    for program, *names in listed:
        command: click.Command | None = PROGRAMS[program]
        for name in names:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name)
        assert command is not None, f"{program} {' '.join(names)}"


# --- commands that run ---------------------------------------------------------------------------


EPOCHS = re.compile(r'"training\.epochs=\d+"')
# What needs the package index.
NETWORK = (("kdiffe", "data", "fetch"),)


def runnable() -> dict[tuple[str, str], list[Command | Block]]:
    """Return the commands and the blocks of Python that run, by page and workspace, in their order."""
    found: dict[tuple[str, str], list[Command | Block]] = {}
    for block in all_blocks():
        if block.workspace is not None:
            steps = found.setdefault((block.page, block.workspace), [])
            steps += [each for each in commands_of(block) if each.words[:3] not in NETWORK]
            steps += [block] if block.language == "python" else []
    return found


def shortened(words: tuple[str, ...]) -> list[str]:
    if words[:2] != ("kdiffe", "train"):
        return list(words[1:])
    if "--resume" in words:
        return list(words[1:])
    return [*words[1:], "--set", "training.epochs=1", "--set", "training.min_steps=1"]


@pytest.mark.parametrize(("page", "workspace"), runnable())
def test_blocks_of_a_page_run_one_after_the_other(page, workspace, tmp_path, monkeypatch):
    WORKSPACES[workspace](tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for step in runnable()[page, workspace]:
        if isinstance(step, Command):
            result = CliRunner().invoke(PROGRAMS[step.words[0]], shortened(step.words))
            assert result.exit_code == 0, f"{step}\n{result.output}{result.exception!r}"
        else:
            text = EPOCHS.sub('"training.epochs=1", "training.min_steps=1"', step.text)
            # The text is our own documentation.
            exec(compile(text, f"{step.page}:{step.line}", "exec"), names)


def test_some_commands_are_found_and_some_run():
    assert len(all_commands()) > 40
    steps = [step for found in runnable().values() for step in found]
    assert sum(isinstance(step, Command) for step in steps) >= 40
    assert sum(isinstance(step, Block) for step in steps) >= 10
    assert {block.workspace for block in all_blocks() if block.workspace is not None} <= set(WORKSPACES)


def test_every_block_runs_or_says_why_not():
    for block in all_blocks():
        if block.language == "python" or commands_of(block):
            assert block.workspace or block.reason, f"{block.page}:{block.line} is neither run nor excused"


# --- YAML ----------------------------------------------------------------------------------------


def test_rules_and_recipes_are_ones_that_exist():
    found = [(block, yaml.safe_load(block.text)) for block in all_blocks() if block.language == "yaml"]
    recipes = [(block, content) for block, content in found if "source" in content]
    rules = [(block, content) for block, content in found if "source" not in content and "rules" in content]
    assert recipes
    assert rules
    for block, content in recipes:
        parse_recipe(content, f"{block.page}:{block.line}")
    for block, content in rules:
        parse_rules(content, f"{block.page}:{block.line}")


# --- Python --------------------------------------------------------------------------------------


def imports_of(block: Block) -> list[tuple[str, str]]:
    """Return module and name of what a block of Python imports from our packages."""
    if block.language != "python":
        return []
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES
        for alias in node.names
    ]


PACKAGES = ("kdiffe_dgl", "kg_builders")


def test_python_blocks_import_what_exists():
    found = [(block, imported) for block in all_blocks() for imported in imports_of(block)]
    assert found
    for block, (module, name) in found:
        assert hasattr(importlib.import_module(module), name), f"{block.page}:{block.line}: {module}.{name}"


def names_of(program: str, command: click.Command) -> Iterator[str]:
    """Return the names of all commands below one that are no groups."""
    if not isinstance(command, click.Group):
        yield program
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        # kdiffe kg is kg-build.
        if found is not None and found is not kg_build:
            yield from names_of(f"{program} {name}", found)


def test_every_command_has_its_call_in_python():
    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith(("| `kd", "| `kg"))]
    told = {command.strip().strip("`") for command, _ in rows}
    assert {name for program, group in PROGRAMS.items() for name in names_of(program, group)} <= told
    for command, calls in rows:
        for path in re.findall(r"`((?:kdiffe_dgl|kg_builders)[\w.]+)`", calls):
            assert resolves(path), f"{command}: {path}"


def resolves(path: str) -> bool:
    """Whether a dotted path names something: a module, and what it holds."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


# --- the instrument itself -----------------------------------------------------------------------

PAGE = """\
Text with `kdiffe nothing`.

<!-- run: empty -->
```sh
kdiffe data import loans.csv --format table \\
    --out data/books    # a comment
OMP_NUM_THREADS=1 .venv/bin/kg-build report kg --json | jq .item_facts
pip install kdiffe
```

1. In a list:

    ```yaml
    kdiffe: no command
    ```
"""


def test_blocks_and_commands_are_found():
    blocks = list(parse_blocks("page.md", PAGE))
    assert [(block.language, block.workspace, block.line) for block in blocks] == [
        ("sh", "empty", 4),
        ("yaml", None, 13),
    ]
    assert blocks[1].text == "kdiffe: no command"
    assert [command.words for block in blocks for command in commands_of(block)] == [
        ("kdiffe", "data", "import", "loans.csv", "--format", "table", "--out", "data/books"),
        ("kg-build", "report", "kg", "--json"),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("kdiffe train --data data/x --ouput runs/x", "--ouput"),
        ("kdiffe trian --data data/x", "trian"),
        ("kdiffe data import x.csv --format tables --out y", "tables"),
        ("kdiffe train", "--data"),
        ("kdiffe recommend run --user", "--user"),
        ("kdiffe evaluate run other --data x", "other"),
        ("kg-build build --source amazon --max-bad much", "much"),
        ("kdiffe kg prune kg --kcore 2", "--kcore"),
        ("kdiffe data", "no command"),
    ],
)
def test_misspelt_commands_are_refused(line, told):
    with pytest.raises(click.ClickException) as refused:
        parse(tuple(shlex.split(line)))
    assert told in refused.value.format_message()


def test_misspelt_settings_are_refused():
    context = parse(("kdiffe", "train", "--data", "data/x", "--set", "training.epoch=3"))
    with pytest.raises(ValueError, match=r"training\.epoch"):
        check_settings(context)


def test_excuses_are_read():
    blocks = list(
        parse_blocks("page.md", "<!-- not run: needs hours -->\n```sh\nkdiffe train --data x\n```\n")
    )
    assert (blocks[0].workspace, blocks[0].reason) == (None, "needs hours")
    assert resolves("kdiffe_dgl.api.Run.explain")
    assert not resolves("kdiffe_dgl.api.Run.explains")
    assert not resolves("kdiffe_dgl.apis")


@pytest.mark.parametrize("text", ["```sh\nkdiffe", "<!-- run: empty -->\ntext"])
def test_blocks_without_end_or_place_are_told(text):
    with pytest.raises(AssertionError, match=r"page\.md:"):
        list(parse_blocks("page.md", text))
