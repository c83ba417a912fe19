"""Simulation of a block of users through all their sessions."""

import numpy as np

from jd_tf.data.simulator.behavior import (
    CART,
    CLICK,
    COUNTERS,
    ORDER,
    BehaviorParameters,
)
from jd_tf.data.simulator.config import DAY, SimulatorConfig
from jd_tf.data.simulator.people.actions import Actions, draw_actions
from jd_tf.data.simulator.people.event_log import BlockLog, EventLog
from jd_tf.data.simulator.people.outcome import (
    OutcomeModel,
    Probabilities,
    ShownList,
)
from jd_tf.data.simulator.people.reward import continuation, session_reward
from jd_tf.data.simulator.people.session_state import SessionState
from jd_tf.data.simulator.people.users import BUYING, Users
from jd_tf.data.simulator.people.visit_times import plan_sessions
from jd_tf.data.simulator.shop.catalogue import Catalogue
from jd_tf.data.simulator.shop.logging_policy import (
    ENTRIES,
    SEARCH,
    KnownPast,
    LoggingPolicy,
)

ACTION_SLOTS = ("entry", "module")
# Entries come first, then the modules of an item's page.
NUM_ACTION_IDS = len(ENTRIES) + len(COUNTERS)
_BLOCK_STREAM = 2
_SECONDS_A_PLACE = 2.0
_PAUSE_SECONDS = 8.0
_SESSION_GAP_SECONDS = 1800.0
_MEMORY = 50


