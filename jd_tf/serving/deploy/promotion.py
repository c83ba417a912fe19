"""Promotes a version to the one that is served, or changes nothing."""

import contextlib
import dataclasses
import fcntl
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.schema import DataError
from jd_tf.serving.client.errors import (
    ModelNotFoundError,
    RejectedError,
    UnavailableError,
)
from jd_tf.serving.client.options import TlsFiles
from jd_tf.serving.deploy.model_config import (
    STABLE,
    OperationError,
    ServerConfig,
    check_loadable,
    local_path,
    model_of,
    read_config,
    set_versions,
    write_config,
)
from jd_tf.serving.deploy.version_server import VersionServer
from jd_tf.serving.export.recordings import WARMUP_FILE, read_recordings
from jd_tf.serving.export.verification.verify import verify_export
from jd_tf.serving.export.versions import versions
from jd_tf.serving.protos.messages import ModelServerConfig

_PAUSE = 0.05
_LOADED = ("AVAILABLE", "UNLOADING")
# A server learns of a new configuration within a second.
_SETTLE_SECONDS = 5.0


class RolledBackError(OperationError):
    """A promotion that failed and was undone; the old version serves."""


class RollbackError(OperationError):
    """A promotion that failed and was not undone: see to the servers."""


def promote(
    config_file: str | Path,
    model: str,
    version: int | None = None,
    addresses: Sequence[str] = ("localhost:8500",),
    tls: TlsFiles | None = None,
    **settings: Any,
) -> int:
    """Promotes a version on one or several model servers.

    Args:
        config_file: their configuration, as `make_deployment` wrote it.
        model: its name there.
        version: a number, older ones included; by default the highest.
        addresses: `host:port` of the gRPC side of every server that reads
            the file.
        tls: encrypts; plain without.
        **settings: of a `Promotion`, from `label` on.

    Returns:
        The version that the label names now.

    Raises:
        OperationError: if it was refused and nothing was sent.
        RolledBackError: if it failed and was undone.
        RollbackError: if it failed and was not undone.
    """
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(VersionServer(address, tls))
            for address in addresses
        ]
        promotion = Promotion(servers, Path(config_file), model, **settings)
        return promotion.run(version)


