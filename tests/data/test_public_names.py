"""The public names of `jd_tf.data`, loaded when they are first used."""

import subprocess
import sys

import pytest

import jd_tf
from jd_tf import data
from tests.conftest import ROOT


def test_every_public_name_is_there():
    for name in data.__all__:
        assert getattr(data, name) is not None
    assert set(data.__all__) <= set(dir(data))
    with pytest.raises(AttributeError, match="no attribute 'shuffle'"):
        data.shuffle  # noqa: B018


def test_the_validator_needs_no_tensorflow():
    program = (
        "import sys; from jd_tf.data import RequestValidator\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_every_name_of_the_package_is_there():
    for name in jd_tf.__all__:
        assert getattr(jd_tf, name) is not None
