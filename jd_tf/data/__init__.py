"""Logs become requests, requests become padded batches.

Names are loaded when they are first used, so that parts that need no
TensorFlow can be imported without it.
"""

from jd_tf.lazy import lazy_names

_MODULES = {
    "SOURCES": "sources",
    "BehaviorParameters": "simulator",
    "ItemPairs": "item_pairs.item_pairs",
    "ItemVectors": "item_vectors",
    "RequestBuilder": "sources.request_builder",
    "RequestValidator": "validation",
    "Simulator": "simulator",
    "SimulatorConfig": "simulator",
    "Source": "sources.source",
    "make_dataset": "dataset_making",
    "make_item_pairs": "item_pairs.counting",
    "numpy_batches": "batches",
    "open_source": "sources",
    "pair_features": "item_pairs.pair_features",
    "read_batches": "batches",
    "read_schema": "dataset",
    "write_dataset": "dataset",
}
__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
