"""Writes the files that a deployment of exported models takes.

    python -m experiments.make_serving_config --output=deploy \
        --saved_models=saved_models

`models.config` with version labels, monitoring (and batching) parameters, a
start script, a docker compose file, a Kubernetes manifest and a Prometheus
configuration. Labels of an earlier `models.config` in there are kept unless
--labels names others. See `docs/serving.md`.
"""

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_SAVED_MODELS = flags.DEFINE_string(
    "saved_models", "saved_models", "Folder of all models."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_MODELS = flags.DEFINE_list(
    "models", [], "Names of the models; all by default."
)
_LABELS = flags.DEFINE_list(
    "labels",
    [],
    "model:label=version, e.g. jd_ranker:stable=3,jd_ranker:canary=4; by "
    "default `stable` is the highest version.",
)
_MOUNT = flags.DEFINE_string(
    "mount",
    None,
    "Path of the folder of all models as servers see it; by default its own.",
)
_IMAGE = flags.DEFINE_string(
    "image",
    "",
    "Container image with its tag; by default the newest release of the server "
    "that reads the exports.",
)
_CPUS = flags.DEFINE_integer("cpus", 2, "Cores of a server.", lower_bound=1)
_MEMORY_MIB = flags.DEFINE_integer(
    "memory_mib",
    0,
    "Memory of a server; 0 computes it from the models.",
    lower_bound=0,
)
_REPLICAS = flags.DEFINE_integer(
    "replicas", 2, "Number of servers, in Kubernetes.", lower_bound=1
)
_BATCHING = flags.DEFINE_boolean(
    "batching",
    False,
    "Servers join calls into batches; see docs/serving.md before.",
)
_MAX_CALLERS = flags.DEFINE_integer(
    "max_callers",
    64,
    "gRPC calls at once that a server takes; --grpc_max_threads is twice that.",
    lower_bound=1,
)
_GRPC_PORT = flags.DEFINE_integer(
    "grpc_port", 8500, "Of the server.", lower_bound=1, upper_bound=65535
)
_REST_PORT = flags.DEFINE_integer(
    "rest_port", 8501, "Of the server.", lower_bound=1, upper_bound=65535
)


def main(_: object) -> None:
    """Writes the files and prints their names."""
    labels = _labels(_LABELS.value)
    from jd_tf.serving.deploy import make_deployment
    from jd_tf.serving.deploy.deployment import IMAGE

    deployment, paths = make_deployment(
        _OUTPUT.value,
        _SAVED_MODELS.value,
        tuple(_MODELS.value),
        labels,
        _MOUNT.value,
        image=_IMAGE.value or IMAGE,
        cpus=_CPUS.value,
        memory_mib=_MEMORY_MIB.value,
        replicas=_REPLICAS.value,
        batching=_BATCHING.value,
        max_callers=_MAX_CALLERS.value,
        grpc_port=_GRPC_PORT.value,
        rest_port=_REST_PORT.value,
    )
    for path in paths:
        print(path)
    for model in deployment.models:
        versions = (f"{n} {v}" for n, v in model.labels.items())
        print(f"{model.name}: {', '.join(versions)}")
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
