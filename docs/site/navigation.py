"""Adds the decision records to the navigation of the site, in their order."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Appends every file of docs/decisions/."""
    folder = Path(config.docs_dir) / "decisions"
    records = [f"decisions/{path.name}" for path in sorted(folder.glob("*.md"))]
    config.nav.append({"Decisions": records})
    return config
