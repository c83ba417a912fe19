"""Rules of the code base that a machine can check."""

import ast
import importlib
import itertools
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "keras_backend",
    "lazy",
    "columns",
    "schema",
    "layers",
    "losses",
    "metrics",
    "data",
    "models",
    "images",
    "training",
    "keras_files",
    "evaluation",
    "serving",
    "pipeline",
)
MAX_LINES = 400
MAX_FILES = 15
RIDDLES = ("What", "How", "Whether", "Where", "Which", "Who")
# Documented by Keras; every layer and model has them.
KERAS_METHODS = {
    "build",
    "build_from_config",
    "call",
    "compute_output_shape",
    "compute_output_spec",
    "from_config",
    "get_build_config",
    "get_config",
    "load_own_variables",
    "save_own_variables",
    "update_step",
}
# Documented by RankingModel; every model implements them.
CONTRACT_METHODS = {
    "append_events",
    "build_layers",
    "build_network",  # of rankers, by MultiTaskRanker
    "build_reader",  # of each history, by SequenceRanker
    "build_stack",  # of the timeline, by TimelineRanker
    "candidate_logits",
    "encode_events",
    "encode_histories",
    "encode_request",
    "extend_stack",
    "make_experts",
    "make_layers",
    "make_network",
    "make_reader",
    "make_stack",
    "make_parts",  # of those with a network, by NetworkRanker, as the next
    "network",
    "read_events",
    "read_user",
    "request_weights",  # of every fusion, by ObjectiveFusion
    "session_features",
    "tree_numbers",
}
PACKAGE = sorted((ROOT / "jd_tf").rglob("*.py"))
PROGRAMS = sorted((ROOT / "experiments").rglob("*.py"))
ALL = [*PACKAGE, *PROGRAMS, *sorted((ROOT / "tests").rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module)
    return found


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_packages_import_only_from_those_above(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if len(parts) == 2 and parts[1] == "__init__":
        return
    own = parts[1]
    for module in imports(path):
        top = module.split(".")[0]
        assert top not in ("experiments", "tests"), module
        if top != "jd_tf" or package_of(module) in ("", own):
            continue
        allowed = ("keras_backend", "lazy")
        assert own != "layers" or package_of(module) in allowed, module
        assert PACKAGES.index(package_of(module)) < PACKAGES.index(own), module


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_folders_stay_small():
    folders = {path.parent for path in [*PACKAGE, *PROGRAMS]}
    counts = {
        name_of(folder): len(
            [p for p in folder.glob("*.py") if p.name != "__init__.py"]
        )
        for folder in folders
        if folder.name != "experiments"
    }
    assert {n: c for n, c in counts.items() if c > MAX_FILES} == {}


def test_no_import_circles():
    """Neither at import time nor inside functions or TYPE_CHECKING."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in PACKAGE
        if path.name != "__init__.py"
    }
    edges = {
        name: {m for m in names_imported(path) if m in modules}
        for name, path in modules.items()
    }
    # What imports nothing that is left is in no circle.
    left = dict(edges)
    while True:
        free = [name for name, out in left.items() if not out & left.keys()]
        if not free:
            break
        for name in free:
            del left[name]
    assert not left, f"circles among {sorted(left)}"


def names_imported(path: Path) -> set[str]:
    """Modules that a file imports, as `from package import module` too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_docstrings_are_no_riddles(path):
    """They begin with a verb or an article."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented):
            words = (ast.get_docstring(node) or "").split()
            name = getattr(node, "name", "the module")
            assert not words or words[0] not in RIDDLES, name


@pytest.mark.parametrize("path", [*PACKAGE, *PROGRAMS], ids=name_of)
def test_what_is_public_is_documented(path):
    def check(body, where):
        for node in body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            inherited = KERAS_METHODS | CONTRACT_METHODS
            if node.name.startswith("_") or node.name in inherited:
                continue
            if any(
                getattr(decorator, "attr", "") == "setter"
                for decorator in node.decorator_list
            ):
                continue
            assert ast.get_docstring(node), f"{where}: {node.name}"
            if isinstance(node, ast.ClassDef):
                check(node.body, f"{where}: {node.name}")

    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), path
    check(tree.body, path)


@pytest.mark.parametrize("path", [*PACKAGE, *PROGRAMS], ids=name_of)
def test_signatures_of_public_functions_are_typed(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_":
            arguments = [*node.args.args, *node.args.kwonlyargs]
            untyped = [a.arg for a in arguments if a.annotation is None]
            assert not untyped, f"{node.name}: {untyped}"
            assert node.returns is not None, f"{node.name}: no return type"


def test_keras_is_imported_as_keras():
    for path in ALL:
        for module in imports(path):
            assert not module.startswith("tensorflow.keras"), path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "keras":
                value = node.value
                assert not (isinstance(value, ast.Name) and value.id == "tf"), (
                    f"{path}:{node.lineno}: tf.keras"
                )


def test_every_layer_has_a_case():
    from jd_tf import layers
    from tests.cases import CASES

    covered = {type(case.create()).__name__ for case in CASES}
    assert set(layers.__all__) <= covered


def test_programs_can_be_imported_beside_their_helpers():
    """A flag defined twice would end any process that imports both."""
    owners = {}
    for path in PROGRAMS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = getattr(getattr(node, "func", None), "attr", "")
            if called.startswith("DEFINE_") and isinstance(
                node.args[0], ast.Constant
            ):
                owners.setdefault(path.stem, set()).add(node.args[0].value)
    programs = {
        path.stem
        for path in PROGRAMS
        if "program.run(main)" in path.read_text(encoding="utf-8")
    }
    for path in PROGRAMS:
        for module in imports(path):
            name = module.removeprefix("experiments.")
            shared = owners.get(name, set()) & owners.get(path.stem, set())
            assert not shared, f"{path.stem} and {name}: {shared}"
    assert {"quickstart", "train", "rank"} <= programs


def test_every_package_is_known():
    children = {
        path.stem if path.is_file() else path.name
        for path in (ROOT / "jd_tf").iterdir()
        if path.name not in ("__pycache__", "__init__.py", "py.typed")
    }
    assert children <= set(PACKAGES)


def test_tests_mirror_the_tree():
    """A test folder is named after the package or folder it tests."""
    folders = {
        path.name
        for path in (ROOT / "tests").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    assert folders <= {*PACKAGES, "docs", "experiments"}


def test_no_two_layers_share_a_registered_name():
    from jd_tf import layers

    classes = [getattr(layers, name) for name in layers.__all__]
    for one, two in itertools.combinations(classes, 2):
        assert one.__name__ != two.__name__


def lazy_packages():
    for path in PACKAGE:
        if path.name == "__init__.py" and "lazy_names" in path.read_text():
            yield ".".join(path.parent.relative_to(ROOT).parts)


@pytest.mark.parametrize("package", list(lazy_packages()))
def test_no_lazy_name_is_that_of_a_module(package):
    """Or the order of imports would decide which of the two it is."""
    found = importlib.import_module(package)
    modules = {module.name for module in pkgutil.iter_modules(found.__path__)}
    assert not modules & set(dir(found))
