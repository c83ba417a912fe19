"""Random call arguments of layers.

Each function takes a random generator and returns the arguments of a layer's
`call` by name: arrays, or dicts or tuples of them.
"""

import numpy as np

from jd_tf.layers.overlap.pair_match import pair_codes

REQUESTS, EVENTS, CANDIDATES, WIDTH = 4, 6, 3, 8
LENGTHS = np.array([6, 4, 1, 0], np.int32)
TWO_YEARS = 2 * 365 * 24 * 3600.0


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def history(rng):
    return {
        "inputs": normal(rng, REQUESTS, EVENTS, WIDTH),
        "length": LENGTHS,
    }


def memory(rng):
    return {
        "memory": normal(rng, REQUESTS, EVENTS, WIDTH),
        "length": LENGTHS,
    }


def decoded(rng):
    queries = normal(rng, REQUESTS, CANDIDATES, WIDTH)
    return {"queries": queries, **memory(rng)}


def aged(rng):
    ages = np.sort(rng.uniform(0, TWO_YEARS, (REQUESTS, EVENTS)), axis=1)
    ages[0] = [0, 3, 70, 90_000, 3e6, 1e9]
    return {
        "inputs": normal(rng, REQUESTS, EVENTS, WIDTH),
        "age_seconds": ages.astype(np.float32),
    }


PAIR_KEYS = (-5, 2, 3, 7, 2**62)


def paired(rng):
    """Ids with pairs, some that have none, and padding."""
    known = np.array([*PAIR_KEYS, 0, 99])
    return {
        "candidate_ids": rng.choice(known, (REQUESTS, CANDIDATES)),
        "history_ids": rng.choice(known, (REQUESTS, EVENTS)),
        "length": LENGTHS,
        "event_weights": rng.random((REQUESTS, EVENTS, 2), np.float32),
    }


def fill_pairs(layer):
    """Pairs of every item but one, more of some than of others."""
    rng = np.random.default_rng(3)
    keys = np.array(PAIR_KEYS)
    layer.assign(keys, *random_pairs(rng, keys, layer.num_kinds))


def fill_reader(reader):
    """Pairs of items, and three of brands."""
    fill_pairs(reader.tables["item_id"])
    brands = reader.tables["brand"]
    keys = np.sort(brands.keys_of(np.array(["red", "blue"])))
    brands.assign(keys, [1, 2**26, 2**52 + 1], [0.5, 2.0, 1.0])


def scored(rng):
    numbers = normal(rng, REQUESTS, CANDIDATES, 5)
    return {"numbers": numbers, "logits": normal(rng, REQUESTS, CANDIDATES, 3)}


def random_trees(rng, count, num_numbers=5):
    """Trees that grew leaf by leaf, of one to six leaves."""
    trees = []
    for size in rng.integers(1, 7, count):
        paths = [[]]
        for split in range(size - 1):
            leaf = paths.pop(rng.integers(len(paths)))
            paths += [[*leaf, (split, -1)], [*leaf, (split, 1)]]
        table = np.zeros((size, size - 1))
        for leaf, path in enumerate(paths):
            for split, side in path:
                table[leaf, split] = side
        features = rng.integers(0, num_numbers, size - 1)
        values = rng.normal(size=(2 * size - 1,))
        trees.append((features, values[: size - 1], table, values[size - 1 :]))
    return trees


def fill_trees(layer):
    rng = np.random.default_rng(3)
    trees = [random_trees(rng, count) for count in (4, 0, 3)]
    layer.assign(trees, rng.normal(size=(3, 3)))


def random_pairs(rng, keys, num_kinds):
    """Codes and weights of pairs of different keys."""
    codes = []
    for kind in range(num_kinds):
        chances = rng.random((len(keys), len(keys)))
        event, target = np.nonzero(chances < np.linspace(0, 1, len(keys)))
        event, target = event[event != target], target[event != target]
        codes.append(pair_codes(kind, event, target))
    codes = np.concatenate(codes)
    return codes, rng.random(len(codes)).astype(np.float32)


def numbers(rng):
    ids = rng.integers(-(2**62), 2**62, (REQUESTS, CANDIDATES))
    ids[:, 0] = [0, 11, 12, 13]
    return {"ids": ids}


def words(rng):
    known = ["", "red", "blue", "new"]
    chosen = rng.choice(known, (REQUESTS, CANDIDATES))
    chosen[:, 0] = known
    return {"ids": chosen.astype(object)}


def places(rng):
    shape = (REQUESTS, CANDIDATES)
    return {
        "inputs": {
            "position": rng.integers(-2, 9, shape).astype(np.int32),
            "page": rng.integers(0, 3, shape).astype(np.int32),
        }
    }


def features(rng):
    return {
        "candidate_features": normal(rng, REQUESTS, CANDIDATES, WIDTH),
        "user_features": normal(rng, REQUESTS, 5),
    }


def slices(rng):
    return {"inputs": normal(rng, REQUESTS, CANDIDATES, 2, WIDTH)}


def logits(rng):
    return {"inputs": 3 * normal(rng, REQUESTS, CANDIDATES, 4)}


CURVES = (
    ([-3.0, -1.0, 0.5], [-4.0, -1.5, 2.0]),
    ([-2.0, 0.0, 1.0, 2.0, 4.0], [-2.5, -0.1, 0.0, 0.1, 6.0]),
    ([], []),
    ([1.0], [-0.5]),
)


def bend(layer):
    layer.assign_curves(CURVES)


def fused(rng):
    return {
        "logits": 3 * normal(rng, REQUESTS, CANDIDATES, 4),
        "session_features": normal(rng, REQUESTS, 5),
    }


