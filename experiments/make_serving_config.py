"""Writes all that deploying exported models takes.

    python -m experiments.make_serving_config --output=deploy \
        --saved_models=saved_models

`models.config` with version labels, monitoring (and batching) parameters, a
start script, a docker compose file, a Kubernetes manifest and what Prometheus
is told. Labels of an earlier `models.config` in there are kept unless --labels
names others. See `docs/serving.md`.
"""

from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_SAVED_MODELS = flags.DEFINE_string(
    "saved_models", "saved_models", "Folder of all models."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_MODELS = flags.DEFINE_list("models", [], "Which models; all by default.")
_LABELS = flags.DEFINE_list(
    "labels",
    [],
    "model:label=version, e.g. jd_ranker:stable=3,jd_ranker:canary=4; by "
    "default `stable` is the highest version.",
)
_MOUNT = flags.DEFINE_string(
    "mount",
    None,
    "Where servers see the folder of all models; by default where it is here.",
)
_IMAGE = flags.DEFINE_string(
    "image", "tensorflow/serving:latest", "Container image; pin its tag."
)
_CPUS = flags.DEFINE_integer("cpus", 2, "Cores of a server.", lower_bound=1)
_MEMORY_MIB = flags.DEFINE_integer(
    "memory_mib",
    0,
    "Memory of a server; 0: worked out from the models.",
    lower_bound=0,
)
_REPLICAS = flags.DEFINE_integer(
    "replicas", 2, "Servers side by side, in Kubernetes.", lower_bound=1
)
_BATCHING = flags.DEFINE_boolean(
    "batching",
    False,
    "Whether servers join calls into batches; see docs/serving.md before.",
)
_GRPC_PORT = flags.DEFINE_integer(
    "grpc_port", 8500, "Of the server.", lower_bound=1, upper_bound=65535
)
_REST_PORT = flags.DEFINE_integer(
    "rest_port", 8501, "Of the server.", lower_bound=1, upper_bound=65535
)


def main(_: object) -> None:
    """Writes the files and prints their names."""
    named_labels = _labels(_LABELS.value)
    # TensorFlow takes seconds to load; --help should not wait for it.
    from jd_tf.serving.deploy.deployment import (
        CONFIG_FILE,
        Deployment,
        labels_of,
    )
    from jd_tf.serving.deploy.deployment_files import write_deployment
    from jd_tf.serving.deploy.model_config import read_config
    from jd_tf.serving.deploy.served_model import find_models

    labels = {}
    earlier = Path(_OUTPUT.value) / CONFIG_FILE
    if earlier.is_file():
        wanted = set(_MODELS.value)
        labels = {
            name: dict(known)
            for name, known in labels_of(read_config(earlier)).items()
            if not wanted or name in wanted
        }
    for name, named in named_labels.items():
        labels[name] = {**labels.get(name, {}), **named}
    models = find_models(_SAVED_MODELS.value, tuple(_MODELS.value), labels)
    deployment = Deployment(
        models,
        _MOUNT.value or str(Path(_SAVED_MODELS.value).resolve()),
        _IMAGE.value,
        _CPUS.value,
        _MEMORY_MIB.value,
        _REPLICAS.value,
        _BATCHING.value,
        _GRPC_PORT.value,
        _REST_PORT.value,
    )
    for path in write_deployment(
        _OUTPUT.value, deployment, _SAVED_MODELS.value
    ):
        print(path)
    for model in models:
        said = ", ".join(f"{n} {v}" for n, v in model.labels.items())
        print(f"{model.name}: {said}")
    print(f"memory of one server: {deployment.memory} MiB")


def _labels(texts: list[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for text in texts:
        place, equals, version = text.partition("=")
        name, colon, label = place.partition(":")
        good = equals and colon and name and label and version.isdecimal()
        if not good or "/" in label or ":" in label:
            raise DataError(f"--labels are model:label=version. Got: {text!r}.")
        found.setdefault(name, {})[label] = int(version)
    return found


if __name__ == "__main__":
    program.run(main)
