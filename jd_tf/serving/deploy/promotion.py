"""A version becomes the one that is served, or nothing changes."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from jd_tf.schema import DataError
from jd_tf.serving.client.errors import ModelNotFoundError
from jd_tf.serving.deploy.errors import (
    OperationError,
    RollbackError,
    RolledBackError,
)
from jd_tf.serving.deploy.model_config import (
    STABLE,
    Config,
    check_loadable,
    local_path,
    model_of,
    read_config,
    set_versions,
    write_config,
)
from jd_tf.serving.deploy.smoke_check import smoke_check
from jd_tf.serving.deploy.version_server import VersionServer
from jd_tf.serving.export.inspection import inspect_version
from jd_tf.serving.export.recordings import WARMUP_FILE, read_recordings
from jd_tf.serving.export.versions import versions

_PAUSE = 0.05


class Promotion:
    """Moves a label to a new version on one or several model servers.

    In this order, each step on all servers before the next: load the new
    version beside the old, wait until it is available, replay the calls its
    export recorded, move the label, see that the label answers with it, drop
    the old version, write the configuration file. Whatever fails on the way,
    an interruption included, is undone: the servers get the configuration
    they had, and the file stays as it was.

    Nothing is sent before the version's folder was inspected here and every
    path of the configuration was found to hold what it names, since a server
    told of an empty path hangs.

    Args:
        servers: all that read this configuration file.
        config_file: what they serve now, as `make_serving_config` wrote it.
        model: its name there.
        label: the label to move; may be new.
        mapped: server's prefix -> local prefix of base paths, where they
            differ.
        load_seconds: how long a server may take to load the version.
        call_seconds: of every single call.
        tolerance: of the smoke check; see `smoke_check`.
        keep_old: leave the old version loaded, for a quick way back.
        inspect: folder -> what is wrong with it.
        say: is told of each step.
    """

    def __init__(
        self,
        servers: Sequence[VersionServer],
        config_file: str | Path,
        model: str,
        label: str = STABLE,
        mapped: Mapping[str, str] | None = None,
        load_seconds: float = 300.0,
        call_seconds: float = 10.0,
        tolerance: float | None = None,
        keep_old: bool = False,
        inspect: Callable[[Path], Sequence[str]] = inspect_version,
        say: Callable[[str], None] = print,
    ):
        self.servers = list(servers)
        self.config_file = Path(config_file)
        self.model = model
        self.label = label
        self.mapped = dict(mapped or {})
        self.load_seconds = load_seconds
        self.call_seconds = call_seconds
        self.tolerance = tolerance
        self.keep_old = keep_old
        self._inspect = inspect
        self._say = say

    def run(self, version: int | None = None) -> int:
        """Promotes a version.

        Args:
            version: a number, older ones included; by default the highest
                there is.

        Returns:
            The version the label names now.

        Raises:
            OperationError: if nothing was begun.
            RolledBackError: if it failed and all is as before.
            RollbackError: if it failed and is not.
        """
        with self._alone():
            before = read_config(self.config_file)
            folder, version = self._folder(before, version)
            self._check(before, folder, version)
            base = self._pinned(before)
            old = model_of(base, self.model, "").version_labels.get(self.label)
            if old == version and self._available(version):
                self._say(f"`{self.label}` is version {version} already.")
                return version
            try:
                final = self._promote(base, folder, version)
            except BaseException as error:
                self._roll_back(base, version, error)
                raise
            write_config(self.config_file, final)
            self._say(f"{self.config_file}: `{self.label}` is {version}")
            return version

    # Before anything is sent ------------------------------------------------

    def _folder(self, config: Config, version: int | None) -> tuple[Path, int]:
        where = str(self.config_file)
        base = local_path(
            model_of(config, self.model, where).base_path, self.mapped
        )
        there = versions(base)
        if version is None and there:
            version = max(there)
        if version not in there:
            raise OperationError(
                f"{base}: no version {'' if version is None else version} "
                "here. A server told of a missing path would hang; publish "
                "it, or say with --local where the path lies."
            )
        return there[version], version

    def _check(self, config: Config, folder: Path, version: int) -> None:
        findings = self._inspect(folder)
        if findings:
            raise OperationError("; ".join(findings))
        check_loadable(config, self.mapped)
        if not self.servers:
            raise OperationError("no server was named.")
        for server in self.servers:
            for model in config.model_config_list.config:
                # A model that is new to the server would make it wait.
                found = server.status(model.name, timeout=self.call_seconds)
                if not any(s.available for s in found.values()):
                    raise OperationError(
                        f"{server.address}: no version of `{model.name}` is "
                        "available; mend that first."
                    )
                # Nor does it take a label of a version that is still loading,
                # as one is after a start; and then nothing could be undone.
                for number in set(model.version_labels.values()):
                    self._wait_available(server, number, model.name)
            found = server.status(self.model, timeout=self.call_seconds)
            if version in found and found[version].failed:
                raise OperationError(
                    f"{server.address}: version {version} failed to load "
                    f"before: {found[version].error}. A number is not used "
                    "again: publish it under a new one."
                )

    def _pinned(self, config: Config) -> Config:
        """The configuration with what is loaded now by number.

        A policy such as `latest` would load the new version by itself.
        """
        pinned = Config()
        pinned.CopyFrom(config)
        model = model_of(pinned, self.model, "")
        loaded = set(model.version_labels.values())
        for server in self.servers:
            found = server.status(self.model, timeout=self.call_seconds)
            loaded |= {n for n, status in found.items() if status.available}
        set_versions(model, loaded)
        return pinned

    def _available(self, version: int) -> bool:
        found = [
            server.status(self.model, timeout=self.call_seconds)
            for server in self.servers
        ]
        return all(version in s and s[version].available for s in found)

    # The four steps -----------------------------------------------------------

    def _promote(self, base: Config, folder: Path, version: int) -> Config:
        both = self._changed(base, add=version)
        self._send(both)
        for server in self.servers:
            self._wait_available(server, version)
            self._say(f"{server.address}: version {version} is available")
        for server in self.servers:
            found = smoke_check(
                server,
                self.model,
                version,
                folder,
                self.tolerance,
                self.call_seconds,
            )
            self._say(
                f"{server.address}: version {version} answers as exported "
                f"(largest relative difference {found:.1e})"
            )
        moved = self._changed(both, label=version)
        self._send(moved)
        for server in self.servers:
            self._check_label(server, folder, version)
            self._say(f"{server.address}: `{self.label}` is {version}")
        if self.keep_old:
            return moved
        model = model_of(moved, self.model, "")
        final = self._changed(moved, only=set(model.version_labels.values()))
        self._send(final)
        return final

    def _changed(
        self,
        config: Config,
        add: int | None = None,
        label: int | None = None,
        only: set[int] | None = None,
    ) -> Config:
        changed = Config()
        changed.CopyFrom(config)
        model = model_of(changed, self.model, "")
        if add is not None:
            loaded = model.model_version_policy.specific.versions
            set_versions(model, [*loaded, add])
        if label is not None:
            model.version_labels[self.label] = label
        if only is not None:
            set_versions(model, only)
        return changed

    def _send(self, config: Config) -> None:
        check_loadable(config, self.mapped)
        for server in self.servers:
            server.reload_config(config, self.call_seconds)

    def _wait_available(
        self, server: VersionServer, version: int, model: str = ""
    ) -> None:
        model = model or self.model
        end = time.monotonic() + self.load_seconds
        state = "not seen yet"
        while time.monotonic() < end:
            with contextlib.suppress(ModelNotFoundError):
                found = server.status(
                    model, version, timeout=self.call_seconds
                )[version]
                if found.available:
                    return
                if found.failed:
                    raise OperationError(
                        f"{server.address}: version {version} of "
                        f"`{model}` failed to load: {found.error}"
                    )
                state = found.state
            time.sleep(_PAUSE)
        raise OperationError(
            f"{server.address}: version {version} of `{model}` is "
            f"{state} after {self.load_seconds:g} s."
        )

    def _check_label(
        self, server: VersionServer, folder: Path, version: int
    ) -> None:
        # Status knows no labels; an answer tells who gave it.
        call = next(iter(read_recordings(folder / WARMUP_FILE)))
        _, answered_by = server.predict(
            self.model, call.signature, call.inputs, self.label
        )
        if answered_by != version:
            raise OperationError(
                f"{server.address}: `{self.label}` is answered by version "
                f"{answered_by}, should be {version}."
            )

    # And back -----------------------------------------------------------------

    def _roll_back(
        self, base: Config, version: int, reason: BaseException
    ) -> None:
        """Gives every server the old configuration.

        Raises:
            RolledBackError: if that did it.
            RollbackError: if not.
        """
        complaints = []
        for server in self.servers:
            try:
                self._restore(server, base, version)
            except DataError as error:
                complaints.append(str(error))
        said = str(reason) or type(reason).__name__
        if complaints:
            raise RollbackError(
                f"{said} Rolling back failed too: {'; '.join(complaints)} "
                f"Restart the server on {self.config_file}, which is as it "
                "was."
            ) from reason
        self._say(f"rolled back: {said}")
        if isinstance(reason, DataError):
            raise RolledBackError(
                f"{said} Rolled back; `{self.label}` is as it was."
            ) from reason

    def _restore(
        self, server: VersionServer, base: Config, version: int
    ) -> None:
        labels = model_of(base, self.model, "").version_labels
        found = server.status(self.model, timeout=self.call_seconds)
        gone = {
            number
            for number in labels.values()
            if number not in found or not found[number].available
        }
        if gone:
            # No label may name a version that is still loading: until then it
            # stays with the new one.
            beside = self._changed(base, add=version)
            for label, number in labels.items():
                if number in gone:
                    model = model_of(beside, self.model, "")
                    model.version_labels[label] = version
            server.reload_config(beside, self.call_seconds)
            for number in gone:
                self._wait_available(server, number)
        server.reload_config(base, self.call_seconds)
        for number in set(labels.values()):
            self._wait_available(server, number)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One promotion at a time changes a configuration file."""
        name = f".{self.config_file.name}.lock"
        if not self.config_file.parent.is_dir():
            raise OperationError(f"{self.config_file}: no such file.")
        with (self.config_file.parent / name).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OperationError(
                    f"{self.config_file}: another promotion is under way."
                ) from None
            yield
