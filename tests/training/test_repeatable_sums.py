"""No sum of a training step depends on which of its parts came first.

TensorFlow's AddN adds in place where it can: it writes into the first input
whose buffer nobody else still reads, and begins with that one. Whether a
buffer is still read depends on timing. With three inputs and more the order
of addition changes the last bits, and training cannot be repeated, unless
one of the first two inputs has no other reader: a sum begun by the first or
by the second is the same.
"""

import collections

import tensorflow as tf
from tensorflow.python.eager import context

from jd_tf.data.batches import parse_requests
from jd_tf.data.records import encode_request
from jd_tf.data.validation import RequestValidator
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.training.build_from_config import build_fusion, build_main_step
from jd_tf.training.config import TrainingConfig
from jd_tf.training.main_step import AlternatingStep
from tests.requests import random_requests, small_schema


def _graphs(function):
    """Graphs as they are run, after TensorFlow's rewriting of sums."""
    context.enable_graph_collection()
    try:
        function()
        metadata = context.export_run_metadata()
    finally:
        context.disable_graph_collection()
    graphs = [g.post_optimization_graph for g in metadata.function_graphs]
    for graph in graphs:
        yield graph.node
        for function in graph.library.function:
            yield function.node_def


def _full_name(name):
    """`node:0`; within functions, `node:output:0`."""
    return name if ":" in name else f"{name}:0"


def _sums(nodes):
    """Input names of every AddN of three and more, and who reads what."""
    readers = collections.Counter()
    sums = []
    for node in nodes:
        data = [_full_name(i) for i in node.input if not i.startswith("^")]
        readers.update(data)
        if node.op == "AddN" and len(data) > 2:
            sums.append(data)
    return sums, readers


def test_sums_begin_with_what_nobody_else_reads():
    schema = small_schema()
    check = RequestValidator(schema).check
    requests = random_requests(schema, 8, seed=3)
    columns = schema.columns()
    records = [encode_request(check(request), columns) for request in requests]
    batch = parse_requests(tf.constant(records), columns)
    small = JDRankerConfig.of(model_dim=8, num_heads=2, fusion="personalized")
    model = JDRanker(schema, small)
    config = TrainingConfig(balance="grad_norm", fusion_every=1)
    main, fusion = build_main_step(config, model), build_fusion(config, model)
    step = tf.function(AlternatingStep(main, fusion, 1), autograph=False)
    found, timed = 0, []
    for nodes in _graphs(lambda: step(batch)):
        sums, readers = _sums(nodes)
        found += len(sums)
        timed += [s for s in sums if min(readers[i] for i in s[:2]) > 1]
    assert found > 5, "no sums are looked at"
    assert not timed
