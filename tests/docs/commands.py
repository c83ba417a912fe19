"""Commands that pages name, in their blocks and between the words."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ROOT, Block

# Of other programs: the model server, pip, kubectl, pytest.
FOREIGN_FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "enable_batching",
    "enable_per_model_batching_parameters",
    "file_system_poll_wait_seconds",
    "grpc_channel_arguments",
    "grpc_max_threads",
    "max_num_load_retries",
    "monitoring_config_file",
    "num_load_threads",
    "tensorflow_intra_op_parallelism",
}
_ENDS = ("|", ">", ">>", ";", "&&", "&", "2>")


def lines_of(block: Block) -> list[list[str]]:
    """Returns the words of each command line, without comments."""
    text = block.text.replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines()]


def programs_of(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Yields (program, arguments) of each `python -m experiments.X` line."""
    for words in lines_of(block):
        for place, word in enumerate(words):
            if word.startswith("experiments.") and words[place - 1] == "-m":
                arguments = words[place + 1 :]
                for end, argument in enumerate(arguments):
                    if argument in _ENDS:
                        arguments = arguments[:end]
                        break
                yield word.removeprefix("experiments."), arguments


def targets_of(block: Block) -> list[str]:
    """Returns the targets of its `make` lines."""
    return [
        target
        for words in lines_of(block)
        if "make" in words
        for target in words[words.index("make") + 1 :]
        if "=" not in target and not target.startswith("-")
    ]


def inline_flags(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields (program or "", flag names) of `code` between the words."""
    text = re.sub(
        r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.S | re.M
    )
    for span in re.findall(r"`([^`\n]*--\w[^`\n]*)`", text):
        names = re.findall(r"(?<![\w-])--(\w+)", span)
        first = re.match(r"(?:python -m )?(?:experiments\.)?([a-z_.]+) ", span)
        yield (first.group(1) if first else ""), names


def answers(commands: list[tuple[str, list[str] | None]]) -> list:
    """Returns [complaint, flag names] of each, see `accepted_flags`."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.docs.accepted_flags"],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)
