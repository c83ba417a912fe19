"""One model of a deployment."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from jd_tf.serving.deploy.errors import OperationError
from jd_tf.serving.deploy.model_config import STABLE
from jd_tf.serving.export.model_card import list_files
from jd_tf.serving.export.versions import GRAPH_FILE, versions


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A model, and the versions that its labels name.

    Attributes:
        name: of the model.
        folder: of its versions, on this machine.
        labels: version by label.
    """

    name: str
    folder: Path
    labels: Mapping[str, int]

    def __post_init__(self) -> None:
        there = versions(self.folder)
        for label, version in self.labels.items():
            folder = there.get(version, self.folder / str(version))
            if not (folder / GRAPH_FILE).is_file():
                raise OperationError(
                    f"model `{self.name}`: label `{label}` names version "
                    f"{version}, but {folder} holds no SavedModel."
                )

    @property
    def version_bytes(self) -> list[int]:
        """Files of every labelled version."""
        there = versions(self.folder)
        return [
            sum(list_files(there[version]).values())
            for version in set(self.labels.values())
        ]


def find_models(
    saved_models: str | Path,
    names: tuple[str, ...] = (),
    labels: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[ServedModel, ...]:
    """The models of a folder; `stable` is the highest version by default.

    Args:
        saved_models: holds a folder a model.
        names: which of them; all by default.
        labels: model -> label -> version.

    Raises:
        OperationError: naming the model or version there is not.
    """
    saved_models = Path(saved_models).resolve()
    labels = labels or {}
    if not saved_models.is_dir():
        raise OperationError(f"{saved_models}: no such folder.")
    found = sorted(
        child.name for child in saved_models.iterdir() if versions(child)
    )
    missing = sorted({*names, *labels} - set(found))
    if missing or not found:
        raise OperationError(
            f"{saved_models}: no model {', '.join(missing) or 'at all'} with "
            f"versions; there are: {', '.join(found) or 'none'}."
        )
    return tuple(
        ServedModel(
            name,
            saved_models / name,
            labels.get(name) or {STABLE: max(versions(saved_models / name))},
        )
        for name in (names or found)
    )
