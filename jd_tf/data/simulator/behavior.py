"""Objectives of the simulated shop and every coefficient of its users."""

import dataclasses

from jd_tf.schema import Objective

# Values: a click is the unit; an order has about the inverse of its probability
# after a click (one in twelve), so that both matter.
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


@dataclasses.dataclass(frozen=True)
class BehaviorParameters:
    """Coefficients of tastes, clicks, actions and sessions.

    Weights and bases are logits, pairs are (browsing, buying). The equations,
    and the reason of each number, are in `docs/simulator.md`.

    Example:
        >>> from jd_tf.data import BehaviorParameters
        >>> BehaviorParameters(position_decay=0.0).accident_rate
        0.012
    """

    # Product words a user is interested in; mean days until an interest ends,
    # becomes a need to buy, and until a need passes without a purchase.
    num_interests: int = 3
    interest_days: float = 90.0
    need_start_days: float = 25.0
    need_end_days: float = 12.0
    # Share of interests with a favourite brand; distance of an interest's
    # style and price level from the user's own, and their random walk per
    # square root of a day, both in standard deviations.
    brand_loyalty: float = 0.7
    taste_spread: float = 0.4
    taste_drift: float = 0.04
    # Shares of a product's style and price variance that come with its brand,
    # and of its appeal's variance that can be seen in the photo.
    brand_style_share: float = 0.6
    fashion_share: float = 0.3
    # Hidden circles of taste: how many, and those of a user.
    num_circles: int = 8
    circles_per_user: int = 2
    # A category that goes with one of the user's is so much likelier as a new
    # interest; probability that a purchase leads to a need of such a one.
    companion_lift: float = 20.0
    complement_rate: float = 0.4
    # Share of categories that are used up, and mean days until then.
    consumed_share: float = 0.3
    cycle_days: float = 14.0
    # Period of the trends of circles.
    trend_days: float = 28.0
    # Standard deviations: an item's appeal in a list, its merit on its own
    # page, one user's lasting liking for one item, readiness to click.
    appeal_spread: float = 0.4
    merit_spread: float = 0.35
    private_spread: float = 0.15
    click_rate_spread: float = 0.25
    # Attraction; `off_focus` counts in buying sessions, `owned` where the user
    # has bought the item; offsets of feed, product detail, cart, order page
    # and search.
    click_base: float = -5.0
    click_interest: float = 1.8
    click_focus: float = 0.5
    click_brand: float = 0.6
    click_price: float = 0.8
    click_style: float = 0.3
    click_off_focus: float = -0.5
    click_owned: float = -1.5
    # Instead of `owned` where what was bought is used up; the user's circles,
    # their trends; what suits the item clicked last in the session: a
    # substitute (a pair), one of its circle, one that goes with it.
    click_again: float = 1.0
    click_circle: float = 3.0
    click_trend: float = 0.4
    click_substitute: tuple[float, float] = (0.4, 1.0)
    click_same_circle: float = 0.8
    click_companion: float = 1.0
    scenario_offsets: tuple[float, ...] = (0.0, 0.2, -0.1, -0.3, 0.3)
    # Examination falls as (1 + position) ** -decay; an examined item may be
    # clicked by accident.
    position_decay: float = 0.35
    accident_rate: float = 0.012
    # Satisfaction, once the item's page is open.
    match_interest: float = 0.5
    match_brand: float = 0.6
    match_price: float = 1.5
    match_style: float = 0.5
    match_circle: float = 0.4
    # Log seconds of a wanted and of an accidental visit.
    dwell_mean: float = 3.0
    dwell_match: float = 0.6
    dwell_spread: float = 0.8
    accident_dwell_mean: float = 1.0
    accident_dwell_spread: float = 0.6
    long_view_seconds: float = 30.0
    # Actions on the page; `more`, `image` and `specification` are log rates.
    comment_base: float = -2.5
    comment_need: float = 2.3
    comment_buying: float = 0.5
    comment_match: float = 0.6
    comment_more: float = -0.7
    image_base: float = -0.6
    image_style: float = 0.5
    specification_base: float = -1.6
    specification_need: float = 1.0
    favourite_base: float = -3.0
    favourite_match: float = 0.7
    favourite_style: float = 0.4
    favourite_buying: float = -0.5
    cart_base: float = -4.2
    cart_need: float = 1.8
    cart_buying: float = 0.9
    cart_match: float = 0.9
    cart_price: float = 0.8
    order_base: float = -5.4
    order_carted: float = 2.9
    order_need: float = 1.2
    order_buying: float = 1.0
    order_match: float = 0.5
    order_price: float = 0.8
    # Probabilities: of a buying session, of a search as the first and as a
    # later page, and that an order ends the interest, too.
    buying_with_need: float = 0.5
    buying_without_need: float = 0.06
    search_first_rates: tuple[float, float] = (0.4, 0.6)
    search_rates: tuple[float, float] = (0.1, 0.2)
    satisfied_rate: float = 0.1
    # Probabilities of another request: without a click, that one wanted click
    # alone keeps the user, after an order in a buying session; and the
    # expected business value of the rest of a session that goes on.
    continue_rates: tuple[float, float] = (0.58, 0.78)
    click_hold_rates: tuple[float, float] = (0.45, 0.04)
    continue_after_order: float = 0.12
    continuation_values: tuple[float, float] = (15.0, 14.0)
    max_session_requests: int = 25
    # Share of orders that are not sent back: the others earn nothing.
    kept_order_rates: tuple[float, float] = (0.6, 0.95)
    # Window shopping: logits that a standard deviation of the price adds to
    # attraction, and to carts and orders.
    click_dear: float = 0.0
    order_dear: float = 0.0
    # Reward of each objective in browsing and in buying sessions; with none it
    # is the value kept, and the change of the session's rest.
    session_values: tuple[tuple[float, ...], ...] = ()


# Browsers look at what is dear, order as readily as buyers, and send it back;
# clicks keep them, and mean nothing of buyers, who come for what they need.
SESSION_WORLDS = BehaviorParameters(
    buying_with_need=0.8,
    buying_without_need=0.03,
    click_off_focus=-1.5,
    comment_buying=2.0,
    click_dear=1.0,
    order_dear=-2.5,
    cart_base=-4.0,
    cart_buying=0.0,
    order_base=-5.0,
    order_buying=0.0,
    session_values=(
        (1.0, 1.0, 0.5, 0.5, 1.0, 1.0),
        (0.1, 0.1, 0.1, 5.0, 0.1, 20.0),
    ),
)
