"""Products of all pairs of fields, beside a deep network."""

from typing import Any

from jd_tf.layers import FactorizationMachine, SplitMLP
from jd_tf.models.network_config import FieldsRankerConfig
from jd_tf.models.network_ranker import NetworkRanker, split_shapes
from jd_tf.models.registry import register_model


@register_model("deep_fm", FieldsRankerConfig)
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
    request, and a candidate's. Arguments and outputs are those of
    `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("deep_fm").model_class.__name__
    'DeepFM'

    References:
        DeepFM: A Factorization-Machine based Neural Network for CTR
        Prediction. Guo et al., IJCAI 2017 (equations 1 to 3).
    """

    config_class = FieldsRankerConfig

    def make_parts(self, candidate_dim: int, user_dim: int) -> None:
        schema, network = self.schema, self.config.network
        dim, num_tasks = self.config.items.embedding_dim, len(schema.objectives)
        shapes = split_shapes(candidate_dim, user_dim)
        num_ids = len(schema.item_id_columns)
        # A mean for each id and history; and ids and ages of the request.
        num_user = len(schema.behaviors) * (num_ids + 1)
        num_user += len(schema.context_columns)
        self.linear = self.add_part(SplitMLP, "linear", shapes, (num_tasks,))
        self.machine = self.add_part(
            FactorizationMachine, "machine", shapes, dim, num_ids, num_user
        )
        self.second_order = self.add_dense(
            "second_order",
            dim,
            num_tasks,
            use_bias=False,
            kernel_initializer="ones",
        )
        self.deep = self.add_part(SplitMLP, "deep", shapes, **network.deep)
        self.output_layer = self.add_dense(
            "output_layer", network.hidden_units[-1], num_tasks, use_bias=False
        )

    def network(
        self, user: Any, candidates: Any, context: Any, training: bool
    ) -> tuple[Any, Any]:
        deep = self.deep(candidates, user, training=training)[:, :, 0]
        logits = self.linear(candidates, user)[:, :, 0]
        logits += self.second_order(self.machine(candidates, user))
        return logits + self.output_layer(deep), deep
