"""Pages of a recommender, judged by the truth of a simulated shop."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.simulator import Simulator
from jd_tf.data.simulator.people.actions import examination
from jd_tf.data.simulator.simulator import SHOP_FILE
from jd_tf.metrics import interval
from jd_tf.pipeline.evaluation.funnel import users_bootstrap
from jd_tf.pipeline.evaluation.logged_requests import LoggedRequest

LOGGED, IDEAL = "logged", "ideal"


def pages_in_shop(
    data: str | Path,
    requests: Sequence[LoggedRequest],
    pages: Mapping[str, Sequence[np.ndarray]],
    catalogue: np.ndarray,
) -> dict[str, dict[str, Any]]:
    """Returns what pages are worth, by the truth of the shop.

    A logged request tells nothing of items that it did not show; the shop
    knows what its user would do with them at that moment. Every page is cut to
    the length of the logged one, and expectations are exact.

    Args:
        data: folder of request records.
        requests: logged ones of it.
        pages: name -> the items of each request, first to last.
        catalogue: all items that there are.

    Returns:
        `logged`, names and `ideal`, the best of the catalogue by the truth, ->
        the mean of a page of each objective and of `value`; but for `logged`
        also its `difference` in value to that, and a 95 % interval `low` to
        `high` (bootstrap over users). A name of which some page is empty is
        left out; all are where the data are of no simulated shop.
    """
    if not (Path(data) / SHOP_FILE).exists():
        return {}
    shop = Simulator.of_data(data)
    objectives = shop.schema.objectives
    values = np.array([objective.value for objective in objectives])
    names, bootstrap = shop.schema.objective_names, users_bootstrap(requests)
    seen = examination(shop.behavior, shop.config.num_items)[:, None]
    # What an item is to a user depends on no list: one answer is enough.
    everything = list(range(1, shop.config.num_items + 1))
    answers = shop.answer({one.request_id: everything for one in requests})
    truth = [answers[one.request_id].probabilities / seen for one in requests]
    ideal = [
        catalogue[np.argsort(-(one[catalogue - 1] @ values), kind="stable")]
        for one in truth
    ]
    found: dict[str, dict[str, Any]] = {}
    of_logged = np.zeros(len(requests))
    logged = [one.item_id for one in requests]
    for name, lists in {LOGGED: logged, **pages, IDEAL: ideal}.items():
        shown = [
            ids[: len(own)] for ids, own in zip(lists, logged, strict=True)
        ]
        if not all(map(len, shown)):
            continue
        expected = np.array(
            [
                (one[ids - 1] * seen[: len(ids)]).sum(axis=0)
                for one, ids in zip(truth, shown, strict=True)
            ]
        )
        worth = expected @ values
        means = dict(zip(names, expected.mean(axis=0).tolist(), strict=True))
        found[name] = {**means, "value": float(worth.mean())}
        if name == LOGGED:
            of_logged = worth
            continue
        low, high = interval(
            bootstrap.means(worth - of_logged, np.ones(len(worth)))
        )
        difference = float((worth - of_logged).mean())
        found[name] |= {"difference": difference, "low": low, "high": high}
    return found


def shop_lines(found: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yields the rows of a table of `pages_in_shop`, its heads first."""
    if not found:
        return
    names = [name for name in found[LOGGED] if name != "value"]
    yield ["in the shop, a page", *names, "value", "more value than logged"]
    for name, row in found.items():
        more = "-"
        if "difference" in row:
            low, high = row["low"], row["high"]
            more = f"{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
        numbers = [f"{row[one]:.4f}" for one in names]
        yield [name, *numbers, f"{row['value']:.3f}", more]
