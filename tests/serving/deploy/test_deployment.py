"""Files of a deployment as server, compose and Kubernetes read them."""

import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from jd_tf.serving.deploy.deployment import (
    Deployment,
    ServedModel,
    find_models,
    make_deployment,
    write_deployment,
)
from jd_tf.serving.deploy.model_config import OperationError, read_config
from jd_tf.serving.protos.messages import (
    BatchingParameters,
    MonitoringConfig,
    parse_text,
)

ROOT = Path(__file__).resolve().parents[3]
# Of `main.cc`, as far as we use them; the server ends at an unknown one.
KNOWN_FLAGS = {
    "port",
    "rest_api_port",
    "model_config_file",
    "monitoring_config_file",
    "file_system_poll_wait_seconds",
    "max_num_load_retries",
    "num_load_threads",
    "allow_version_labels_for_unavailable_models",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
    "grpc_channel_arguments",
    "grpc_max_threads",
    "enable_batching",
    "enable_per_model_batching_parameters",
    "batching_parameters_file",
}


@pytest.mark.parametrize("name", ["a [b]", "a*", "a?", "a\\b"])
def test_a_path_that_servers_read_as_a_pattern_is_refused(name):
    with pytest.raises(OperationError, match=r"patterns.*--mount"):
        Deployment((), f"/models/{name}")


def make_folder(path, size=0):
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"x" * size)


@pytest.fixture(name="saved_models")
def _saved_models(tmp_path):
    folder = tmp_path / "saved models"
    for version in (1, 2, 10):
        make_folder(folder / "jd_ranker" / str(version), 1000)
    make_folder(folder / "image_tower" / "4", 500)
    (folder / "README.md").write_text("no model")
    return folder


@pytest.fixture(name="written")
def _written(saved_models, tmp_path):
    models = find_models(
        saved_models, labels={"jd_ranker": {"stable": 2, "canary": 10}}
    )
    deployment = Deployment(models, "/models", batching=True, cpus=3)
    output = tmp_path / "my deploy"
    write_deployment(output, deployment, saved_models)
    return output, deployment


def test_model_config_is_the_servers(written):
    output, _ = written
    text = (output / "models.config").read_text()
    config = text_format.Parse(
        text, model_server_config_pb2.ModelServerConfig()
    )
    tower, ranker = config.model_config_list.config
    assert (tower.name, ranker.name) == ("image_tower", "jd_ranker")
    assert ranker.base_path == "/models/jd_ranker"
    assert ranker.model_platform == "tensorflow"
    assert dict(ranker.version_labels) == {"stable": 2, "canary": 10}
    assert list(ranker.model_version_policy.specific.versions) == [2, 10]
    assert dict(tower.version_labels) == {"stable": 4}
    # Nothing that the open-source server refuses.
    assert not ranker.HasField("logging_config")
    ours = read_config(output / "models.config")
    assert type(config).FromString(ours.SerializeToString()) == config


def test_monitoring_and_batching_parse(written):
    output, _ = written
    monitoring = parse_text(
        (output / "monitoring.config").read_text(), MonitoringConfig, ""
    )
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path.startswith("/")
    batching = parse_text(
        (output / "batching.config").read_text(), BatchingParameters, ""
    )
    assert batching.num_batch_threads.value == 3


def test_the_start_script_starts_the_server(written, tmp_path):
    output, _ = written
    binary = tmp_path / "server"
    binary.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    binary.chmod(0o755)
    finished = subprocess.run(
        [str(output / "start_server.sh"), "--more=1"],
        capture_output=True,
        text=True,
        env={**os.environ, "SERVER": str(binary)},
        cwd=tmp_path,
        check=True,
    )
    flags = dict(
        line.removeprefix("--").split("=", 1)
        for line in finished.stdout.splitlines()
    )
    assert flags.pop("more") == "1"
    assert set(flags) == KNOWN_FLAGS
    for name in ("model_config", "monitoring_config", "batching_parameters"):
        assert Path(flags[f"{name}_file"]).is_file()
    assert flags["tensorflow_intra_op_parallelism"] == "3"
    assert int(flags["file_system_poll_wait_seconds"]) > 0


def test_the_compose_file_has_the_same_flags(written, saved_models):
    output, deployment = written
    text = (output / "docker-compose.yaml").read_text()
    service = yaml.safe_load(text)["services"]["model-server"]
    assert service["command"] == deployment.flags("/config")
    sources = {v["target"]: v["source"] for v in service["volumes"]}
    assert sources == {"/models": str(saved_models), "/config": "."}
    assert all(v["read_only"] for v in service["volumes"])
    assert service["mem_limit"] == f"{deployment.memory}m"
    assert service["healthcheck"]["test"][0] == "CMD"
    # Compose would replace what follows a dollar.
    assert "$" not in text