class BlockSimulation:
    """Advances all users of a block, one request of each at a time.

    Users never meet, so each may be at another day of the calendar.

    With the seed, the number of the block decides everything.
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
        self.outcome = OutcomeModel(catalogue, behavior)
        self.session = SessionState(count, config.warm_up_time, behavior)
        item = {"item": (np.int64, 0)}
        page = {
            "dwell": (np.float32, 0),
            "counts": (np.float32, len(COUNTERS)),
            "actions": (np.int64, len(ACTION_SLOTS)),
        }
        self.clicks = EventLog(count, {**item, **page})
        self.carts = EventLog(count, item)
        self.orders = EventLog(count, item)

    def run(self) -> BlockLog:
        """Simulates warm-up and log to the end."""
        logged: list[dict[str, np.ndarray]] = []
        shown: list[dict[str, np.ndarray]] = []
        inside = np.empty(0, np.int64)
        waiting = np.arange(len(self.plans))
        while True:
            active = np.union1d(inside, self._begin_sessions(waiting))
            if not len(active):
                return self._collect(logged, shown)
            request, over, goes_on = self._request(active)
            shown.append(over)
            keep = request["time"] >= self.config.start_time
            keep &= request["time"] < self.config.end_time
            keep &= request["scenario"] != SEARCH
            logged.append({name: part[keep] for name, part in request.items()})
            inside, waiting = active[goes_on], active[~goes_on]

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
        to_cart = (intent == BUYING) & (self.carts.length[users] > 0)
        session.begin(self.rng, users, time, intent, focus, to_cart)
        return users

    def _request(
        self, users: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
        """Shows each user a list once and lets them act on it.

        Returns:
            The request as in `BlockLog.requests`, the items shown as in
            `BlockLog.exposures`, and (R,) bool, True where the user goes on.
        """
        session, behavior = self.session, self.behavior
        shown, num_shown = self._show(users)
        real = np.arange(shown.items.shape[1]) < num_shown[:, np.newaxis]
        chances = self.outcome.chances(shown)
        actions = draw_actions(self.rng, behavior, chances, real)
        request = self._describe(users, shown, chances, actions)
        request["num_shown"] = num_shown

        stays = continuation(
            behavior,
            shown.intent,
            actions.wanted.sum(axis=1),
            np.any(actions.labels[..., ORDER], axis=1),
        )
        goes_on = self.rng.random(len(users)) < stays
        self._record(users, shown, actions)
        goes_on &= session.counts[users, 0] < behavior.max_session_requests
        real &= (shown.scenario != SEARCH)[:, np.newaxis]
        over = {
            "item": shown.items[real],
            "clicked": actions.labels[..., CLICK][real],
            "time": np.repeat(session.now[users], real.sum(axis=1)),
        }
        return request, over, goes_on

    def _show(self, users: np.ndarray) -> tuple[ShownList, np.ndarray]:
        """Chooses the list of each user, and (R,) its number of items."""
        session = self.session
        clicked, is_click = self.clicks.newest("item", users, _MEMORY)
        carted, is_cart = self.carts.newest("item", users, 1)
        tastes = self.users.tastes(users)
        focus = session.focus[users]
        past = KnownPast(
            items=np.where(is_click, clicked, -1),
            length=is_click.sum(axis=1),
            carted=np.where(is_cart, carted, -1)[:, 0],
            query=tastes.interest_category[np.arange(len(users)), focus],
        )
        scenario = session.scenario[users]
        items, num_shown = self.policy.propose(
            self.rng, scenario, session.now[users], past
        )
        bought, is_bought = self.orders.newest("item", users, _MEMORY)
        bought = np.where(is_bought, bought, -1)
        owned = (items[:, :, np.newaxis] == bought[:, np.newaxis]).any(axis=2)
        shown = ShownList(
            users=self.first_user + users,
            items=items,
            scenario=scenario,
            intent=session.intent[users],
            focus=focus,
            owned=owned,
            tastes=tastes,
        )
        return shown, num_shown

    def _describe(
        self,
        users: np.ndarray,
        shown: ShownList,
        chances: Probabilities,
        actions: Actions,
    ) -> dict[str, np.ndarray]:
        """Describes the request as logged; histories end before it."""
        session = self.session
        return {
            "user": users,
            "session": session.number[users],
            "step": session.counts[users, 0].astype(np.int64),
            # Whole seconds; events before it are at least a second older.
            "time": np.floor(session.now[users]),
            "scenario": shown.scenario,
            "item": shown.items,
            "labels": actions.labels,
            "relevance": chances.relevance.astype(np.float32),
            "reward": session_reward(
                self.behavior, shown.intent, actions.labels, actions.wanted
            ).astype(np.float32),
            "session_dense": session.dense(users),
            "click_end": self.clicks.length[users],
            "cart_end": self.carts.length[users],
            "order_end": self.orders.length[users],
            "intent": shown.intent,
        }

    def _record(
        self, users: np.ndarray, shown: ShownList, actions: Actions
    ) -> None:
        """Records the actions and moves the users on in time."""
        labels, dwell, items = actions.labels, actions.dwell, shown.items
        # One place after another; an opened page holds up the rest.
        left = np.cumsum(dwell + _SECONDS_A_PLACE, axis=1)
        left += self.session.now[users][:, np.newaxis]
        module = np.zeros(items.shape, np.int64)
        # The rarest module used is the one that is logged.
        for counter in (0, 2, 1):
            used = actions.counts[..., counter] > 0
            module[used] = len(ENTRIES) + 1 + counter
        entry = np.broadcast_to(shown.scenario[:, np.newaxis] + 1, items.shape)
        self.clicks.append(
            users,
            labels[..., CLICK],
            time=left - dwell,
            item=items,
            dwell=dwell,
            counts=actions.counts,
            actions=np.stack([entry, module], axis=-1),
        )
        self.carts.append(users, labels[..., CART], time=left, item=items)
        self.orders.append(users, labels[..., ORDER], time=left, item=items)
        rows, places = np.nonzero(labels[..., ORDER])
        self.users.bought(
            users[rows], self.catalogue.category[items[rows, places]]
        )
        pause = 1.0 + self.rng.exponential(_PAUSE_SECONDS, len(users))
        self.session.record(
            self.rng,
            users,
            labels.sum(axis=1),
            dwell.sum(axis=1),
            left[:, -1] + pause,
        )

    def _collect(
        self, logged: list[dict[str, np.ndarray]], shown: list
    ) -> BlockLog:
        requests = {
            name: np.concatenate([part[name] for part in logged])
            for name in (logged[0] if logged else ())
        }
        if requests:
            order = np.lexsort((requests["user"], requests["time"]))
            requests = {n: part[order] for n, part in requests.items()}
        exposures = {
            name: np.concatenate([part[name] for part in shown])
            for name in (shown[0] if shown else ())
        }
        return BlockLog(
            first_user=self.first_user,
            level=self.users.level,
            clicks=self.clicks,
            carts=self.carts,
            orders=self.orders,
            requests=requests,
            exposures=exposures,
        )
