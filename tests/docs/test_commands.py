"""Every command line and every piece of Python in the documentation is run.

A fenced block that is to be run has a line before it, which is not seen on the page::

    <!-- run: library -->

Blocks of one page with the same word run one after the other, in one folder that the function of that name
in ``workspaces.py`` fills; their Python shares its names. Python that can't be run says so::

    <!-- not run: needs hours -->

Lines of the shell are found in marked blocks, in others, and where they stand as code in a sentence; how each
program is run is told by the table in ``programs.py``. A line that no rule fits is a failure.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterator

import click
import pytest
import yaml
from pages import (
    PROGRAM,
    ROOT,
    SHELL,
    Block,
    Command,
    all_blocks,
    commands_of,
    mentions_of,
    texts,
    workspace_of,
)
from parsing import check_settings, parse, resolves
from programs import PROGRAMS, Workshop, filled, is_name, lines_of_make, rule_of, run
from workspaces import WORKSPACES

from kg_builders import parse_recipe, parse_rules
from kg_builders.cli import main as kg_build


@functools.cache
def mentions() -> tuple[Command, ...]:
    """Return the lines that stand between the blocks, without what only names a command.

    Of the same line on several pages, the first; those that run in a page's own folder are all kept.
    """
    found = [one for page, text in texts().items() for one in mentions_of(page, text)]
    lines = {(workspace_of(one.page), one.words): one for one in reversed(found) if not is_name(one.words)}
    return tuple(reversed(lines.values()))


@functools.cache
def all_commands() -> tuple[Command, ...]:
    """Return all lines, in blocks and between them."""
    return (*(command for block in all_blocks() for command in commands_of(block)), *mentions())


def test_every_line_has_a_rule_that_runs_it():
    left = [str(command) for command in all_commands() if rule_of(command.words) is None]
    assert not left, "RULES in tests/docs/programs.py has no rule for:\n" + "\n".join(left)


OURS = [command for command in all_commands() if command.words[0] in PROGRAMS]


@pytest.mark.parametrize("command", OURS, ids=str)
def test_command_line_is_one_that_exists(command):
    try:
        context = parse(filled(command).words)
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


def in_its_place(command: Command) -> bool:
    rule = rule_of(command.words)
    return rule is None or not rule.alone


@functools.cache
def runnable() -> dict[tuple[str, str], list[Command | Block]]:
    """Return the lines and the blocks of Python that run, by page and workspace, in their order."""
    found: dict[tuple[str, str], list[Command | Block]] = {}
    for block in all_blocks():
        steps: list[Command | Block] = [each for each in commands_of(block) if in_its_place(each)]
        if block.language == "python" and block.workspace is not None:
            steps.append(block)
        if steps:
            found.setdefault((block.page, block.workspace or workspace_of(block.page)), []).extend(steps)
    for mention in filter(in_its_place, mentions()):
        found.setdefault((mention.page, workspace_of(mention.page)), []).append(mention)
    return {place: sorted(steps, key=lambda step: step.line) for place, steps in found.items()}


@pytest.mark.parametrize(("page", "workspace"), runnable())
def test_lines_of_a_page_run_one_after_the_other(page, workspace, tmp_path, monkeypatch):
    WORKSPACES[workspace](tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for step in runnable()[page, workspace]:
        if isinstance(step, Command):
            run(step, Workshop(tmp_path, monkeypatch))
        else:
            text = EPOCHS.sub('"training.epochs=1", "training.min_steps=1"', step.text)
            # The text is our own documentation.
            exec(compile(text, f"{step.page}:{step.line}", "exec"), names)


def alone() -> list[Command]:
    """Return the lines that run by themselves, each once, and every target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY:"))
    targets = [Command(("make", target), "Makefile", 0) for target in phony.split()[1:]]
    found = [command for command in (*all_commands(), *targets) if not in_its_place(command)]
    return list({command.words: command for command in reversed(found)}.values())[::-1]


@pytest.mark.parametrize("command", alone(), ids=str)
def test_line_runs_by_itself(command, tmp_path, monkeypatch):
    WORKSPACES["made"](tmp_path)
    monkeypatch.chdir(tmp_path)
    run(command, Workshop(tmp_path, monkeypatch))


def test_make_installs_what_there_is(tmp_path, monkeypatch):
    lines = lines_of_make(tmp_path, "test", installed=False)
    installing = [line for line in lines if "pip" in line.words]
    assert [line.words[-1] for line in installing] == [".", ".[dev,docs]"]
    for line in installing:
        run(line, Workshop(tmp_path, monkeypatch))


def test_some_commands_are_found_and_some_run():
    assert len(all_commands()) > 90
    steps = [step for found in runnable().values() for step in found]
    assert sum(isinstance(step, Command) for step in steps) >= 80
    assert sum(isinstance(step, Block) for step in steps) >= 10
    assert {workspace for _, workspace in runnable()} <= set(WORKSPACES)
    assert {block.workspace for block in all_blocks() if block.workspace is not None} <= set(WORKSPACES)


def test_every_block_runs_or_says_why_not():
    for block in all_blocks():
        where = f"{block.page}:{block.line}"
        if block.language == "python":
            assert block.workspace or block.reason, f"{where} is neither run nor excused"
        elif block.language in SHELL:
            assert block.reason is None, f"{where}: lines of the shell have no excuse"
        else:
            begins = [line.split()[:1] for line in block.text.splitlines()]
            lines = [words[0] for words in begins if words and PROGRAM.fullmatch(words[0])]
            assert not lines, f"{where}: expected a block of sh, for {lines[0]}"


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
