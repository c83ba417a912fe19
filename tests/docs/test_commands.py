"""Every command that README and docs name can be typed."""

import re

import pytest

from tests.docs.commands import (
    FOREIGN_FLAGS,
    answers,
    inline_flags,
    programs_of,
    targets_of,
)
from tests.docs.pages import PAGES, ROOT, Block, all_blocks, blocks

PROGRAMS = sorted(
    ".".join(path.relative_to(ROOT / "experiments").with_suffix("").parts)
    for path in (ROOT / "experiments").rglob("*.py")
    if "program.run(main)" in path.read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def flags_of():
    """Program -> its flags; a boolean one also with `no` before it."""
    found = answers([(program, None) for program in PROGRAMS])
    assert [complaint for complaint, _ in found if complaint] == []
    flags = {
        program: {*names, *(f"no{name}" for name in names)}
        for program, (_, names) in zip(PROGRAMS, found, strict=True)
    }
    # Benchmarks are called by their last name between the words.
    return {**{name.split(".")[-1]: f for name, f in flags.items()}, **flags}


def test_programs_take_the_commands_of_blocks():
    commands, places = [], []
    for block in all_blocks():
        for command in programs_of(block):
            commands.append(command)
            places.append(f"{block.page}, block of line {block.line}")
    assert len(commands) > 30
    wrong = [
        f"{place}: {program}: {complaint}"
        for place, (program, _), (complaint, _) in zip(
            places, commands, answers(commands), strict=True
        )
        if complaint
    ]
    assert not wrong, "\n".join(wrong)


def test_wrong_commands_are_seen():
    """An unknown program, flag and value, and a flag that is missing."""
    block = Block(
        "page",
        "",
        1,
        "sh",
        "python -m experiments.trian --data=a\n"
        "python -m experiments.train --data=a --workdir=b --epoch=1 | head\n"
        "python -m experiments.train --data=a --workdir=b \\\n"
        "  --balance=no  # a comment\n"
        "python -m experiments.train --data=a\n"
        "python -m experiments.train --data=a --workdir=b --noprogress > LOG\n",
    )
    messages = [c for c, _ in answers(list(programs_of(block)))]
    for message, part in zip(
        messages, ["trian", "epoch", "balance=no", "workdir", ""], strict=True
    ):
        assert part in message
    assert messages[-1] == ""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_flags_between_the_words_exist(path, flags_of):
    anywhere = {"help", *FOREIGN_FLAGS}.union(*flags_of.values())
    for program, names in inline_flags(path):
        known = flags_of.get(program, anywhere)
        assert set(names) <= known, (program, set(names) - known)


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    for block in all_blocks():
        if block.language == "sh" and block.shown:
            assert set(targets_of(block)) <= targets, block.page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_block_that_is_not_run_says_why(path):
    for block in blocks(path):
        assert not block.not_run or len(block.not_run.split()) > 2


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_set_up_comments_serve_a_block_of_their_section(path):
    found = list(blocks(path))
    for number, block in enumerate(found):
        if not block.shown:
            later = found[number + 1 :]
            assert any(
                other.shown
                and not other.not_run
                and other.section == block.section
                for other in later
            ), block.line
