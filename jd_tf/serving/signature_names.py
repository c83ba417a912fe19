"""Names of signatures and their tensors; no TensorFlow is needed here.

Every signature input is a column of the schema under its own name and dtype,
or a `user_state_*` or `append_state_*` tensor that another call returned. Keys,
bias columns and labels are not among them. Dimension 0 of everything is B.
"""

SERVING_DEFAULT = "serving_default"
ENCODE_USER = "encode_user"
RANK_CANDIDATES = "rank_candidates"
EXPLAIN = "explain"
# Both at once: what `serving_default` gives, and the state for later pages.
ENCODE_AND_RANK = "encode_and_rank"
_HALVES = (ENCODE_USER, RANK_CANDIDATES)
SIGNATURES = (SERVING_DEFAULT, *_HALVES, EXPLAIN, ENCODE_AND_RANK)
# Beside them, of a model whose user state grows with new events.
APPEND_EVENTS = "append_events"

# Of an image tower, beside its own `serving_default`.
CLASSIFY = "classify"
IMAGE_SIGNATURES = (SERVING_DEFAULT, CLASSIFY)
IMAGE_BYTES = "image_bytes"

# Of two towers: the `serving_default` of a retriever finds items, that of a
# coarse tower scores those given.
ENCODE_ITEMS = "encode_items"
RETRIEVAL_SIGNATURES = (SERVING_DEFAULT, ENCODE_USER, ENCODE_ITEMS)
EXCLUDED, NUM_EXCLUDED = "excluded_item_id", "num_excluded"
NUM_FOUND, VECTOR = "num_found", "vector"

ITEM_ID, NUM_CANDIDATES = "item_id", "num_candidates"
# `encode_user` takes it only of a model whose state is not `reusable`.
REQUEST_TIME = "request_time"
STATE_PREFIX, APPEND_PREFIX = "user_state_", "append_state_"
RANKED = ("score", "probabilities")
# Of a model that predicts amounts, beside the probabilities of outcomes.
AMOUNTS = "amounts"
FUSION_WEIGHTS = "fusion_weights"
# Of padding, and where the model gives no finite score. No infinity: REST has
# none that JSON allows.
LOWEST_SCORE = -3.4028234663852886e38
# What a ranking has once a request, not once a candidate, if it fuses.
PER_REQUEST = (FUSION_WEIGHTS,)
