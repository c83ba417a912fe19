"""TensorFlow without the notes that no variable turns off.

Its import writes that there is no CUDA to the standard error of every machine
without a GPU, three times, whatever TF_CPP_MIN_LOG_LEVEL says
(github.com/tensorflow/tensorflow/issues/100442).
"""

import importlib.abc
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_NOTE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\) |"
    rb"I0000 .*cudart_stub|E0000 .*failed call to cuInit"
)


class QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Finds TensorFlow once and leaves these notes out while it loads."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Returns the spec of TensorFlow, as others find it; of no other."""
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module: ModuleType) -> None:
                with _StandardError():
                    load(module)
                    # Else the first operation looks for devices, and says so.
                    module.config.list_physical_devices()

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


class _StandardError:
    """Keeps what the process writes, C++ included; then lets all else out."""

    def __enter__(self) -> None:
        sys.stderr.flush()
        self._written = tempfile.TemporaryFile()
        self._kept = os.dup(2)
        os.dup2(self._written.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()
        os.dup2(self._kept, 2)
        os.close(self._kept)
        with self._written as written:
            written.seek(0)
            lines = [line for line in written if not _NOTE.match(line)]
        os.write(2, b"".join(lines))
