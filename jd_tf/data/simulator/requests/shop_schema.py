"""Schema of simulated requests."""

from jd_tf.data.simulator.behavior import COUNTERS, OBJECTIVES
from jd_tf.data.simulator.config import SimulatorConfig
from jd_tf.data.simulator.people.block_simulation import (
    ACTION_SLOTS,
    NUM_ACTION_IDS,
)
from jd_tf.data.simulator.people.session_state import SESSION_DENSE
from jd_tf.data.simulator.people.users import NUM_LEVELS
from jd_tf.data.simulator.shop.logging_policy import SCENARIOS
from jd_tf.schema import Behavior, BiasColumn, IdColumn, Schema

ITEM_DENSE = (
    "log_price",
    "price_position",
    "log_exposures",
    "click_rate",
    "log_age_days",
)
# Enough table rows per item to keep most apart when ids are hashed.
_ROWS_AN_ITEM = 8
# Far more than there are words.
_TITLE_ROWS = 4096
TITLE = "title"


def shop_schema(config: SimulatorConfig) -> Schema:
    """Returns the schema of a shop of that size."""

    def known(name: str, count: int) -> IdColumn:
        return IdColumn(name, vocabulary=tuple(range(1, count + 1)))

    titles = (IdColumn(TITLE, "string", _TITLE_ROWS, text=True),)
    return Schema(
        name="simulator",
        item_columns=(
            IdColumn("item_id", num_buckets=_ROWS_AN_ITEM * config.num_items),
            known("category_id", config.num_categories),
            known("brand_id", config.num_brands),
            known("shop_id", config.num_shops),
            *(titles if config.titles else ()),
        ),
        behaviors=(
            Behavior(
                "click",
                config.click_length,
                dwell=True,
                action_counters=COUNTERS,
                action_slots=ACTION_SLOTS,
                num_action_ids=NUM_ACTION_IDS,
            ),
            Behavior("cart", config.cart_length),
            Behavior("order", config.order_length),
        ),
        item_dense=ITEM_DENSE,
        context_columns=(
            IdColumn("scenario", dtype="string", vocabulary=SCENARIOS),
            # 1 to 24, as 0 pads.
            known("hour", 24),
            known("user_level", NUM_LEVELS),
        ),
        session_dense=SESSION_DENSE,
        bias_columns=(BiasColumn("position", config.num_candidates),),
        objectives=OBJECTIVES,
        max_candidates=config.num_candidates,
        reward=True,
        oracle=True,
        scenario_column="scenario",
        # 0 browses, 1 buys.
        oracle_names=("intent",),
    )
