"""What finds, parses and runs the lines of the documentation finds all, and refuses what is wrong."""

from __future__ import annotations

import shlex

import click
import pytest
from pages import Command, commands_of, mentions_of, parse_blocks
from parsing import check_settings, parse, resolves
from programs import Workshop, is_name, rule_of, run, with_values

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