@dataclasses.dataclass
class Promotion:
    """Moves a label to a new version on one or several model servers.

    Nothing is sent before the version's folder was verified and every path
    of the configuration was found to hold its versions. Each step is taken
    on all servers before the next. Any failure on the way, an interruption
    included, is undone: the servers get the configuration they had, and the
    file is not changed.

    Attributes:
        servers: all that read `config_file`.
        label: the label to move; may be new.
        mapped: server's prefix -> local prefix of base paths, where they
            differ.
        load_seconds: longest wait for a server to load the version.
        call_seconds: timeout of every call.
        tolerance: of the replayed calls; by default ten times the export's.
        keep_old: leave the old version loaded, for a quick way back.
        verify: folder -> error messages.
        log: gets a line for each step.
    """

    servers: Sequence[VersionServer]
    config_file: Path
    model: str
    label: str = STABLE
    mapped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    load_seconds: float = 300.0
    call_seconds: float = 10.0
    tolerance: float | None = None
    keep_old: bool = False
    verify: Callable[[Path], Sequence[str]] = verify_export
    log: Callable[[str], object] = print

    def run(self, version: int | None = None) -> int:
        """Promotes a version."""
        with self._locked():
            before = read_config(self.config_file)
            folder = self._folder(before, version)
            version = int(folder.name)
            self._check(before, folder, version)
            policy = model_of(before, self.model).model_version_policy
            if kept := set(policy.specific.versions):
                self._wait_gone(kept, _SETTLE_SECONDS)
            base = self._pinned(before)
            old = model_of(base, self.model).version_labels.get(self.label)
            if old == version and all(
                version in self._available(server) for server in self.servers
            ):
                self.log(f"`{self.label}` is version {version} already.")
                return version
            try:
                final = self._promote(base, folder, version)
            except BaseException as error:
                self._roll_back(base, version, error)
                raise
            write_config(self.config_file, final)
            self.log(f"{self.config_file}: `{self.label}` is {version}")
            policy = model_of(final, self.model).model_version_policy
            with contextlib.suppress(UnavailableError):
                kept = set(policy.specific.versions)
                self._wait_gone(kept, self.load_seconds)
            return version

    def _folder(self, config: ServerConfig, version: int | None) -> Path:
        model = model_of(config, self.model, self.config_file)
        base = local_path(model.base_path, self.mapped)
        there = versions(base)
        chosen = max(there, default=None) if version is None else version
        if chosen not in there:
            raise OperationError(
                f"{base}: no version {'' if version is None else version} "
                "here. A server would hang on a missing path; publish the "
                "version, or map the path with --local."
            )
        return there[chosen]

    def _check(self, config: ServerConfig, folder: Path, version: int) -> None:
        errors = self.verify(folder)
        if errors:
            raise OperationError("; ".join(errors))
        check_loadable(config, self.mapped)
        if not self.servers:
            raise OperationError("no server was named.")
        for server in self.servers:
            for model in config.model_config_list.config:
                # A server would wait for a model that is new to it.
                if not self._available(server, model.name):
                    raise OperationError(
                        f"{server.address}: no version of `{model.name}` is "
                        "available; mend that first."
                    )
                # Nor does it accept a label of a version that is still
                # loading, as one is after a start: nothing could be undone.
                for number in set(model.version_labels.values()):
                    self._wait_available(server, number, model.name)
            found = server.status(self.model, timeout=self.call_seconds)
            if version in found and found[version].failed:
                raise OperationError(
                    f"{server.address}: version {version} failed to load "
                    f"before: {found[version].error}. A server does not load "
                    "a number again: publish it under a new one."
                )

    def _pinned(self, config: ServerConfig) -> ServerConfig:
        # A policy such as `latest` would load the new version by itself.
        labels = model_of(config, self.model).version_labels
        loaded = map(self._available, self.servers)
        return self._changed(config, {*labels.values()}.union(*loaded))

    def _promote(
        self, base: ServerConfig, folder: Path, version: int
    ) -> ServerConfig:
        specific = model_of(base, self.model).model_version_policy.specific
        both = self._changed(base, {*specific.versions, version})
        self._send(both)
        moved = self._changed(both, labels={self.label: version})
        self._repeated(lambda: self._move(moved, folder, version))
        if self.keep_old:
            return moved
        labels = model_of(moved, self.model).version_labels
        final = self._changed(moved, set(labels.values()))
        self._send(final)
        return final

    def _move(self, moved: ServerConfig, folder: Path, version: int) -> None:
        """Moves the label once the version answers as it was exported."""
        for server in self.servers:
            self._wait_available(server, version)
            self.log(f"{server.address}: version {version} is available")
        for server in self.servers:
            found = server.replay_recordings(
                self.model, version, folder, self.tolerance, self.call_seconds
            )
            self.log(
                f"{server.address}: version {version} answers as exported "
                f"(largest relative difference {found:.1e})"
            )
        self._send(moved)
        # A status has no labels, but an answer has the version's number.
        call = next(read_recordings(folder / WARMUP_FILE))
        for server in self.servers:
            _, answered_by = server.predict(
                self.model, call.signature, call.inputs, self.label
            )
            if answered_by != version:
                raise OperationError(
                    f"{server.address}: `{self.label}` is answered by version "
                    f"{answered_by}, should be {version}."
                )
            self.log(f"{server.address}: `{self.label}` is {version}")

    def _repeated(self, step: Callable[[], None]) -> None:
        """Takes a step again for some seconds, if a version is not there.

        One about to be unloaded is still reported as available.
        """
        end = time.monotonic() + _SETTLE_SECONDS
        while True:
            try:
                return step()
            except (ModelNotFoundError, RejectedError):
                if time.monotonic() > end:
                    raise
                time.sleep(_PAUSE)

    def _roll_back(
        self, base: ServerConfig, version: int, reason: BaseException
    ) -> None:
        errors = []
        for server in self.servers:
            try:
                self._repeated(
                    functools.partial(self._restore, server, base, version)
                )
            except DataError as error:
                errors.append(str(error))
        cause = str(reason) or type(reason).__name__
        if errors:
            raise RollbackError(
                f"{cause} Rolling back failed too: {'; '.join(errors)} "
                f"Restart the server on {self.config_file}, which was not "
                "changed."
            ) from reason
        self.log(f"rolled back: {cause}")
        if isinstance(reason, DataError):
            raise RolledBackError(
                f"{cause} Rolled back; `{self.label}` is as it was."
            ) from reason

    def _restore(
        self, server: VersionServer, base: ServerConfig, version: int
    ) -> None:
        model = model_of(base, self.model)
        labels = dict(model.version_labels)
        gone = set(labels.values()) - self._available(server)
        if gone:
            # No label may name a version that is still loading: until then it
            # stays with the new one.
            loaded = {*model.model_version_policy.specific.versions, version}
            moved = {n: version for n in labels if labels[n] in gone}
            both = self._changed(base, loaded, moved)
            server.reload_config(both, self.call_seconds)
            for number in gone:
                self._wait_available(server, number)
        server.reload_config(base, self.call_seconds)
        for number in set(labels.values()):
            self._wait_available(server, number)

    def _changed(
        self,
        config: ServerConfig,
        loaded: set[int] | None = None,
        labels: Mapping[str, int] | None = None,
    ) -> ServerConfig:
        """Returns a copy with other loaded versions, or some labels moved."""
        changed = ModelServerConfig()
        changed.CopyFrom(config)
        model = model_of(changed, self.model)
        if loaded is not None:
            set_versions(model, loaded)
        model.version_labels.update(labels or {})
        return changed

    def _send(self, config: ServerConfig) -> None:
        check_loadable(config, self.mapped)
        for server in self.servers:
            server.reload_config(config, self.call_seconds)

    def _available(self, server: VersionServer, model: str = "") -> set[int]:
        found = server.status(model or self.model, timeout=self.call_seconds)
        return {n for n, status in found.items() if status.available}

    def _wait_gone(self, kept: set[int], seconds: float) -> None:
        """Waits until no server has other versions than these loaded."""
        end = time.monotonic() + seconds
        for server in self.servers:
            while time.monotonic() < end:
                found = server.status(self.model, timeout=self.call_seconds)
                loaded = {n for n in found if found[n].state in _LOADED}
                if loaded <= kept:
                    break
                time.sleep(_PAUSE)

    def _wait_available(
        self, server: VersionServer, version: int, model: str = ""
    ) -> None:
        model = model or self.model
        what = f"{server.address}: version {version} of `{model}`"
        end = time.monotonic() + self.load_seconds
        state = "not known yet"
        while time.monotonic() < end:
            with contextlib.suppress(ModelNotFoundError):
                found = server.status(model, version, self.call_seconds)
                state, error = found[version].state, found[version].error
                if found[version].available:
                    return
                if found[version].failed:
                    raise OperationError(f"{what} failed to load: {error}")
            time.sleep(_PAUSE)
        raise OperationError(
            f"{what} is {state} after {self.load_seconds:g} s."
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        name = f".{self.config_file.name}.lock"
        if not self.config_file.parent.is_dir():
            raise OperationError(f"{self.config_file}: no such file.")
        with (self.config_file.parent / name).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OperationError(
                    f"{self.config_file}: another promotion is running."
                ) from None
            yield
