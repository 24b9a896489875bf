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
import shlex
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
    parse_blocks,
    texts,
    workspace_of,
)
from programs import PROGRAMS, Workshop, filled, is_name, lines_of_make, rule_of, run, with_values
from workspaces import WORKSPACES

from kdiffe_dgl.cli.train import settings_for
from kg_builders import parse_recipe, parse_rules
from kg_builders.cli import main as kg_build


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


def check_settings(context: click.Context) -> None:
    """Check the settings that a training command gives: --set, --preset and --model."""
    given = context.params
    if context.info_name == "train" and not given["resume"]:
        settings_for(given["data"].name, given["preset_name"], None, given["overrides"], given["model"])
    if context.info_name == "quickstart":
        settings_for("ml-100k", None, None, given["overrides"], None)


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
pip install kdiffe > log.txt
python -c "import a; b | c" && ls -l
```

1. In a list:

    ```yaml
    kdiffe: no command
    ```

Run `kdiffe train --data x
--seed 1`, not `kdiffe train ...`, `training.epochs 3` or `git`.

For all: `A=b make all`.
"""


def test_blocks_and_commands_are_found():
    blocks = list(parse_blocks("page.md", PAGE))
    assert [(block.language, block.workspace, block.line) for block in blocks] == [
        ("sh", "empty", 4),
        ("yaml", None, 14),
    ]
    assert blocks[1].text == "kdiffe: no command"
    commands = [command for block in blocks for command in commands_of(block)]
    assert [command.words for command in commands] == [
        ("kdiffe", "data", "import", "loans.csv", "--format", "table", "--out", "data/books"),
        ("kg-build", "report", "kg", "--json"),
        ("jq", ".item_facts"),
        ("pip", "install", "kdiffe"),
        ("python", "-c", "import a; b | c"),
        ("ls", "-l"),
    ]
    assert [command.assigned for command in commands][:2] == [(), ("OMP_NUM_THREADS=1",)]
    assert rule_of(commands[2].words) is None
    assert [(one.words, one.line) for one in mentions_of("page.md", PAGE)] == [
        (("kdiffe", "nothing"), 1),
        (("kdiffe", "train", "--data", "x", "--seed", "1"), 18),
        (("make", "all"), 21),
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


def test_names_of_commands_are_told_from_lines():
    assert is_name(("kdiffe", "data", "fetch"))
    assert is_name(("kdiffe", "train", "--resume"))
    assert is_name(("kdiffe", "COMMAND", "--help"))
    assert not is_name(("kdiffe", "data", "fetch", "ml-100k"))
    assert not is_name(("make", "test"))
    for wrong in (("kdiffe", "fetch"), ("kdiffe", "train", "--resum"), ("kg-build", "graph", "x")):
        with pytest.raises(AssertionError):
            is_name(wrong)


def test_small_values_take_the_place_of_large_ones():
    given = ["--sizes", "1e4", "1e5", "--what", "users", "--quick", "data"]
    values = {"--sizes": ["1", "2", "3"], "--seeds": ["2"]}
    expected = ["--sizes", "1", "2", "--what", "users", "--quick", "data", "--seeds", "2"]
    assert with_values(given, values) == expected
    assert with_values(["-k", "20"], {"-k": ["5", "6"], "-n": ["1", "2"]}) == ["-k", "5", "-n", "1", "2"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("jq", ".a"), "no rule"),
        (("python", "benchmarks/attention.py", "--egdes", "3"), "--egdes"),
        (("python", "benchmarks/speed.py"), "speed.py"),
        (("pip", "install", "--upgade", "."), "--upgade"),
        (("pip", "install", ".[sprak]"), "sprak"),
        (("make", "doc"), "doc"),
        (("kdiffe", "data", "describe", "nowhere"), "nowhere"),
        (("export", "OMP_NUM_THREAD=2"), "OMP_NUM_THREAD"),
    ],
)
def test_lines_that_fail_are_failures(line, told, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, SystemExit, OSError)) as failed:
        run(Command(line, "page.md", 1), Workshop(tmp_path, monkeypatch))
    assert told in f"{failed.value}{capfd.readouterr().err}"


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
