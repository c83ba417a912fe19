"""Business values of outcomes, request by request."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from jd_tf.schema import Schema


def request_values(schema: Schema, inputs: Mapping[str, Any]) -> Any:
    """Business values of each request: those of its scenario.

    In the graph, so that training, the model and what is exported of it take
    the same ones.

    Args:
        schema: with values of scenarios; requests of others, and of unknown
            ones, have those of the objectives.
        inputs: with the schema's `scenario_column`, (B,).

    Returns:
        (B, T) float32.
    """
    values = tf.constant(schema.objective_values, tf.float32)
    scenarios = tf.convert_to_tensor(inputs[schema.scenario_column])
    for entry in schema.scenario_values:
        here = tf.equal(scenarios, tf.constant(entry.scenario, scenarios.dtype))
        values = tf.where(here[:, tf.newaxis], entry.values, values)
    return values
