"""Exact search among item vectors, by TensorFlow Recommenders.

The only file that imports it. It takes its layers from Keras 2 (`tf_keras`),
which `tf.keras` is where `TF_USE_LEGACY_KERAS` is 1 at its first use; `import
keras` is Keras 3 all the same, and both run side by side. So the variable is
set here while the package loads, which is in time unless something in the
process has used `tf.keras` before: then it must be set before the process
starts.
"""

import os
from typing import Any

import tensorflow as tf

from jd_tf.schema import DataError
from jd_tf.serving.signature_names import LOWEST_SCORE

_VARIABLE = "TF_USE_LEGACY_KERAS"
KINDS = ("brute_force", "streaming")
_ITEMS_AT_ONCE = 8192


def load_recommenders() -> Any:
    """Returns the module `tensorflow_recommenders`.

    Raises:
        DataError: it is not installed, `tf.keras` is Keras 3 here, or a ScaNN
            is installed that does not load.
    """
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = "1"
    try:
        import tensorflow_recommenders
    except tf.errors.NotFoundError as error:
        raise DataError(
            "tensorflow_recommenders loads ScaNN where that is installed, and "
            "its operations were built for another TensorFlow: pip uninstall "
            "scann."
        ) from error
    except ImportError as error:
        raise DataError(
            f"tensorflow_recommenders cannot be imported: {error}. Where it "
            f"is installed, set {_VARIABLE}=1 before the process starts: "
            "something used `tf.keras` earlier."
        ) from error
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
    return tensorflow_recommenders


class RetrievalIndex:
    """Finds the items with the largest scores for users.

    Args:
        item_id: (I,) int64 or string tensor or array, ids.
        vectors: (I, D) float32, their vectors.
        kind: "brute_force", a product with all vectors at once, kept in a
            variable; or "streaming", so many at a time, for catalogues whose
            scores would not fit.

    Raises:
        DataError: an empty catalogue, or as `load_recommenders`.

    Example:
        >>> index = RetrievalIndex([7, 8, 9], [[1.0], [3.0], [2.0]])
        >>> ids, scores, found = index.search(
        ...     tf.constant([[[1.0]]]), 2, tf.constant([[8]], tf.int64)
        ... )
        >>> ids.numpy().tolist(), found.numpy().tolist()
        ([[9, 7]], [2])
    """

    def __init__(self, item_id: Any, vectors: Any, kind: str = KINDS[0]):
        if kind not in KINDS:
            raise DataError(f"`kind` must be one of {KINDS}. Got: {kind!r}.")
        if not len(vectors):
            raise DataError("a retrieval index needs at least one item.")
        item_id = tf.constant(item_id)
        if item_id.dtype.is_integer:
            item_id = tf.cast(item_id, tf.int64)
        vectors = tf.constant(vectors, tf.float32)
        self.size, self.dim = vectors.shape
        self.item_dtype = item_id.dtype
        layers = load_recommenders().layers.factorized_top_k
        if kind == "brute_force":
            self.layer = _of_interests(layers.BruteForce)()
            self.layer.index(vectors, item_id)
        else:
            items = tf.data.Dataset.from_tensor_slices((item_id, vectors))
            self.layer = _of_interests(layers.Streaming)()
            self.layer.index_from_dataset(items.batch(_ITEMS_AT_ONCE))

    def search(
        self, users: tf.Tensor, count: int, excluded: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns ids (B, K), scores (B, K) and how many they are (B,).

        Best first; beyond their number ids are 0 or "" and scores
        `LOWEST_SCORE`.

        Args:
            users: (B, V, D) float32. An item's score is its largest inner
                product with one of the V vectors.
            count: K; where there are fewer items, fewer are found.
            excluded: (B, X) ids that are not wanted; others may be there.
        """
        # The layer's own `query_with_exclusions` takes no X that differs
        # between calls, and answers with what is excluded where items are few.
        wanted = tf.minimum(count + tf.shape(excluded)[1], self.size)
        scores, ids = self.layer(users, k=wanted)
        is_out = ids[:, :, tf.newaxis] == excluded[:, tf.newaxis, :]
        is_out = tf.reduce_any(is_out, axis=-1)
        scores = tf.where(is_out, LOWEST_SCORE, scores)
        scores, place = tf.math.top_k(scores, k=min(count, self.size))
        ids = tf.gather(ids, place, batch_dims=1)
        lacking = [[0, 0], [0, count - min(count, self.size)]]
        scores = tf.pad(scores, lacking, constant_values=LOWEST_SCORE)
        empty = "" if self.item_dtype == tf.string else 0
        ids = tf.pad(ids, lacking, constant_values=empty)
        found = scores > LOWEST_SCORE
        ids = tf.where(found, ids, tf.zeros_like(ids))
        return ids, scores, tf.math.count_nonzero(found, 1, dtype=tf.int32)


def _of_interests(layer: type) -> type:
    """Returns the layer for users of several vectors (B, V, D)."""

    class OfInterests(layer):  # type: ignore[misc]
        """Scores an item by the user's nearest vector."""

        def _compute_score(
            self, queries: tf.Tensor, candidates: tf.Tensor
        ) -> tf.Tensor:
            if queries.shape[1] == 1:
                return super()._compute_score(queries[:, 0], candidates)
            shape = tf.shape(queries)
            flat = tf.reshape(queries, (-1, queries.shape[-1]))
            scores = super()._compute_score(flat, candidates)
            scores = tf.reshape(scores, (shape[0], queries.shape[1], -1))
            return tf.reduce_max(scores, axis=1)

    return OfInterests
