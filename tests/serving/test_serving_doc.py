"""Files, tests and flags of docs/serving.md exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def test_files_exist():
    for name in set(
        re.findall(r"`((?:jd_tf|experiments|tests)/\S+\.py)`", TEXT)
    ):
        assert (ROOT / name).is_file(), name
    for name in set(re.findall(r"-m (experiments\.[\w.]+)", TEXT)):
        path = ROOT / f"{name.replace('.', '/')}.py"
        assert path.is_file(), name


def test_tests_exist():
    tests = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`(test_\w+\.py)", TEXT))
    assert len(named) > 5
    assert named <= set(tests)
    known = set().union(*(functions(tests[name]) for name in named))
    for name in re.findall(r"[`:](test_\w+)`", TEXT):
        assert name in known, name


@pytest.mark.parametrize(
    "program", ["make_serving_config", "promote", "export", "shadow"]
)
def test_flags_exist(program):
    """Flags of commands, as they stand in the first block."""
    block = TEXT.split("```")[1]
    source = (ROOT / "experiments" / f"{program}.py").read_text()
    lines = [line for line in block.splitlines() if f".{program} " in line]
    assert lines
    for flag in re.findall(r"--(\w+)", " ".join(lines)):
        assert f'"{flag}"' in source, flag


def test_every_problem_has_a_row():
    table = TEXT.split("## Known problems of model servers")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    # Heading and rule aside: ten of them, and two more.
    assert len(rows) - 2 == 12
    assert all(len(row.split(" | ")) == 3 for row in rows[2:])
