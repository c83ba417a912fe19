"""One version of a model in a session of its own, as the server has it."""

import threading
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests.serving.fake_server.batcher import Batcher
from tests.serving.fake_server.status_error import (
    StatusError,
    invalid,
    of_tensorflow,
)

_WARMUP = "assets.extra/tf_serving_warmup_requests"
_MAX_WARMUP = 1000


class LoadedVersion:
    """Runs signatures by the names of their inputs and outputs."""

    def __init__(
        self,
        folder: Path,
        name: str,
        version: int,
        batching=None,
        warm=True,
        optimize=False,
    ):
        self.folder, self.name, self.version = folder, name, version
        self.num_warmed = 0
        self._batching = batching
        self._batchers = {}
        self._callables = {}
        self._lock = threading.Lock()
        self._session = tf.compat.v1.Session(
            graph=tf.Graph(), config=None if optimize else _as_written()
        )
        try:
            with self._session.graph.as_default():
                loaded = tf.compat.v1.saved_model.loader.load(
                    self._session, ["serve"], str(folder)
                )
        except tf.errors.OpError as error:
            raise of_tensorflow(error) from error
        except Exception as error:
            raise StatusError(
                "NOT_FOUND",
                f"Could not find SavedModel .pb or .pbtxt, or it is corrupted, "
                f"at supplied export directory path: {folder}: {error}",
            ) from error
        self.signatures = loaded.signature_def
        if warm:
            self._warm_up()

    def signature(self, name: str):
        """The definition; `serving_default` without a name."""
        name = name or "serving_default"
        if name not in self.signatures:
            raise StatusError(
                "FAILED_PRECONDITION",
                f'Serving signature name: "{name}" not found in signature def',
            )
        return name, self.signatures[name]

    def run(self, signature_name, inputs, output_filter=(), timeout=30.0):
        """Checks names and dtypes as the server does, not shapes."""
        name, signature = self.signature(signature_name)
        self._check(signature, inputs)
        fetched = self._fetched(signature, output_filter)

        def run(arrays):
            return self._run(name, arrays, fetched)

        if self._batching is None:
            return run(inputs)
        key = (name, tuple(sorted(fetched)))
        with self._lock:
            if key not in self._batchers:
                self._batchers[key] = Batcher(run, self._batching)
        return self._batchers[key].submit(inputs, timeout)

    def batch_sizes(self):
        """Rows of each batch that ran."""
        return [n for b in self._batchers.values() for n in b.batch_sizes]

    def _run(self, name, arrays, fetched):
        inputs = self.signatures[name].inputs
        key = (name, *fetched)
        with self._lock:
            if key not in self._callables:
                self._callables[key] = self._session.make_callable(
                    list(fetched.values()), [inputs[n].name for n in inputs]
                )
        try:
            # Like the server's it does not look at shapes; ops do.
            outputs = self._callables[key](*(arrays[n] for n in inputs))
        except tf.errors.OpError as error:
            raise of_tensorflow(error) from error
        return dict(zip(fetched, outputs, strict=True))

    def _check(self, signature, inputs):
        extra = sorted(set(inputs) - set(signature.inputs))
        missing = sorted(set(signature.inputs) - set(inputs))
        if extra or missing:
            raise invalid(
                f"input size does not match signature: {len(inputs)}!="
                f"{len(signature.inputs)}. Sent extra: {{{','.join(extra)}}}. "
                f"Missing but required: {{{','.join(missing)}}}."
            )
        for number, (name, array) in enumerate(sorted(inputs.items())):
            expected = tf.as_dtype(signature.inputs[name].dtype)
            given = (
                tf.string
                if array.dtype.kind in "OSU"
                else tf.as_dtype(array.dtype)
            )
            if given != expected:
                raise invalid(
                    f"Expects arg[{number}] to be {expected.name} but "
                    f"{given.name} is provided"
                )

    def _fetched(self, signature, output_filter):
        chosen = list(output_filter) or list(signature.outputs)
        for name in chosen:
            if name not in signature.outputs:
                raise invalid(
                    f"output tensor alias not found in signature: {name} "
                    f"Outputs expected to be in the set "
                    f"{{{','.join(sorted(signature.outputs))}}}."
                )
        if len(set(chosen)) < len(chosen):
            raise invalid("duplicate output tensor alias")
        return {name: signature.outputs[name].name for name in chosen}

    def _warm_up(self):
        path = self.folder / _WARMUP
        if not path.is_file():
            return
        try:
            for record in tf.data.TFRecordDataset(
                str(path)
            ).as_numpy_iterator():
                if self.num_warmed == _MAX_WARMUP:
                    raise invalid(
                        "Number of warmup records exceeds the maximum "
                        f"({_MAX_WARMUP}) at {path}"
                    )
                self._replay(
                    prediction_log_pb2.PredictionLog.FromString(record)
                )
                self.num_warmed += 1
        except tf.errors.OpError as error:
            raise of_tensorflow(error) from error

    def _replay(self, log):
        kind = log.WhichOneof("log_type")
        if kind in ("session_run_log", "predict_streamed_log"):
            raise StatusError(
                "UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}"
            )
        if kind != "predict_log":
            return
        request = log.predict_log.request
        arrays = {n: tf.make_ndarray(p) for n, p in request.inputs.items()}
        arrays = {n: np.asarray(a) for n, a in arrays.items()}
        self.run(
            request.model_spec.signature_name, arrays, request.output_filter
        )


def _as_written():
    """Rewriting graphs takes longer than the tests' few calls."""
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = -1
    return config
