"""The pages of the documentation: their fenced blocks, and the command lines in blocks and between them."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = ("sh", "bash", "shell", "console", "zsh")
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<language>[\w+-]*)[^`]*$")
RUN = re.compile(r"^ *<!-- (?:run: (?P<workspace>[\w-]+)|not run: (?P<reason>[^>]+)) -->$")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
OPERATORS = frozenset(("|", "||", "&", "&&", ";", "\n"))
REDIRECTIONS = frozenset((">", ">>", "<", "2>", "2>&1", "&>"))
PROGRAM = re.compile(
    r"(?:\S*/)?(?:k[dg]\w*(?:-\w+)?|python[\d.]*|pip\d*|make|mkdocs|pytest|ruff|mypy|git|docker|podman|conda|uv|npm"
    r"|curl|wget|bash|sh|sudo|apt(?:-get)?|brew|export|torchrun|jupyter|nvidia-smi)"
)
"""What begins a command line that stands between the blocks."""
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")

WORKSPACE_OF_PAGE = {
    "docs/results.md": "fetched",
    "docs/tried.md": "fetched",
    "docs/troubleshooting.md": "built",
}
"""Where lines of a page run that have no mark: unmarked blocks, and what stands between blocks."""
OTHERWISE = "mentioned"


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
    """One command: the program without its folder, its arguments, and what is assigned before it."""

    words: tuple[str, ...]
    page: str
    line: int
    assigned: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {shlex.join(self.words)}"


def parse_blocks(page: str, text: str) -> Iterator[Block]:
    """Find the fenced blocks of a page."""
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


def commands_in(text: str, page: str, line: int) -> list[Command]:
    """Return all commands of shell lines, whatever their program: also those after a pipe or the like."""
    found = []
    for whole in re.sub(r"\\\n\s*", " ", text).splitlines():
        lexer = shlex.shlex(whole.removeprefix("$ "), posix=True, punctuation_chars=";|&")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in (*lexer, "\n"):
            if word not in OPERATORS:
                words.append(word)
                continue
            end = next((place for place, one in enumerate(words) if one in REDIRECTIONS), None)
            first = next((place for place, one in enumerate(words) if not ASSIGNMENT.fullmatch(one)), None)
            if first is not None:
                program = words[first].rpartition("/")[2]
                given = (program, *words[first + 1 : end])
                found.append(Command(given, page, line, tuple(words[:first])))
            words = []
    return found


def commands_of(block: Block) -> list[Command]:
    """Return the commands of a block of shell lines."""
    return commands_in(block.text, block.page, block.line) if block.language in SHELL else []


def mentions_of(page: str, text: str) -> Iterator[Command]:
    """Return what stands as code between the blocks and begins like a command line, in its order.

    A name of a command is no line of its own, nor is one that is cut short with dots.
    """
    lines = text.splitlines()
    for block in parse_blocks(page, text):
        for number in range(block.line - 1, block.line + block.text.count("\n") + 2):
            if number < len(lines):
                lines[number] = ""
    # Code may go over the end of a line, but not of a paragraph.
    start = 1
    for paragraph in "\n".join(lines).split("\n\n"):
        for span in SPAN.finditer(paragraph):
            line = start + paragraph.count("\n", 0, span.start())
            told = " ".join(span[1].split())
            words = [word for word in told.split(" ") if not ASSIGNMENT.fullmatch(word)]
            if len(words) > 1 and "..." not in told and PROGRAM.fullmatch(words[0]):
                yield from commands_in(told, page, line)
        start += paragraph.count("\n") + 2


@functools.cache
def texts() -> dict[str, str]:
    """Return the text of every page by its path."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    pages += [page for name in ("CONTRIBUTING", "DEVELOPING", "HACKING") for page in ROOT.glob(f"{name}*")]
    return {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in pages}


@functools.cache
def all_blocks() -> tuple[Block, ...]:
    """Return the blocks of all pages."""
    return tuple(block for page, text in texts().items() for block in parse_blocks(page, text))


def workspace_of(page: str) -> str:
    """Return where the lines of a page run that have no mark."""
    return WORKSPACE_OF_PAGE.get(page, OTHERWISE)
