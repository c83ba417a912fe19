"""Loads TensorFlow before the programs of `run_program` are forked off."""

import importlib
import os
import sys

from experiments.quiet_import import QuietTensorFlow

os.environ["CUDA_VISIBLE_DEVICES"] = ""
# As programs load it.
sys.meta_path.insert(0, QuietTensorFlow())
for name in ("tensorflow", "keras"):
    importlib.import_module(name)
