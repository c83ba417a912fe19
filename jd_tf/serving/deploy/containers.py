"""A deployment for docker compose and for Kubernetes."""

import hashlib
from typing import Any

from jd_tf.serving.deploy.deployment import METRICS_PATH, Deployment

COMPOSE_FILE, KUBERNETES_FILE = "docker-compose.yaml", "kubernetes.yaml"
PROMETHEUS_FILE = "prometheus.yml"

_CONFIG = "/config"
_BINARY = "tensorflow_model_server"
_NAME = "model-server"
_CLAIM = "saved-models"
_LABELS = {"app": _NAME}


def compose(deployment: Deployment, saved_models: str) -> dict[str, Any]:
    """A compose file of one server.

    Args:
        deployment: what is served.
        saved_models: folder on the host that is mounted.
    """
    return {
        "services": {
            _NAME: {
                "image": deployment.image,
                "entrypoint": [_BINARY],
                "command": deployment.flags(_CONFIG),
                "ports": [
                    f"{deployment.grpc_port}:{deployment.grpc_port}",
                    f"{deployment.rest_port}:{deployment.rest_port}",
                ],
                "volumes": [
                    _bound(saved_models, deployment.mount),
                    _bound(".", _CONFIG),
                ],
                "cpus": deployment.cpus,
                "mem_limit": f"{deployment.memory}m",
                "restart": "unless-stopped",
                "stop_grace_period": "30s",
                "healthcheck": {
                    "test": ["CMD", *deployment.is_available()],
                    "interval": "10s",
                    "timeout": "6s",
                    "retries": 3,
                    "start_period": "300s",
                },
            }
        }
    }


def prometheus(deployment: Deployment) -> dict[str, Any]:
    """What a Prometheus is told to collect."""
    target = f"localhost:{deployment.rest_port}"
    return {
        "scrape_configs": [
            {
                "job_name": _NAME,
                "metrics_path": METRICS_PATH,
                "static_configs": [{"targets": [target]}],
            }
        ]
    }


def kubernetes(deployment: Deployment) -> list[dict[str, Any]]:
    """Configuration, servers, their address and how many must stay up."""
    files = deployment.files()
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _NAME, "labels": _LABELS},
            "data": files,
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": _NAME, "labels": _LABELS},
            "spec": {
                "replicas": deployment.replicas,
                "selector": {"matchLabels": _LABELS},
                # One more before one less: never fewer than asked for.
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
                },
                "template": {
                    "metadata": {
                        "labels": _LABELS,
                        # Other files, other pods.
                        "annotations": {
                            "checksum/config": _checksum(files),
                            "prometheus.io/scrape": "true",
                            "prometheus.io/port": str(deployment.rest_port),
                            "prometheus.io/path": METRICS_PATH,
                        },
                    },
                    "spec": _pod(deployment),
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": _NAME, "labels": _LABELS},
            "spec": {
                # Without an address of its own: a gRPC client sees every pod
                # and shares its calls among them.
                "clusterIP": "None",
                "selector": _LABELS,
                "ports": [
                    {"name": "grpc", "port": deployment.grpc_port},
                    {"name": "rest", "port": deployment.rest_port},
                ],
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": _NAME, "labels": _LABELS},
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": _LABELS},
            },
        },
    ]


def _pod(deployment: Deployment) -> dict[str, Any]:
    available = {"exec": {"command": deployment.is_available()}}
    size = {
        "cpu": str(deployment.cpus),
        "memory": f"{deployment.memory}Mi",
    }
    return {
        "terminationGracePeriodSeconds": 60,
        "containers": [
            {
                "name": _NAME,
                "image": deployment.image,
                "command": [_BINARY],
                "args": deployment.flags(_CONFIG),
                "ports": [
                    {"name": "grpc", "containerPort": deployment.grpc_port},
                    {"name": "rest", "containerPort": deployment.rest_port},
                ],
                "resources": {"requests": size, "limits": size},
                # Ports open when all models are loaded and warmed up.
                "startupProbe": {
                    **available,
                    "periodSeconds": 5,
                    "timeoutSeconds": 6,
                    "failureThreshold": 120,
                },
                "readinessProbe": {
                    **available,
                    "periodSeconds": 5,
                    "timeoutSeconds": 6,
                    "failureThreshold": 2,
                },
                "livenessProbe": {
                    "tcpSocket": {"port": deployment.grpc_port},
                    "periodSeconds": 10,
                    "failureThreshold": 6,
                },
                # Clients hear of it before the server is gone.
                "lifecycle": {
                    "preStop": {"exec": {"command": ["sleep", "10"]}}
                },
                "volumeMounts": [
                    {
                        "name": "models",
                        "mountPath": deployment.mount,
                        "readOnly": True,
                    },
                    {"name": "config", "mountPath": _CONFIG, "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {
                "name": "models",
                "persistentVolumeClaim": {
                    "claimName": _CLAIM,
                    "readOnly": True,
                },
            },
            {"name": "config", "configMap": {"name": _NAME}},
        ],
    }


def _bound(source: str, target: str) -> dict[str, Any]:
    return {
        "type": "bind",
        "source": source,
        "target": target,
        "read_only": True,
    }


def _checksum(files: dict[str, str]) -> str:
    together = "\0".join(f"{name}\0{text}" for name, text in files.items())
    return hashlib.sha256(together.encode()).hexdigest()
