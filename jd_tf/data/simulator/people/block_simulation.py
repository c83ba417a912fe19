"""Simulation of a block of users through all their sessions."""

import numpy as np

from jd_tf.data.simulator.behavior import (
    CART,
    CLICK,
    COUNTERS,
    OBJECTIVES,
    ORDER,
    BehaviorParameters,
)
from jd_tf.data.simulator.config import DAY, SimulatorConfig
from jd_tf.data.simulator.people.actions import (
    Actions,
    continuation,
    draw_actions,
    session_reward,
)
from jd_tf.data.simulator.people.event_log import BlockLog, EventLog
from jd_tf.data.simulator.people.outcome import ShownList, outcome_chances
from jd_tf.data.simulator.people.users import BUYING, Users, plan_sessions
from jd_tf.data.simulator.shop.catalogue import Catalogue
from jd_tf.data.simulator.shop.logging_policy import (
    CART_PAGE,
    ENTRIES,
    FEED,
    ORDER_PAGE,
    PRODUCT_DETAIL,
    SEARCH,
    KnownPast,
    LoggingPolicy,
)

SESSION_DENSE = (
    "requests",
    *(f"{objective.name}s" for objective in OBJECTIVES),
    "dwell_seconds",
    "elapsed_seconds",
)
_DWELL = SESSION_DENSE.index("dwell_seconds")
# Chances of the order page, the cart and a product's page after these labels.
_LABELS, _GO_ON_RATES = (ORDER, CART, CLICK), (0.6, 0.5, 0.3)
_BEGIN_IN_CART = 0.3
ACTION_SLOTS = ("entry", "module")
# Entries come first, then the modules of an item's page.
NUM_ACTION_IDS = len(ENTRIES) + len(COUNTERS)
_BLOCK_STREAM = 2
_SECONDS_A_PLACE = 2.0
_PAUSE_SECONDS = 8.0
_SESSION_GAP_SECONDS = 1800.0
_MEMORY = 50


class SessionState:
    """Clock, intent and counters of the sessions of a block, one row a user.

    `focus` is the interest that the session is about, `scenario` that of the
    next request, `anchor` the item clicked last in the session, -1 for none;
    `counts` (users, F) has the columns of `SESSION_DENSE`.
    """

    def __init__(self, num_users: int, time: float):
        self.number = np.full(num_users, -1)  # sessions begun, less one
        self.start = np.full(num_users, time)
        self.now = np.full(num_users, time)
        self.intent, self.focus, self.scenario = np.zeros((3, num_users), int)
        self.anchor = np.full(num_users, -1)
        self.counts = np.zeros((num_users, len(SESSION_DENSE)))

    def dense(self, users: np.ndarray) -> np.ndarray:
        """Returns (R, F) float32, the session before the next request."""
        counts = self.counts[users].copy()
        counts[:, -1] = self.now[users] - self.start[users]
        return np.log1p(counts).astype(np.float32)


