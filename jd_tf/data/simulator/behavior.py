"""What the simulated people are like: every coefficient, in one place."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class BehaviorParameters:
    """Coefficients of tastes, clicks, actions and sessions.

    Logits unless said otherwise. The equations, and why each number is what it
    is, stand in `docs/simulator.md` under the same names.

    Attributes:
        num_interests: product words a user is interested in at a time.
        interest_days: mean life of an interest.
        need_start_days: mean days until an interest becomes a need to buy.
        need_end_days: mean days until a need passes without a purchase.
        brand_loyalty: share of interests with a favourite brand.
        taste_spread: how far an interest's style and price level lie from
            the user's own, in standard deviations of the users'.
        taste_drift: random walk of style and price level per square root of
            a day, in standard deviations.
        brand_style_share: share of a product's style variance, and of its
            price variance, that comes with the brand.
        fashion_share: share of the variance of appeal that can be seen in
            the picture.
        appeal_spread: standard deviation of what makes any user click an
            item.
        merit_spread: standard deviation of what only shows on the item's page.
        private_spread: standard deviation of one user's lasting liking for
            one item beyond all that is described.
        click_rate_spread: standard deviation of users' readiness to click.
        click_base: of the first position, in the feed.
        click_interest, click_focus, click_brand, click_price, click_style:
            weights of a match in attraction.
        click_off_focus: what a buying session adds to other product words.
        click_owned: what having bought the item adds.
        scenario_offsets: what feed, product detail, cart, order page and
            search add.
        position_decay: examination falls as (1 + position) ** -position_decay.
        accident_rate: probability that an examined item is hit by accident.
        match_interest, match_brand, match_price, match_style: weights of a
            match in satisfaction, once the item's page is open.
        dwell_mean, dwell_match, dwell_spread: log seconds of a wanted visit.
        accident_dwell_mean, accident_dwell_spread: of an accidental one.
        long_view_seconds: dwell from which on a visit is a long view.
        comment_base, comment_need, comment_buying, comment_match: reading
            comments.
        comment_more: log of the mean number of comments read after the first.
        image_base, image_style: log rate of main-image clicks.
        specification_base, specification_need: log rate of looks at the
            specification.
        favourite_base, favourite_match, favourite_style, favourite_buying:
            saving for later.
        cart_base, cart_need, cart_buying, cart_match, cart_price: adding to
            the cart.
        order_base, order_carted, order_need, order_buying, order_match,
            order_price: ordering, after the cart or at once.
        buying_with_need, buying_without_need: probabilities that a session
            is a buying one.
        search_first_rates: probability that a session begins with a search
            for what it is about, when browsing and when buying.
        search_rates: probability that the next page is such a search.
        satisfied_rate: probability that an order ends the interest, too.
        continue_rates: probability of another request without any click,
            when browsing and when buying.
        click_hold_rates: probability that a wanted click alone keeps the
            user, when browsing and when buying.
        continue_after_order: probability of another request after an order
            in a buying session.
        continuation_values: expected business value of the rest of a session
            that goes on, when browsing and when buying.
        max_session_requests: sessions end there.
    """

    num_interests: int = 3
    interest_days: float = 240.0
    need_start_days: float = 25.0
    need_end_days: float = 12.0
    brand_loyalty: float = 0.7
    taste_spread: float = 0.4
    taste_drift: float = 0.04
    brand_style_share: float = 0.6
    fashion_share: float = 0.3
    appeal_spread: float = 0.4
    merit_spread: float = 0.35
    private_spread: float = 0.15
    click_rate_spread: float = 0.25
    click_base: float = -4.5
    click_interest: float = 2.8
    click_focus: float = 0.5
    click_brand: float = 0.9
    click_price: float = 1.2
    click_style: float = 0.5
    click_off_focus: float = -0.5
    click_owned: float = -1.5
    scenario_offsets: tuple[float, ...] = (0.0, 0.2, -0.1, -0.3, 0.3)
    position_decay: float = 0.35
    accident_rate: float = 0.012
    match_interest: float = 0.5
    match_brand: float = 0.6
    match_price: float = 1.5
    match_style: float = 0.5
    dwell_mean: float = 3.0
    dwell_match: float = 0.6
    dwell_spread: float = 0.8
    accident_dwell_mean: float = 1.0
    accident_dwell_spread: float = 0.6
    long_view_seconds: float = 30.0
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
    cart_base: float = -3.4
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
    buying_with_need: float = 0.5
    buying_without_need: float = 0.06
    search_first_rates: tuple[float, float] = (0.4, 0.6)
    search_rates: tuple[float, float] = (0.1, 0.2)
    satisfied_rate: float = 0.1
    continue_rates: tuple[float, float] = (0.58, 0.78)
    click_hold_rates: tuple[float, float] = (0.45, 0.04)
    continue_after_order: float = 0.12
    continuation_values: tuple[float, float] = (15.0, 14.0)
    max_session_requests: int = 25