def test_the_manifest_is_complete(written):
    output, deployment = written
    text = (output / "kubernetes.yaml").read_text()
    documents = list(yaml.safe_load_all(text))
    kinds = {document["kind"]: document for document in documents}
    assert list(kinds) == [
        "ConfigMap",
        "Deployment",
        "Service",
        "PodDisruptionBudget",
    ]
    assert kinds["ConfigMap"]["data"] == deployment.files()
    spec = kinds["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    for selector in (
        spec["selector"]["matchLabels"],
        kinds["Service"]["spec"]["selector"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector == labels
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {m["name"] for m in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert container["resources"]["limits"]["cpu"] == "3"
    assert container["args"] == deployment.flags("/config")
    for probe in ("startupProbe", "readinessProbe"):
        command = container[probe]["exec"]["command"]
        assert command == deployment.is_available()
        assert "jd_ranker" in command[-1]
    for name in re.findall(r"'name': '([^']*)'", str(documents)):
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)


def test_values_that_yaml_would_misread_stay_strings(saved_models, tmp_path):
    odd = {
        "image": 'no: "quoted" # {{ x }} \\',
        "mount": "/1.10 é\t\u2028",
    }
    deployment = Deployment(find_models(saved_models), cpus=1, **odd)
    write_deployment(tmp_path, deployment, saved_models)
    service = yaml.safe_load((tmp_path / "docker-compose.yaml").read_text())
    service = service["services"]["model-server"]
    assert service["image"] == odd["image"]
    assert service["volumes"][0]["target"] == odd["mount"]
    manifest = (tmp_path / "kubernetes.yaml").read_text()
    pod = list(yaml.safe_load_all(manifest))[1]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == odd["image"]
    assert container["resources"]["limits"]["cpu"] == "1"
    assert container["volumeMounts"][0]["mountPath"] == odd["mount"]


def test_the_image_is_a_release(written):
    """`latest` would be another server one day."""
    output, _ = written
    services = yaml.safe_load((output / "docker-compose.yaml").read_text())
    image = services["services"]["model-server"]["image"]
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", image)


def test_prometheus_collects_from_the_rest_port(written):
    output, deployment = written
    (job,) = yaml.safe_load((output / "prometheus.yml").read_text())[
        "scrape_configs"
    ]
    monitoring = (output / "monitoring.config").read_text()
    assert f'path: "{job["metrics_path"]}"' in monitoring
    target = f"localhost:{deployment.rest_port}"
    assert job["static_configs"] == [{"targets": [target]}]


def test_other_files_restart_the_pods(saved_models, tmp_path):
    def checksum(labels):
        make_deployment(tmp_path, saved_models, labels={"jd_ranker": labels})
        text = (tmp_path / "kubernetes.yaml").read_text()
        pods = list(yaml.safe_load_all(text))[1]["spec"]["template"]
        return pods["metadata"]["annotations"]["checksum/config"]

    assert checksum({"stable": 1}) == checksum({"stable": 1})
    assert checksum({"stable": 1}) != checksum({"stable": 2})


@pytest.mark.parametrize(
    ("states", "ready"),
    [
        (("AVAILABLE", "AVAILABLE"), True),
        (("AVAILABLE", "LOADING"), False),
        (("END", "AVAILABLE"), False),
    ],
)
def test_readiness_reads_the_state_of_every_model(saved_models, states, ready):
    paths = dict(
        zip(
            ("/v1/models/image_tower", "/v1/models/jd_ranker"),
            states,
            strict=True,
        )
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            state = paths[self.path]
            self.wfile.write(f'{{"state": "{state}"}}\n'.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        deployment = Deployment(
            find_models(saved_models),
            "/models",
            rest_port=server.server_address[1],
        )
        finished = subprocess.run(deployment.is_available(), timeout=20)
        server.shutdown()
    assert (finished.returncode == 0) == ready


def test_readiness_fails_without_a_server(saved_models):
    from tests.serving.fake_server.model_server import free_port

    deployment = Deployment(
        find_models(saved_models), "/models", rest_port=free_port()
    )
    finished = subprocess.run(
        deployment.is_available(), capture_output=True, timeout=20
    )
    assert finished.returncode


def test_memory_has_room_for_a_version_beside(tmp_path):
    folder = tmp_path / "big"
    make_folder(folder / "1", 0)
    make_folder(folder / "2", 0)
    for version, size in ((1, 100), (2, 300)):
        with (folder / str(version) / "variables").open("wb") as file:
            file.truncate(size * 2**20)
    model = ServedModel("big", folder, {"stable": 1, "canary": 2})
    deployment = Deployment((model,), "/models")
    # The 400 MiB that are loaded and 300 beside them: three versions.
    needed = 1024 + 3 * 256 + 1.25 * 700
    assert needed <= deployment.memory < needed + 256
    assert Deployment((model,), "/models", memory_mib=99).memory == 99


def test_what_is_not_there_is_refused(saved_models, tmp_path):
    with pytest.raises(OperationError, match="no model din with versions"):
        find_models(saved_models, ("din",))
    with pytest.raises(OperationError, match="names version 3"):
        find_models(saved_models, labels={"jd_ranker": {"stable": 3}})
    with pytest.raises(OperationError, match="no such folder"):
        find_models(tmp_path / "nothing")
    with pytest.raises(OperationError, match="absolute"):
        Deployment(find_models(saved_models), "models")


def test_the_program_keeps_the_labels_of_an_earlier_file(
    saved_models, tmp_path
):
    output = tmp_path / "deploy"

    def run(*arguments):
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "experiments.make_serving_config",
                f"--saved_models={saved_models}",
                f"--output={output}",
                *arguments,
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )

    finished = run("--labels=jd_ranker:stable=1")
    assert finished.returncode == 0, finished.stderr
    finished = run("--labels=jd_ranker:canary=10")
    assert "jd_ranker: stable 1, canary 10" in finished.stdout
    config = read_config(output / "models.config").model_config_list.config
    labels = {model.name: dict(model.version_labels) for model in config}
    assert labels == {
        "image_tower": {"stable": 4},
        "jd_ranker": {"stable": 1, "canary": 10},
    }
    assert not (output / "batching.config").exists()
    finished = run("--labels=jd_ranker=3")
    assert finished.returncode == 2
    assert "model:label=version" in finished.stderr
