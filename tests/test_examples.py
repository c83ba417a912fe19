"""Every public class has an example, and it runs."""

import doctest
import importlib
import inspect

import numpy as np
import pytest

PUBLIC = (
    "jd_tf.data",
    "jd_tf.evaluation",
    "jd_tf.layers",
    "jd_tf.losses",
    "jd_tf.metrics",
    "jd_tf.models",
    "jd_tf.serving.client",
    "jd_tf.training",
)


def public_classes():
    for package in PUBLIC:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and not issubclass(value, Exception):
                yield pytest.param(value, id=f"{package}.{name}")


@pytest.mark.parametrize("public", list(public_classes()))
def test_examples_of_public_classes_run(public):
    found = doctest.DocTestFinder(recurse=False).find(public, public.__name__)
    examples = [example for test in found for example in test.examples]
    assert examples, f"{public.__name__} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    output = []
    for test in found:
        test.globs["np"] = np
        runner.run(test, out=output.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(output)
