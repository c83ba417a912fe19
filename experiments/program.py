"""Runs a program; turns errors a user can mend into one line.

Programs import in `main` what loads TensorFlow: it takes seconds, for which
--help and a wrong flag should not wait.
"""

import errno
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# Before TensorFlow loads: its C++ notes are no news to a user. Its oneDNN
# kernels sum in another order now and then, so that a run could not be repeated
# to the last digit; they are no faster on these sizes.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# The models are TensorFlow's, whatever other programs run on.
os.environ["KERAS_BACKEND"] = "tensorflow"
# A log file wants a line of progress now and then, not ten a second.
if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_MININTERVAL", "15")

from absl import app, flags, logging

from experiments.quiet_import import QuietTensorFlow
from jd_tf.schema import DataError

# At import, as processes that a program starts load its file and no more.
sys.meta_path.insert(0, QuietTensorFlow())

BAD_INPUT = 2
# A path that cannot be read or written is the user's to mend.
_PATH_ERRORS = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
# Flags of what programs write.
_WRITTEN = ("output", "predictions", "workdir")
# As the shell reports a program that a closed pipe ended.
CLOSED_PIPE = 141

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


def named_entries(
    flag: flags.FlagHolder, value: str, separator: str = "="
) -> dict[str, str]:
    """Returns name -> value of a list flag of `name=value`; refuses others."""
    found: dict[str, str] = {}
    for text in flag.value:
        name, _, given = text.partition(separator)
        if not name or not given or name in found:
            raise DataError(
                f"--{flag.name} are name{separator}{value}, each name once. "
                f"Got: {text!r}."
            )
        found[name] = given
    return found


def run(
    main: Callable[[Sequence[str]], int | None], max_arguments: int = 0
) -> None:
    """Runs `main` under absl flags.

    The exit code is what `main` returns, or 2 after a wrong flag, a
    `DataError` or a path that cannot be read or written, printed as one line,
    or 141, silently, when the reader of what is printed went early.

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
        except OSError as error:
            if error.errno not in _PATH_ERRORS:
                raise
            return _refuse(f"{error.filename}: {error.strerror}.")

    def parse(arguments: Sequence[str]) -> Sequence[str]:
        try:
            rest = flags.FLAGS(arguments)
            for name in flags.FLAGS:
                if flags.FLAGS[name].present:
                    _check_value(name, flags.FLAGS[name].value)
            return rest
        except flags.Error as error:
            sys.exit(_refuse(f"{error}. See --help."))

    # Saving logs every tensor it renames.
    logging.set_verbosity(logging.WARNING)
    app.run(guarded, flags_parser=parse)


def _check_value(name: str, value: object) -> None:
    """Refuses what no flag of this kind can be; nothing is written yet."""
    if isinstance(value, list) and "" in value:
        raise flags.Error(f"--{name}: an entry is empty")
    if isinstance(value, float) and not math.isfinite(value):
        raise flags.Error(f"--{name}={value}: a finite number is wanted")
    if name in _WRITTEN and isinstance(value, str):
        if not value:
            raise flags.Error(f"--{name}: a path is wanted")
        there = next(
            path for path in Path(value).absolute().parents if path.exists()
        )
        if not there.is_dir():
            raise flags.Error(f"--{name}={value}: {there} is a file")


def _refuse(error: object) -> int:
    """Prints an error as one line; returns the exit code."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return BAD_INPUT
