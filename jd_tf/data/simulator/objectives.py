"""What the shop counts, and what each is worth to it."""

from jd_tf.schema import Objective

# Values: a click is the unit; an order is worth about what its probability
# after a click (one in twelve) makes it, so that both matter.
OBJECTIVES = (
    Objective("click", 1.0),
    Objective("long_view", 0.5, given="click"),
    Objective("comment_view", 0.5, given="click"),
    Objective("cart", 5.0, given="click"),
    Objective("favourite", 2.0, given="click"),
    Objective("order", 20.0, given="click"),
)
CLICK, LONG_VIEW, COMMENT_VIEW, CART, FAVOURITE, ORDER = range(len(OBJECTIVES))
COUNTERS = ("main_image_clicks", "comment_reads", "specification_reads")
