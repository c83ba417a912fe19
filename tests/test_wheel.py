"""The wheel is the library: it installs alone and runs README's example."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
ROOT = Path(__file__).resolve().parents[1]


def run(*command, **options):
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a new environment that holds the wheel.

    Dependencies come from the running environment, by a path alone, so that
    no editable install of the checkout is seen.
    """
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    tracked = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for name in tracked:
        if name and (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(
        *(*pip, "wheel", source, "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", folder),
    )
    venv.create(folder / "env", with_pip=False)
    interpreter = folder / "env" / "bin" / "python"
    site = Path(
        run(
            interpreter,
            "-c",
            SITE,
        ).strip()
    )
    run(
        *(*pip, "install", "--no-deps", "--quiet", "--target", site),
        next(folder.glob("*.whl")),
    )
    path = sysconfig.get_path("purelib")
    (site / "dependencies.pth").write_text(f"{path}\n")
    return interpreter


def run_in(python, code, folder):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return run(python, "-c", code, cwd=folder, env=environment)


def test_only_the_library_is_installed(python, tmp_path):
    code = """
import importlib.util, jd_tf, sys
assert "tensorflow" not in sys.modules
assert importlib.util.find_spec("experiments") is None
print(jd_tf.__file__)
"""
    home = Path(run_in(python, code, tmp_path).strip()).parent
    assert python.parents[1] in home.parents
    for pattern in (
        "py.typed",
        "**/templates/*.html",
        "**/*.binpb",
        "**/logs/*.yaml",
    ):
        assert list(home.glob(pattern)), pattern


def test_the_example_of_the_readme_runs(python, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## A single layer in your own model")[1]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)
    code = example + "\nprint(read.shape)\n"
    assert "(None, None, 64)" in run_in(python, code, tmp_path)


def test_the_client_needs_no_tensorflow(python, tmp_path):
    code = """
import sys
from jd_tf.serving.client import GrpcTransport, RankingClient
assert not {"tensorflow", "keras"} & set(sys.modules)
"""
    run_in(python, code, tmp_path)