class BlockSimulation:
    """Advances all users of a block, one request of each at a time.

    Users never meet, so each may be at another day of the calendar.
    """

    def __init__(
        self,
        config: SimulatorConfig,
        behavior: BehaviorParameters,
        catalogue: Catalogue,
        block: int,
    ):
        self.config, self.behavior = config, behavior
        self.catalogue = catalogue
        self.first_user = block * config.block_size
        count = min(config.block_size, config.num_users - self.first_user)
        self.rng = np.random.default_rng([config.seed, _BLOCK_STREAM, block])
        self.users = Users(count, catalogue, behavior, self.rng)
        self.plans = plan_sessions(config, self.users.activity, self.rng)
        self.num_planned = np.array([len(plan) for plan in self.plans])
        self.policy = LoggingPolicy(catalogue, config.num_candidates)
        self.session = SessionState(count, config.warm_up_time)
        item: dict[str, tuple[type, int]] = {"item": (np.int64, 0)}
        page = {
            "dwell_seconds": (np.float32, 0),
            "action_counts": (np.float32, len(COUNTERS)),
            "action_ids": (np.int64, len(ACTION_SLOTS)),
        }
        self.clicks = EventLog(count, {**item, **page})
        self.carts, self.orders = EventLog(count, item), EventLog(count, item)

    def run(self) -> BlockLog:
        """Simulates warm-up and log to the end."""
        logged: list[dict[str, np.ndarray]] = []
        exposures: list[dict[str, np.ndarray]] = []
        inside = np.empty(0, np.int64)
        waiting = np.arange(len(self.plans))
        while True:
            active = np.union1d(inside, self._begin_sessions(waiting))
            if not len(active):
                break
            request, over, goes_on = self._request(active)
            exposures.append(over)
            keep = request["time"] >= self.config.start_time
            keep &= request["time"] < self.config.end_time
            keep &= request["scenario"] != SEARCH
            logged.append({name: part[keep] for name, part in request.items()})
            inside, waiting = active[goes_on], active[~goes_on]
        requests = _joined(logged)
        if requests:
            order = np.lexsort((requests["user"], requests["time"]))
            requests = {n: part[order] for n, part in requests.items()}
        events = (self.clicks, self.carts, self.orders)
        about = (self.first_user, self.users.level)
        return BlockLog(*about, *events, requests, _joined(exposures))

    def _begin_sessions(self, users: np.ndarray) -> np.ndarray:
        """Begins the next session of those who have one; returns them."""
        session = self.session
        users = users[session.number[users] + 1 < self.num_planned[users]]
        if not len(users):
            return users
        planned = np.array(
            [self.plans[user][session.number[user] + 1] for user in users]
        )
        # A visit that would overlap the one before comes after it.
        time = np.maximum(planned, session.now[users] + _SESSION_GAP_SECONDS)
        days = (time - session.start[users]) / DAY
        self.users.pass_time(users, days)
        intent, focus = self.users.start_session(users)
        session.number[users] += 1
        session.start[users] = session.now[users] = time
        session.intent[users], session.focus[users] = intent, focus
        to_cart = self.rng.random(len(users)) < _BEGIN_IN_CART
        to_cart &= (intent == BUYING) & (self.carts.length[users] > 0)
        rates = np.take(self.behavior.search_first_rates, intent)
        pages = [to_cart, self.rng.random(len(users)) < rates]
        session.scenario[users] = np.select(pages, [CART_PAGE, SEARCH], FEED)
        session.counts[users] = 0.0
        session.anchor[users] = -1
        return users

    def _request(
        self, users: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
        """Returns request and exposures for the log, and who goes on."""
        session, behavior = self.session, self.behavior
        shown = self._show(users)
        chances = outcome_chances(self.catalogue, behavior, shown)
        actions = draw_actions(self.rng, behavior, chances, shown.real)
        reward = session_reward(
            behavior, shown.intent, actions.labels, actions.wanted
        )
        # As logged; histories end before it.
        request = {
            "user": users,
            "session": session.number[users],
            "step": session.counts[users, 0].astype(np.int64),
            # Whole seconds; events before it are at least a second older.
            "time": np.floor(session.now[users]),
            "scenario": shown.scenario,
            "item": shown.items,
            "num_shown": shown.num_shown,
            "labels": actions.labels,
            "relevance": chances.relevance.astype(np.float32),
            "reward": reward.astype(np.float32),
            "session_dense": session.dense(users),
            "click_end": self.clicks.length[users],
            "cart_end": self.carts.length[users],
            "order_end": self.orders.length[users],
            "intent": shown.intent,
        }
        num_wanted = actions.wanted.sum(axis=1)
        ordered = np.any(actions.labels[..., ORDER], axis=1)
        stays = continuation(behavior, shown.intent, num_wanted, ordered)
        goes_on = self.rng.random(len(users)) < stays
        self._record(users, shown, actions)
        goes_on &= session.counts[users, 0] < behavior.max_session_requests
        real = shown.real & (shown.scenario != SEARCH)[:, None]
        exposures = {
            "item": shown.items[real],
            "clicked": actions.labels[..., CLICK][real],
            "time": np.repeat(session.now[users], real.sum(axis=1)),
        }
        return request, exposures, goes_on

    def _show(self, users: np.ndarray) -> ShownList:
        """Chooses the list of each user."""
        session, focus = self.session, self.session.focus[users]
        tastes, scenario = self.users.tastes(users), session.scenario[users]
        past = KnownPast(
            items=self.clicks.newest_items(users, _MEMORY),
            carted=self.carts.newest_items(users, 1)[:, 0],
            query=tastes.interest_category[np.arange(len(users)), focus],
        )
        items, num_shown = self.policy.propose(
            self.rng, scenario, session.now[users], past
        )
        return ShownList(
            users=self.first_user + users,
            items=items,
            num_shown=num_shown,
            scenario=scenario,
            intent=session.intent[users],
            focus=focus,
            owned=self._owned(users, items),
            anchor=session.anchor[users],
            num_clicks=session.counts[users, 1],
            days=session.now[users] / DAY,
            tastes=tastes,
        )

    def _owned(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Returns (R, N), True where a user has bought an item."""
        bought = self.orders.newest_items(users, _MEMORY)
        return (items[:, :, None] == bought[:, None]).any(axis=2)

    def _record(
        self, users: np.ndarray, shown: ShownList, actions: Actions
    ) -> None:
        """Records the actions and moves the users on in time."""
        labels, dwell, items = actions.labels, actions.dwell, shown.items
        # One place after another; an opened page holds up the rest.
        left = np.cumsum(dwell + _SECONDS_A_PLACE, axis=1)
        left += self.session.now[users][:, None]
        module = np.zeros(items.shape, np.int64)
        # The rarest module used is the one that is logged.
        for counter in (0, 2, 1):
            used = actions.counts[..., counter] > 0
            module[used] = len(ENTRIES) + 1 + counter
        entry = np.broadcast_to(shown.scenario[:, None] + 1, items.shape)
        self.clicks.append(
            users,
            labels[..., CLICK],
            time=left - dwell,
            item=items,
            dwell_seconds=dwell,
            action_counts=actions.counts,
            action_ids=np.stack([entry, module], axis=-1),
        )
        self.carts.append(users, labels[..., CART], time=left, item=items)
        self.orders.append(users, labels[..., ORDER], time=left, item=items)
        rows, places = np.nonzero(labels[..., ORDER])
        self.users.bought(
            users[rows], self.catalogue.category[items[rows, places]]
        )
        clicked = labels[..., CLICK]
        last = clicked.shape[1] - 1 - clicked[:, ::-1].argmax(axis=1)
        anchor = items[np.arange(len(users)), last]
        old = self.session.anchor[users]
        self.session.anchor[users] = np.where(clicked.any(axis=1), anchor, old)
        pause = 1.0 + self.rng.exponential(_PAUSE_SECONDS, len(users))
        session, counted = self.session, labels.sum(axis=1)
        session.now[users] = left[:, -1] + pause
        session.counts[users, 0] += 1
        session.counts[users, 1 : 1 + counted.shape[1]] += counted
        session.counts[users, _DWELL] += dwell.sum(axis=1)
        point = self.rng.random((len(users), 1))
        rates = np.take(self.behavior.search_rates, session.intent[users])
        to_search = self.rng.random(len(users)) < rates
        goes_on = (counted[:, _LABELS] > 0) & (point < _GO_ON_RATES)
        pages = [ORDER_PAGE, CART_PAGE, PRODUCT_DETAIL, SEARCH]
        chosen = [*goes_on.T, to_search]
        session.scenario[users] = np.select(chosen, pages, FEED)


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns each column of all parts; no column where there is no part."""
    names = parts[0] if parts else ()
    return {name: np.concatenate([p[name] for p in parts]) for name in names}