def numeric(rng):
    numbers = np.exp(4 * rng.normal(size=(REQUESTS, CANDIDATES, 5)))
    return {"inputs": numbers.astype(np.float32)}


def adapt(layer):
    rows = np.exp(2 * np.random.default_rng(4).normal(size=(50, 5)))
    layer.adapt(rows)


def weighted(rng):
    of_age = aged(rng)
    return {
        "event_features": of_age["inputs"],
        "age_seconds": of_age["age_seconds"],
        # Some are unknown.
        "numeric_features": rng.integers(-1, 9, (REQUESTS, EVENTS, 2)).astype(
            "float32"
        ),
    }


def overlapping(rng):
    return {
        "candidate_ids": rng.integers(0, 12, (REQUESTS, CANDIDATES, 2)),
        "history_ids": rng.integers(0, 12, (REQUESTS, EVENTS, 2)),
        "length": LENGTHS,
        "event_weights": rng.random((REQUESTS, EVENTS, 3)).astype("float32"),
    }


def several(rng, *shape, most=20):
    """Distinct numbers from 1, and zeros, in any order on the last axis."""
    ids = np.argsort(rng.random((*shape[:-1], most)))[..., : shape[-1]] + 1
    ids = np.where(rng.random(shape) < 0.3, 0, ids)
    ids[0, 0] = 0
    return ids


def tagged(rng):
    return {"ids": several(rng, REQUESTS, CANDIDATES, 3)}


def overlapping_values(rng):
    """As `overlapping`, with three and two values in the last columns."""
    found = overlapping(rng)
    for name, count in (("candidate_ids", CANDIDATES), ("history_ids", EVENTS)):
        shape = (REQUESTS, count)
        parts = [several(rng, *shape, m, most=6) for m in (3, 2)]
        found[name] = np.concatenate([found[name][..., :1], *parts], axis=-1)
    return found


def embedded(rng):
    return {
        "candidate_vectors": normal(rng, REQUESTS, CANDIDATES, WIDTH),
        "candidate_present": rng.random((REQUESTS, CANDIDATES)) < 0.8,
        "history_vectors": normal(rng, REQUESTS, EVENTS, WIDTH),
        "history_present": rng.random((REQUESTS, EVENTS)) < 0.8,
        "length": LENGTHS,
        "event_weights": rng.random((REQUESTS, EVENTS, 3)).astype("float32"),
    }


def events(rng):
    dwell = rng.choice([-1.0, 0.0, 3.0, 90.0, 4e3], (REQUESTS, EVENTS))
    counts = rng.choice([-1.0, 0.0, 1.0, 7.0, 500.0], (REQUESTS, EVENTS, 2))
    return {
        "inputs": normal(rng, REQUESTS, EVENTS, WIDTH),
        "dwell_seconds": dwell.astype(np.float32),
        "action_counts": counts.astype(np.float32),
        "action_ids": rng.integers(0, 6, (REQUESTS, EVENTS, 3)),
    }


def dwelt(rng):
    given = events(rng)
    return {name: given[name] for name in ("inputs", "dwell_seconds")}


def counted(rng):
    counts = np.exp(3 * rng.normal(size=(REQUESTS, CANDIDATES, 2)))
    counts[:, 0] = [[-1, 0], [0, np.nan], [1e9, 1], [3, np.inf]]
    return {"inputs": counts.astype(np.float32)}


PICTURED_IDS = np.array([7, -3, 2**62, 12])
PICTURED_WORDS = np.array(["red", "红茶", "tea"])


def pictured(rng):
    ids = rng.choice(np.append(PICTURED_IDS, [0, 8, 2**63 - 1]), (REQUESTS, 3))
    ids[:, 0] = [0, 7, 2**62, 8]
    return {"ids": ids}


def pictured_words(rng):
    chosen = rng.choice(np.append(PICTURED_WORDS, ["", "new"]), (REQUESTS, 3))
    chosen[:, 0] = ["", "红茶", "tea", "new"]
    return {"ids": chosen.astype(object)}


def images(rng):
    return {
        "vectors": (
            normal(rng, REQUESTS, EVENTS, 5),
            100 * normal(rng, REQUESTS, EVENTS, 7),
        ),
        "present": (
            rng.random((REQUESTS, EVENTS)) < 0.7,
            rng.random((REQUESTS, EVENTS)) < 0.7,
        ),
        "gate_inputs": normal(rng, REQUESTS, EVENTS, WIDTH),
    }


def titles(rng):
    known = ["tea", "Tea", "红茶", "新", "50g", "-", "🙂", "手机壳"]
    titles = np.empty((REQUESTS, CANDIDATES), object)
    for place in np.ndindex(titles.shape):
        titles[place] = " ".join(rng.choice(known, rng.integers(1, 5)))
    titles[:, 0] = ["", "红茶50g", "!?", "tea"]
    return {"texts": titles}


def tree_numbers(rng):
    dense = numeric(rng)["inputs"]
    candidates = dense.shape[:2]
    return {
        "histories": {
            "click_action_ids": rng.integers(0, 5, (REQUESTS, EVENTS, 3)),
            "click_length": LENGTHS,
        },
        "request": {"city": np.arange(REQUESTS)},
        "candidates": {"category_id": rng.integers(0, 5, candidates)},
        "shared": dense[:, 0],
        "own": dense,
    }


def fill_ranks(block):
    for layer in block.ranks.values():
        layer.adapt(np.array([1, 2, 3]))


def fill_vectors(item_ids):
    def fill(layer):
        rng = np.random.default_rng(3)
        vectors = normal(rng, len(item_ids), layer.dim)
        layer.assign(item_ids, vectors)

    return fill
