"""Products of all pairs of fields, beside a deep network."""

import dataclasses
from typing import Any

import keras

from jd_tf.layers import FactorizationMachine, SplitMLP
from jd_tf.models.network_config import FieldsConfig, NetworkConfig
from jd_tf.models.network_ranker import NetworkRanker
from jd_tf.models.ranker_config import RankerConfig
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class DeepFMConfig(RankerConfig):
    """Sizes of `DeepFM`.

    Example:
    >>> DeepFMConfig.of(embedding_dim=8).items.embedding_dim
    8
    """

    items: FieldsConfig = dataclasses.field(default_factory=FieldsConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)


@register_model("deep_fm", DeepFMConfig)
class DeepFM(NetworkRanker):
    """Adds a factorization machine to a deep network over the same vectors.

        logit_t = w_t x  +  p_t sum_{i<j} v_i * v_j  +  o_t MLP(x)

        fields v, numbers ─┬─ linear ────────────────┐
                           ├─ machine ─ second_order ┼─ logits
                           └─ deep ─ output ─────────┘

    x are all vectors and numbers side by side. With one objective and p = 1
    this is the paper's, except that an id's first-order weight is linear in
    its vector, in place of a table of its own. The sums of the machine and
    the first products of both networks fall into a user's half, once a
    request, and a candidate's. Arguments, call arguments and outputs are
    those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("deep_fm").model_class.__name__
    'DeepFM'

    References:
        DeepFM: A Factorization-Machine based Neural Network for CTR
        Prediction. Guo et al., IJCAI 2017 (equations 1 to 3).
    """

    config_class = DeepFMConfig

    def make_network(self) -> None:
        network, shared = self.config.network, {"dtype": self.dtype_policy}
        schema, num_tasks = self.schema, len(self.schema.objectives)
        num_ids = len(schema.item_id_columns)
        # A mean for each id and history; and ids and ages of the request.
        num_means = len(schema.behaviors) * num_ids
        num_request = len(schema.context_columns) + len(schema.behaviors)
        self.linear = SplitMLP((num_tasks,), name="linear", **shared)
        self.machine = FactorizationMachine(
            self.config.items.embedding_dim,
            num_ids,
            num_means + num_request,
            name="machine",
            **shared,
        )
        self.second_order = keras.layers.Dense(
            num_tasks,
            use_bias=False,
            kernel_initializer="ones",
            name="second_order",
            **shared,
        )
        self.deep = SplitMLP(
            network.hidden_units,
            last_activation="relu",
            dropout_rate=network.dropout_rate,
            name="deep",
            **shared,
        )
        self.output_layer = keras.layers.Dense(
            num_tasks, use_bias=False, name="output_layer", **shared
        )

    def build_network(self, candidate_dim: int, user_dim: int) -> None:
        shapes = (None, None, candidate_dim), (None, user_dim)
        for layer in (self.linear, self.machine, self.deep):
            layer.build(*shapes)
        embedding_dim = self.config.items.embedding_dim
        self.second_order.build((None, None, embedding_dim))
        self.output_layer.build(
            (None, None, self.config.network.hidden_units[-1])
        )

    def network(
        self,
        user: Any,
        candidates: Any,
        context: Any,
        training: bool = False,
    ) -> tuple[Any, Any]:
        deep = self.deep(candidates, user, training=training)[:, :, 0]
        logits = self.linear(candidates, user)[:, :, 0]
        logits += self.second_order(self.machine(candidates, user))
        return logits + self.output_layer(deep), deep
