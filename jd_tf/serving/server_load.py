"""A SavedModel as a model server loads it: by its own restore op."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import tensorflow as tf

from jd_tf.serving.comparison import check_equal
from jd_tf.serving.errors import ExportError
from jd_tf.serving.graph_check import SERVE_TAG
from jd_tf.serving.recordings import Recording


def server_complaints(
    folder: Path, recordings: Iterable[Recording], tolerance: float
) -> Iterator[str]:
    """Says what a server would answer wrong, or fail to.

    `tf.saved_model.load` finds variables by the objects that held them. A
    server knows no objects: it runs the graph's restore op in a session, and
    what that op does not fill is missing when the first request comes.

    Args:
        folder: of one version.
        recordings: the first call of each signature is run.
        tolerance: the largest relative difference let through.

    Yields:
        A complaint a signature, or one if nothing can be loaded.
    """
    first: dict[str, Recording] = {}
    for recording in recordings:
        first.setdefault(recording.signature, recording)
    graph = tf.Graph()
    with tf.compat.v1.Session(graph=graph) as session, graph.as_default():
        try:
            loaded = tf.compat.v1.saved_model.loader.load(
                session, [SERVE_TAG], str(folder)
            )
        except (tf.errors.OpError, OSError, RuntimeError) as error:
            yield f"{folder}: a model server cannot load it: {_first(error)}."
            return
        for name, recording in first.items():
            if name not in loaded.signature_def:
                continue
            signature = loaded.signature_def[name]
            what = f"{folder}: signature `{name}` in a model server"
            try:
                answer = session.run(
                    {n: t.name for n, t in signature.outputs.items()},
                    {
                        signature.inputs[n].name: array
                        for n, array in recording.inputs.items()
                    },
                )
                check_equal(recording.outputs, answer, what, tolerance)
            except (tf.errors.OpError, ValueError, KeyError) as error:
                text = _first(error)
                known = isinstance(error, ExportError)
                yield text if known else f"{what} fails: {text}."


def _first(error: Exception) -> str:
    message = getattr(error, "message", None) or str(error)
    return next(iter(message.strip().splitlines()), type(error).__name__)
