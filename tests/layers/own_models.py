"""A user's own subclassed model around a layer, and a process that loads it.

python -m tests.layers.own_models FOLDER writes the outputs of the loaded files.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import tree

from tests.cases import case_named
from tests.layers import harness


@keras.saving.register_keras_serializable("tests")
class OwnModel(keras.Model):
    """Makes its layer itself, so that Keras must trace it to build it."""

    def __init__(self, case, **kwargs):
        super().__init__(**kwargs)
        self.case = case
        self.inner = case_named(case).create()

    def call(self, inputs):
        return self.inner(**inputs)

    def get_config(self):
        return {**super().get_config(), "case": self.case}


def flat_outputs(model, case):
    """The model's outputs for the call arguments of a case, as arrays."""
    values = harness.tensors(case)
    return [np.asarray(part) for part in tree.flatten(model(values))]


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*.keras")):
        model = keras.models.load_model(path)
        case = case_named(path.stem.removeprefix("functional."))
        np.savez(path.with_suffix(".npz"), *flat_outputs(model, case))
