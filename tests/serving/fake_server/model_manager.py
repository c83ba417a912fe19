"""The versions that are served: polls folders, loads, unloads, labels."""

import dataclasses
import threading
import time
from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2

from tests.serving.fake_server.loaded_version import LoadedVersion
from tests.serving.fake_server.status_error import StatusError, invalid

_POLL_SECONDS = 0.05
# A version that is not wanted any more answers, and is said to be available,
# until the server gets round to it; wanted again meanwhile, it goes all the
# same and is loaded anew.
_UNLOAD_SECONDS = 0.15


@dataclasses.dataclass
class VersionRecord:
    """State by the protocol's names; `code` is OK unless loading failed."""

    state: str = "START"
    code: str = "OK"
    message: str = ""
    loaded: LoadedVersion | None = None
    gone_at: float | None = None

    @property
    def available(self) -> bool:
        return self.state == "AVAILABLE"

    @property
    def failed(self) -> bool:
        return self.state == "END" and self.code != "OK"


class ModelManager:
    """The server's view of its folders, by its documented rules."""

    def __init__(self, **loading):
        self.records: dict[tuple[str, int], VersionRecord] = {}
        self._loading = loading
        self._config = model_server_config_pb2.ModelConfigList()
        self._labels = {}
        self._lock = threading.RLock()
        self._reloading = threading.Lock()
        self._polled = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._poll_forever, daemon=True)

    def start(self, config, seconds):
        """Serves when every model has a version, as the ports then open."""
        _check_config(config)
        with self._lock:
            self._config.CopyFrom(config.model_config_list)
            self._set_labels(self._config)
        self._thread.start()
        end = time.monotonic() + seconds
        for name in self._names():
            while not self._available(name):
                if self._failed(name) or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError(
                        f"Failed to start server: {name}: {self.records}"
                    )
                time.sleep(0.01)

    def stop(self):
        """Ends polling; loaded versions go with the object."""
        self._stopping = True
        self._polled.set()
        if self._thread.ident:
            self._thread.join()

    def reload(self, config):
        """A new configuration; waits for new models, whatever it takes."""
        with self._reloading:
            if config.WhichOneof("config") != "model_config_list":
                raise invalid("ModelServerConfig has no config set")
            _check_config(config)
            new = config.model_config_list
            with self._lock:
                known = set(self._names())
                self._set_labels(new)
                self._config = type(self._config)()
                self._config.CopyFrom(new)
            self._polled.set()
            for name in self._names():
                while name not in known and not self._available(name):
                    # No way out: the server has none either.
                    if self._stopping:
                        raise StatusError("UNAVAILABLE", "shutting down")
                    if self._failed(name):
                        raise StatusError("UNKNOWN", f"{name} failed to load")
                    time.sleep(0.01)

    def find(self, spec):
        """The version that a ModelSpec means."""
        if not spec.name:
            raise invalid("ModelSpec has no name")
        with self._lock:
            choice = spec.WhichOneof("version_choice")
            if choice is None:
                available = self._available(spec.name)
                if not available:
                    raise StatusError(
                        "NOT_FOUND",
                        f"Servable not found for request: Latest({spec.name})",
                    )
                return self.records[spec.name, max(available)].loaded
            if choice == "version_label":
                labels = self._labels.get(spec.name, {})
                if spec.version_label not in labels:
                    raise invalid(
                        "Unrecognized servable version label: "
                        f"{spec.version_label}"
                    )
                version = labels[spec.version_label]
            else:
                version = spec.version.value
            record = self.records.get((spec.name, version))
            if record is None or not record.available:
                raise StatusError(
                    "NOT_FOUND",
                    "Servable not found for request: "
                    f"Specific({spec.name}, {version})",
                )
            return record.loaded

    def status(self, spec):
        """Records by version; labels are not looked at."""
        with self._lock:
            found = {
                version: record
                for (name, version), record in self.records.items()
                if name == spec.name
            }
        if spec.HasField("version"):
            version = spec.version.value
            found = {v: r for v, r in found.items() if v == version}
            missing = f"Could not find version {version} of model {spec.name}"
        else:
            missing = f"Could not find any versions of model {spec.name}"
        if not found:
            raise StatusError("NOT_FOUND", missing)
        return found

    def _poll_forever(self):
        while not self._stopping:
            self._polled.clear()
            self._poll()
            self._polled.wait(_POLL_SECONDS)

    def _poll(self):
        with self._lock:
            models = list(self._config.config)
        if not all(Path(model.base_path).is_dir() for model in models):
            # One bad path, and nobody gets new versions.
            return
        for model in models:
            self._apply(model.name, _wanted(model))
        for name in {name for name, _ in self.records} - set(self._names()):
            self._apply(name, {})

    def _apply(self, name, wanted):
        for (owner, _), record in list(self.records.items()):
            leaves = record.gone_at is not None and owner == name
            if leaves and time.monotonic() > record.gone_at:
                with self._lock:
                    record.state, record.loaded = "END", None
                    record.gone_at = None
        for version, folder in wanted.items():
            record = self.records.get((name, version))
            if record is None or (record.state == "END" and not record.failed):
                self._load(name, version, folder)
        ready = any(v in wanted for v in self._available(name))
        for (owner, version), record in list(self.records.items()):
            if owner != name or version in wanted:
                continue
            if record.failed:
                # Asked for again, it is tried again.
                record.code = "OK"
            elif (
                record.available
                and record.gone_at is None
                and (ready or not wanted)
            ):
                record.gone_at = time.monotonic() + _UNLOAD_SECONDS

    def _load(self, name, version, folder):
        record = self.records[name, version] = VersionRecord("LOADING")
        try:
            loaded = LoadedVersion(folder, name, version, **self._loading)
        except StatusError as error:
            record.code, record.message = error.code, error.message
            record.state = "END"
            return
        with self._lock:
            record.loaded, record.state = loaded, "AVAILABLE"

    def _set_labels(self, config):
        labels = {}
        for model in config.config:
            available = self._available(model.name)
            for label, version in model.version_labels.items():
                new = label not in self._labels.get(model.name, {})
                if version not in available and not new:
                    raise StatusError(
                        "FAILED_PRECONDITION",
                        f"Request to assign label to version {version} of "
                        f"model {model.name}, which is not currently "
                        "available for inference",
                    )
            labels[model.name] = dict(model.version_labels)
        self._labels = labels

    def _names(self):
        return [model.name for model in self._config.config]

    def _available(self, name):
        return [
            version
            for (owner, version), record in list(self.records.items())
            if owner == name and record.available
        ]

    def _failed(self, name):
        mine = [r for (n, _), r in list(self.records.items()) if n == name]
        return bool(mine) and all(record.failed for record in mine)


def _check_config(config):
    names = [model.name for model in config.model_config_list.config]
    for model in config.model_config_list.config:
        if not (model.name and model.base_path and model.model_platform):
            raise invalid("name, base_path and model_platform are required")
        if not Path(model.base_path).is_absolute():
            raise invalid(
                f"Expected model {model.name} to have an absolute path or URI; "
                f"got base_path()={model.base_path}"
            )
        if model.HasField("logging_config"):
            raise invalid("No request-logger-creator provided")
    if len(set(names)) < len(names):
        raise invalid("Duplicate model name in the configuration")


def _wanted(model):
    numbered = {
        int(child.name): child
        for child in Path(model.base_path).iterdir()
        if child.is_dir() and child.name.isascii() and child.name.isdigit()
    }
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "specific":
        chosen = [v for v in policy.specific.versions if v in numbered]
    elif kind == "all":
        chosen = sorted(numbered)
    else:
        chosen = sorted(numbered)[-(policy.latest.num_versions or 1) :]
    return {version: numbered[version] for version in chosen}
