"""Writes all that starting a model server takes."""

import shlex
from pathlib import Path

from jd_tf.data.files import write_whole
from jd_tf.serving.deploy.containers import (
    COMPOSE_FILE,
    KUBERNETES_FILE,
    PROMETHEUS_FILE,
    compose,
    kubernetes,
    prometheus,
)
from jd_tf.serving.deploy.deployment import Deployment
from jd_tf.serving.deploy.yaml_text import to_documents, to_yaml

START_FILE = "start_server.sh"
_HEADER = "# Written by experiments.make_serving_config; see docs/serving.md.\n"
# Read beside the script, wherever it is started from.
_HERE = "${here}"


def write_deployment(
    output: str | Path, deployment: Deployment, saved_models: str | Path
) -> list[Path]:
    """Writes configuration, start script, compose file and manifest.

    Args:
        output: the folder; files of the same names are replaced.
        deployment: what is served, and how.
        saved_models: folder of all models on this machine.

    Returns:
        The files.
    """
    output = Path(output)
    texts = {
        **deployment.files(),
        START_FILE: _script(deployment),
        COMPOSE_FILE: _HEADER
        + to_yaml(compose(deployment, str(Path(saved_models).resolve()))),
        KUBERNETES_FILE: _HEADER + to_documents(kubernetes(deployment)),
        PROMETHEUS_FILE: _HEADER + to_yaml(prometheus(deployment)),
    }
    for name, text in texts.items():
        write_whole(output / name, text.encode())
    (output / START_FILE).chmod(0o755)
    return [output / name for name in texts]


def _script(deployment: Deployment) -> str:
    arguments = (
        f'"{flag}"' if _HERE in flag else shlex.quote(flag)
        for flag in deployment.flags(_HERE)
    )
    lines = [
        "#!/bin/bash",
        _HEADER.strip(),
        "# Starts a server; SERVER names the binary, arguments are added.",
        "set -euo pipefail",
        'here="$(cd "$(dirname "$0")" && pwd)"',
        " \\\n  ".join(
            [
                'exec "${SERVER:-tensorflow_model_server}"',
                *arguments,
                '"$@"',
            ]
        ),
    ]
    return "\n".join(lines) + "\n"
