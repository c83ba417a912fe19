"""Runs a module in a process in which nobody may import TensorFlow.

    python -m tests.without_tensorflow MODULE [ARGUMENTS]

Nor anything else that a front end does without: see docs/serving.md.
"""

import runpy
import sys

FORBIDDEN = (
    "jinja2",
    "keras",
    "matplotlib",
    "scipy",
    "sklearn",
    "tensorboard",
    "tensorflow",
    "tensorflow_recommenders",
    "tensorflow_serving",
    "threadpoolctl",
    "tqdm",
)

if __name__ == "__main__":
    # Importing one of them is now an error, which shows who does.
    sys.modules.update(dict.fromkeys(FORBIDDEN))
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
