"""Models by name: what programs, checkpoints and exports call them."""

import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jd_tf.columns import DataError
from jd_tf.models.config_fields import config_from_json, flat_fields

DEFAULT_MODEL = "jd_ranker"
# The copy of a user's module that a run keeps.
MODULE_FILE = "model_module.py"
# Imported when they are asked for.
_BUILT_IN = {
    "bst": "jd_tf.models.sequence.bst",
    "dcn_v2": "jd_tf.models.interaction.dcn_v2",
    "deep_fm": "jd_tf.models.interaction.deep_fm",
    "dien": "jd_tf.models.sequence.dien",
    "din": "jd_tf.models.sequence.din",
    "dmt": "jd_tf.models.sequence.dmt",
    "esmm": "jd_tf.models.multitask.esmm",
    "final_mlp": "jd_tf.models.interaction.final_mlp",
    "hstu": "jd_tf.models.unified.hstu",
    "jd_ranker": "jd_tf.models.ranking.jd_ranker",
    "mask_net": "jd_tf.models.interaction.mask_net",
    "one_trans": "jd_tf.models.unified.one_trans",
    "pepnet": "jd_tf.models.scenario.pepnet",
    "ple": "jd_tf.models.multitask.ple",
    "pooled_mmoe": "jd_tf.models.ranking.pooled_mmoe",
    "sas_rec": "jd_tf.models.sequence.sas_rec",
    "shared_bottom": "jd_tf.models.multitask.shared_bottom",
    "star": "jd_tf.models.scenario.star",
    "two_tower": "jd_tf.models.retrieval.two_tower",
}


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A registered model; `name` is in flags, `config.json` and exports."""

    name: str
    model_class: type  # a `SchemaModel`, such as a `RankingModel`
    config_class: type  # a frozen dataclass
    module_file: str


_ENTRIES: dict[str, ModelEntry] = {}


def register_model(name: str, config_class: type) -> Callable[[type], type]:
    """Registers a `SchemaModel` under a name; a class decorator.

    Args:
        name: lower-case words joined by `_`.
        config_class: a frozen dataclass; that of a `RankingModel` extends
            `RankerConfig`.

    Raises:
        DataError: if another class has that name already.

    Example:
    >>> from jd_tf.models.base import RankingModel
    >>> from jd_tf.models.ranker_config import RankerConfig
    >>> @register_model("doctest_model", RankerConfig)
    ... class DoctestModel(RankingModel):
    ...     config_class = RankerConfig
    >>> get_model("doctest_model").model_class.__name__
    'DoctestModel'
    """

    def register(model_class: type) -> type:
        module = sys.modules.get(model_class.__module__)
        path = getattr(module, "__file__", None) or ""
        known = _ENTRIES.get(name)
        # A module may be loaded again, from the copy that a run keeps.
        if known and known.model_class.__qualname__ != model_class.__qualname__:
            raise DataError(
                f"model `{name}` is registered as "
                f"{known.model_class.__qualname__} already. Name "
                f"{model_class.__qualname__} otherwise."
            )
        import keras  # here, so that names are known without TensorFlow

        keras.saving.register_keras_serializable("jd_tf")(model_class)
        model_class.registered_name = name  # type: ignore[attr-defined]
        _ENTRIES[name] = ModelEntry(name, model_class, config_class, path)
        return model_class

    return register


def get_model(name: str) -> ModelEntry:
    """Returns the model of that name.

    Raises:
        DataError: if there is none.

    Example:
    >>> get_model("jd_ranker").config_class.__name__
    'JDRankerConfig'
    """
    if name not in _ENTRIES and name in _BUILT_IN:
        importlib.import_module(_BUILT_IN[name])
    if name not in _ENTRIES:
        raise DataError(
            f"there is no model `{name}`; there are: "
            f"{', '.join(model_names())}. Name the file that registers it by "
            "--model_module."
        )
    return _ENTRIES[name]


def is_registered(name: str) -> bool:
    """Returns whether `get_model` knows the name."""
    return name in _ENTRIES or name in _BUILT_IN


def model_names() -> tuple[str, ...]:
    """Returns the names of all models known so far."""
    return tuple(sorted({*_BUILT_IN, *_ENTRIES}))


def load_model_module(path: str | Path) -> None:
    """Runs a Python file that registers models.

    Args:
        path: a file; loading it twice loads it once.

    Raises:
        DataError: if there is no such file, or it cannot be run.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise DataError(f"--model_module={path}: no such file.")
    name = f"jd_tf_model_module_{path.stem}_{abs(hash(str(path)))}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise DataError(f"--model_module={path}: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except Exception as error:
        del sys.modules[name]
        raise DataError(
            f"--model_module={path}: {type(error).__name__}: {error}"
        ) from error


def build_model(
    name: str, schema: Any, config: Any = None, **kwargs: Any
) -> Any:
    """Returns a new model.

    Args:
        name: of the model.
        schema: the columns of a request.
        config: of the model's config class, its dict, or None.
        **kwargs: of `keras.Model`.

    Raises:
        DataError: if there is no such model, or none of that config; names
            the fields that are not the defaults.
    """
    entry = get_model(name)
    config = config_from_json(entry.config_class, config or {})
    try:
        return entry.model_class(schema, config, **kwargs)
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        defaults = flat_fields(entry.config_class())
        changed = ", ".join(
            f"{name}={value!r}"
            for name, value in flat_fields(config).items()
            if value != defaults[name]
        )
        raise DataError(
            f"no `{name}` can be built with {changed or 'its defaults'}: "
            f"{str(error).rstrip('.')}. Change one of these fields."
        ) from error
