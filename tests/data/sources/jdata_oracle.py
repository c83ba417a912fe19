"""Requests of JData action logs by brute force, from the format."""

import datetime

GAP = 1800
DAY = 86_400


def seconds_of(text):
    start = datetime.datetime(1970, 1, 1)
    return int((datetime.datetime.fromisoformat(text) - start).total_seconds())


def parse(lines):
    """Different lines: (user, item, time, module, kind, category, brand)."""
    actions = []
    for line in dict.fromkeys(lines):
        user, item, time, module, kind, category, brand = line.split(",")
        actions.append(
            (
                int(float(user)),
                int(item),
                seconds_of(time),
                int(module) + 1 if module else 0,
                int(kind),
                int(category),
                int(brand),
            )
        )
    return actions


class Oracle:
    """Requests by brute force over all actions of a log."""

    def __init__(self, lines):
        self.actions = parse(lines)
        self.users = {user for user, *_ in self.actions}
        self.attributes = {a[1]: a[5:] for a in self.actions}
        self._sessions = {}
        self.arrivals = []
        for user in self.users:
            for session in self.sessions(user):
                for place, event in enumerate(session):
                    if self.is_moment(user, session, place):
                        self.arrivals.append((event[2], event[1]))

    def sessions(self, user):
        if user in self._sessions:
            return self._sessions[user]
        found = self._sessions[user] = []
        for event in (a for a in self.actions if a[0] == user):
            if not found or event[2] - found[-1][-1][2] > GAP:
                found.append([])
            found[-1].append(event)
        return found

    def visits(self, user, session, place):
        """Runs on one product that start with a view or a click."""
        found = []
        for events in self.sessions(user):
            last = None
            for index, (_, item, when, module, kind, *_) in enumerate(events):
                if events is session and index == place:
                    return found
                if kind in (1, 6) and item != last:
                    last = item
                    found.append(
                        {
                            "item": item,
                            "time": when,
                            "counts": [0] * 6,
                            "modules": [],
                        }
                    )
                if found and item == last:
                    visit = found[-1]
                    column = (0, 2, 3, 4, 5, 1)[kind - 1]
                    visit["counts"][column] += 1
                    if module and module not in visit["modules"]:
                        visit["modules"] = [*visit["modules"], module][:4]
        return found

    def kept(self, user, session, place, kind):
        """Events of a kind before a place, newest first, 20 at most."""
        found = []
        for events in self.sessions(user):
            for index, event in enumerate(events):
                if events is session and index == place:
                    return found[::-1][:20]
                if event[4] == kind:
                    found.append(event)
        return found[::-1][:20]

    def is_moment(self, user, session, place):
        item, kind = session[place][1], session[place][4]
        before = [e for e in session[:place]]
        if kind not in (1, 6) or item in {e[1] for e in before}:
            return False
        visits = self.visits(user, session, place)[::-1][:50]
        known = {visit["item"] for visit in visits}
        for other in (2, 4, 5):
            known |= {e[1] for e in self.kept(user, session, place, other)}
        return item not in known

    def request(self, request_id, candidates):
        user, _, number = map(int, request_id.split(":"))
        count = 0
        for session in self.sessions(user):
            last = None
            for place, event in enumerate(session):
                if event[4] in (1, 6) and event[1] != last:
                    last = event[1]
                    if count == number:
                        return self.columns(user, session, place, candidates)
                    count += 1
        raise AssertionError(request_id)

    def columns(self, user, session, place, candidates):
        now = session[place][2]
        visits = self.visits(user, session, place)
        here = [v for v in visits if v["time"] >= session[0][2]]
        visits = visits[::-1][:50]
        wanted = {
            "request_time": now,
            "hour": now % DAY // 3600 + 1,
            "click_item_id": [v["item"] for v in visits],
            "click_event_time": [v["time"] for v in visits],
            "click_action_counts": [v["counts"] for v in visits],
            "click_action_ids": [
                [*v["modules"], 0, 0, 0, 0][:4] for v in visits
            ],
        }
        for name, kind in (("cart", 2), ("order", 4), ("favourite", 5)):
            events = self.kept(user, session, place, kind)
            wanted[f"{name}_item_id"] = [e[1] for e in events]
            wanted[f"{name}_event_time"] = [e[2] for e in events]
        rest = session[place:]
        wanted["labels"] = [
            [
                any(e[1] == item and e[4] != 3 for e in rest),
                any(e[1] == item and e[4] == 2 for e in rest),
                any(e[1] == item and e[4] == 5 for e in rest),
                any(e[1] == item and e[4] == 4 for e in rest),
            ]
            for item in candidates
        ]
        wanted["item_dense"] = [
            [
                sum(t < now and i == item for t, i in self.arrivals),
                *(
                    sum(
                        a[1] == item and a[4] == kind and a[2] < now
                        for a in self.actions
                    )
                    for kind in (2, 5, 4)
                ),
                sum(
                    t < now
                    and self.attributes[i][0] == self.attributes[item][0]
                    for t, i in self.arrivals
                ),
            ]
            for item in candidates
        ]
        before = session[:place]
        wanted["session_dense"] = [
            now - session[0][2],
            len(here),
            len({e[1] for e in before}),
            *(sum(e[4] == kind for e in before) for kind in (1, 6, 2, 3, 4, 5)),
        ]
        for index, column in enumerate(("category_id", "brand_id")):
            for name, items in (
                ("", candidates),
                ("click_", wanted["click_item_id"]),
            ):
                wanted[name + column] = [
                    self.attributes[item][index] for item in items
                ]
        return wanted
