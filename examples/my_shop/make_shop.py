"""Writes the three tables of a small shop, with the dirt that logs have.

    python examples/my_shop/make_shop.py [FOLDER]

writes events.csv, impressions.csv and items.csv, by default beside this file;
always the same. What is wrong in them, on purpose:

- a hundredth of the events is there twice;
- a hundredth of the events is of items that are in no table of items;
- items without a category or a price, and one that is listed twice;
- an event in the very second in which its user is shown a page;
- phones whose clocks are up to two minutes late;
- impressions of one page that were logged twice;
- types of events (`share`) that nobody asked for.
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_SEED = 20
_USERS, _ITEMS, _PAGES, _PAGE_SIZE = 300, 400, 3000, 8
_DAYS, _DAY = 28, 86_400
_START = 1_772_323_200  # 2026-03-01 00:00 UTC
_CATEGORIES = ("tea", "coffee", "cups", "kettles", "sweets", "books")
_TASTE = 1.5


def main(folder: Path) -> None:
    """Draws the shop and writes it."""
    draw = np.random.default_rng(_SEED)
    category = draw.integers(len(_CATEGORIES), size=_ITEMS)
    brand = draw.integers(1, 40, _ITEMS)
    price = np.round(np.exp(draw.normal(2.5, 0.7, _ITEMS)), 2)
    quality = draw.normal(0, 0.8, _ITEMS)
    taste = draw.normal(0, _TASTE, (_USERS, len(_CATEGORIES)))
    # Phones that are late log what happens before it did.
    late = np.where(draw.random(_USERS) < 0.05, draw.integers(120, size=300), 0)
    events, impressions = [], []
    times = np.sort(draw.integers(0, _DAYS * _DAY, _PAGES)) + _START
    for page, start in enumerate(times.tolist()):
        user = int(_USERS * draw.random() ** 1.5)
        clock = f"{np.datetime64(start, 's')}Z"
        cart = draw.random() < 0.2
        shown = draw.choice(_ITEMS, _PAGE_SIZE, replace=False)
        if page % 250 == 0:
            events.append((user, int(shown[0]), 1000 * start, "view", 5))
        liking = quality[shown] + taste[user, category[shown]]
        liking -= 0.2 * np.arange(_PAGE_SIZE) + 1.6 - 0.5 * cart
        clicked = draw.random(_PAGE_SIZE) < 1 / (1 + np.exp(-liking))
        for place, item in enumerate(shown.tolist()):
            name = "cart" if cart else "feed"
            row = (f"p{page:05d}", f"u{user}", 1001 + item, clock)
            impressions.append((*row, place + 1, name, int(clicked[place])))
            if not clicked[place]:
                continue
            now = 1000 * (start + 2 + 9 * place - int(late[user]))
            stay = int(draw.integers(3, 90))
            events.append((user, item, now, "view", stay))
            if draw.random() < 0.02:
                events.append((user, item, now + 2000, "share", ""))
            if draw.random() < 0.35:
                now += 1000 * stay
                events.append((user, item, now, "cart", ""))
                if draw.random() < 0.5:
                    now += int(draw.integers(60_000, 3_600_000))
                    events.append((user, item, now, "order", ""))
    impressions += impressions[:_PAGE_SIZE]
    # What is gone from the shop, and what was sent twice.
    unknown = draw.choice(len(events), len(events) // 100, replace=False)
    for row in unknown.tolist():
        events[row] = (events[row][0], 8000 + row % 50, *events[row][2:])
    twice = draw.choice(len(events), len(events) // 100, replace=False)
    events += [events[row] for row in twice.tolist()]
    items = [
        (
            1001 + item,
            _CATEGORIES[category[item]] if item % 25 else "",
            f"b{brand[item]}",
            price[item] if item % 40 else "",
        )
        for item in range(_ITEMS)
    ]
    items.append(items[7])
    _write(
        folder / "events.csv",
        ("user_id", "sku", "time_ms", "action", "seconds"),
        ((f"u{user}", 1001 + item, *rest) for user, item, *rest in events),
    )
    header = ("page_id", "user_id", "sku", "shown_at", "place", "page", "click")
    _write(folder / "impressions.csv", header, impressions)
    _write(folder / "items.csv", ("sku", "category", "brand", "price"), items)


def _write(path: Path, header: tuple[str, ...], rows: Iterable[tuple]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or [Path(__file__).parent]))
