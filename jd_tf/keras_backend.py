"""Refuses Keras on other backends than TensorFlow.

A file of its own, which runs when it is imported: before anything imports
Keras, which fails by another message where the backend is not installed.
"""

import os
import sys


def check_backend() -> None:
    """Checks the backend of Keras as far as it is known, importing nothing.

    Raises:
        ImportError: it is another than TensorFlow.
    """
    if "keras" in sys.modules:
        named = sys.modules["keras"].config.backend()
    else:
        named = os.environ.get("KERAS_BACKEND")
    if named not in (None, "", "tensorflow"):
        raise ImportError(
            f"jd_tf needs Keras on TensorFlow, but its backend is `{named}`. "
            "Set KERAS_BACKEND=tensorflow before Keras is imported."
        )


check_backend()
