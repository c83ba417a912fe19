"""Parses command lines of programs without running them.

    python -m tests.docs.accepted_flags < COMMANDS

reads a JSON list of [program, arguments] and prints a JSON list of
[complaint, flags]: what the program would say of its arguments ("" if it would
begin; null arguments are not parsed), and the names of its flags. In a process
of its own, since two programs may define the same flag.
"""

import importlib
import json
import sys

from absl import flags


def main() -> None:
    """Parses the commands that standard input lists."""
    own = set(flags.FLAGS)
    answers = []
    for program, arguments in json.load(sys.stdin):
        for name in [n for n in sys.modules if n.startswith("experiments")]:
            del sys.modules[name]
        for name in set(flags.FLAGS) - own:
            delattr(flags.FLAGS, name)
        complaint = ""
        try:
            importlib.import_module(f"experiments.{program}")
            if arguments is not None:
                flags.FLAGS([program, *arguments])
        except (ModuleNotFoundError, flags.Error) as error:
            complaint = str(error)
        answers.append((complaint, sorted(set(flags.FLAGS) - own)))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
