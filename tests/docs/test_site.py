"""The site is complete: navigation, reference, citation, notebook."""

import importlib
import inspect
import json
import re

import pytest
import yaml

import jd_tf
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"
REFERENCES = {
    "jd_tf": "jd_tf.md",
    "jd_tf.schema": "schema.md",
    "jd_tf.layers": "layers.md",
    "jd_tf.losses": "losses.md",
    "jd_tf.metrics": "metrics.md",
    "jd_tf.data": "data.md",
    "jd_tf.models": "models.md",
    "jd_tf.training": "training.md",
    "jd_tf.evaluation": "evaluation.md",
    "jd_tf.serving.client": "client.md",
}


def pages_of(nav) -> list[str]:
    """The files of a navigation, whatever their depth."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in pages_of(part)]


def test_every_page_is_in_the_navigation():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = pages_of(config["nav"])
    found = {
        str(path.relative_to(DOCS))
        for path in DOCS.rglob("*.md")
        if path.parent.name != "decisions"  # by docs/site/navigation.py
    }
    assert sorted(listed) == sorted(found)


@pytest.mark.parametrize("package", REFERENCES)
def test_every_public_name_is_in_the_reference(package):
    page = DOCS / "reference" / REFERENCES[package]
    named = re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M)
    module = importlib.import_module(package)
    values = {name: getattr(module, name) for name in module.__all__}
    public = {
        f"{value.__module__}.{name}"
        for name, value in values.items()
        if inspect.isclass(value) or inspect.isfunction(value)
    }
    assert public
    assert public <= set(named)
    for name in named:
        home, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(home), last), name


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    citation = yaml.safe_load(text)
    assert citation["version"] == jd_tf.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = f"## {citation['version']} - {citation['date-released']}"
    assert released in changes


def test_notebooks_are_kept_without_outputs():
    paths = list((DOCS / "notebooks").glob("*.ipynb"))
    assert paths
    for path in paths:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            assert not cell.get("outputs"), path
