"""Code blocks of README and docs, by page and section."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Results, gaps and decisions tell of commands as they were at their time.
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(
        path
        for path in (ROOT / "docs").rglob("*.md")
        if path.name not in ("results.md", "gaps.md")
        and path.parent.name != "decisions"
    ),
)
_HEADING = re.compile(r"^## +(.+)")
_FENCE = re.compile(r"^ *```(\w*)")
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->", re.DOTALL)
_SETUP = re.compile(r"<!-- setup (sh|python)\n(.+?)-->", re.DOTALL)
_TABLE = re.compile(r"<!-- zoo( in short)?: (begin|end) -->")
_SAVE_AS = re.compile(r"<!-- save as (\S+) -->")
_LANGUAGES = {"sh": "sh", "bash": "sh", "python": "python"}


@dataclasses.dataclass(frozen=True)
class Block:
    """A piece of a page that can be run.

    Attributes:
        page: path below the root.
        section: second-level heading; blocks of one share a folder.
        line: number of the line it begins at.
        language: "sh" or "python".
        text: what is run.
        not_run: why it is not, or "".
        shown: False for a set-up comment.
        save_as: name of the file that it is saved as, not run; or "".
    """

    page: str
    section: str
    line: int
    language: str
    text: str
    not_run: str = ""
    shown: bool = True
    save_as: str = ""


def blocks(path: Path) -> Iterator[Block]:
    """Yields the shell and Python blocks of a page in order.

    `<!-- not run: REASON -->` before a block excuses it. What stands in
    `<!-- setup sh ... -->` or `<!-- setup python ... -->` is run at its place
    and makes what readers have themselves: logs, requests, photos. A block
    after `<!-- save as FILE -->` becomes that file.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    page, section, reason, name = str(path.relative_to(ROOT)), "", "", ""
    number = 0
    while number < len(lines):
        line, begin = lines[number], number + 1
        number += 1
        if heading := _HEADING.match(line):
            section = heading.group(1).strip()
        elif line.startswith("<!--"):
            while "-->" not in line:
                line += lines[number]
                number += 1
            if setup := _SETUP.match(line):
                yield Block(page, section, begin, *setup.groups(), shown=False)
            elif excuse := _NOT_RUN.match(line):
                reason = " ".join(excuse.group(1).split())
            elif save := _SAVE_AS.match(line):
                name = save.group(1)
            elif not _TABLE.match(line):
                # Tables between such lines are written by a command.
                raise ValueError(f"{page}:{begin}: unknown comment {line!r}")
        elif fence := _FENCE.match(line):
            text = ""
            while lines[number].strip() != "```":
                text += lines[number]
                number += 1
            number += 1
            language = _LANGUAGES.get(fence.group(1), "")
            if language:
                yield Block(
                    page, section, begin, language, text, reason, save_as=name
                )
            reason = name = ""


def all_blocks() -> list[Block]:
    """Returns the blocks of all pages."""
    return [block for path in PAGES for block in blocks(path)]
