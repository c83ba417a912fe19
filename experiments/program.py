"""Runs a program; turns errors a user can mend into one line."""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Before TensorFlow loads: its C++ notes are no news to a user, and its oneDNN
# kernels sum in another order now and then, so that a run could not be
# repeated to the last digit; they are no faster on these sizes.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# The models are TensorFlow's, whatever other programs run on.
os.environ["KERAS_BACKEND"] = "tensorflow"
# A log file wants a line of progress now and then, not ten a second.
if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_MININTERVAL", "15")

from absl import app, flags, logging

from jd_tf.schema import DataError

BAD_INPUT = 2
# As the shell reports a program that a closed pipe ended.
CLOSED_PIPE = 141
# Notes that no environment variable turns off.
_NOTES = (
    r"^WARNING: All log messages before absl::InitializeLog\(\) is called|"
    r"^I0000 .*cudart_stub"
)
# That there is no GPU is no error where there is no driver of one.
_NO_GPU = r"|^E0000 .*failed call to cuInit"
_DRIVER = Path("/proc/driver/nvidia")

PROGRESS = flags.DEFINE_bool(
    "progress",
    sys.stderr.isatty(),
    "Whether to show progress bars; by default in a terminal only.",
)


def shows_progress() -> bool:
    """Returns --progress, or its default in functions called by no program."""
    return PROGRESS.value if flags.FLAGS.is_parsed() else PROGRESS.default


def needs_entries(flag: flags.FlagHolder) -> flags.FlagHolder:
    """Returns a list flag that is refused where it is given, but empty."""
    flags.register_validator(
        flag, lambda value: value != [], "name at least one, or leave it out"
    )
    return flag


def run(
    main: Callable[[Sequence[str]], int | None], max_arguments: int = 0
) -> None:
    """Runs `main` under absl flags.

    The exit code is what `main` returns, or 2 after a wrong flag or a
    `DataError`, whose message is printed as one line, or 141, silently, when
    the reader of what is printed went early.

    Args:
        main: takes the program's name and the arguments that are not flags.
        max_arguments: how many of those there may be.
    """

    def guarded(arguments: Sequence[str]) -> int | None:
        if len(arguments) > 1 + max_arguments:
            unknown = arguments[1 + max_arguments]
            return _refuse(f"unknown argument: {unknown!r}. See --help.")
        try:
            code = main(arguments)
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            # Python flushes once more at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return CLOSED_PIPE
        except DataError as error:
            return _refuse(error)

    def parse(arguments: Sequence[str]) -> Sequence[str]:
        try:
            rest = flags.FLAGS(arguments)
            for name in flags.FLAGS:
                value = flags.FLAGS[name].value
                if isinstance(value, list) and "" in value:
                    raise flags.Error(f"--{name}: an entry is empty")
            return rest
        except flags.Error as error:
            sys.exit(_refuse(f"{error}. See --help."))

    logging.set_verbosity(logging.WARNING)
    app.run(guarded, flags_parser=parse)


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Keeps TensorFlow's notes of its import out of the standard error."""

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module: Any) -> None:
                with _without_notes():
                    load(module)
                    # Looks for GPUs, which it comments on once.
                    module.config.list_physical_devices()

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Filters what C++ writes; in a process, so that a crash is still seen."""
    pattern = _NOTES + ("" if _DRIVER.exists() else _NO_GPU)
    if shutil.which("grep") is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        command = ["grep", "-Ev", "--line-buffered", pattern]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=kept
        ) as grep:
            os.dup2(grep.stdin.fileno(), 2)  # type: ignore[union-attr]
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(kept, 2)
    finally:
        os.close(kept)


sys.meta_path.insert(0, _QuietTensorFlow())


def _refuse(error: object) -> int:
    """Prints an error as one line; returns the exit code."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return BAD_INPUT
