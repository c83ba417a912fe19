"""A contest of fusions and fixed weights: gates, rivals and tables."""

from pathlib import Path
from typing import Any

_BATCH_SIZE = 256
COUNTS = "personalised, counts and request"
SESSION = "personalised, session features"
METRICS = ("captured_value@1", "captured_value@3", "ndcg@10")


def contest(
    data: str,
    run: Path,
    output: Path,
    seed: int,
    settings: dict[str, Any],
    **options: Any,
) -> dict[str, Any]:
    """Trains the gates on a run and returns the fusion report.

    `settings` are of `train_gate`, `options` of `fusion_report`.
    """
    from jd_tf.evaluation.fusion.comparison import weights_by_segment
    from jd_tf.evaluation.fusion.observation import LEARNED
    from jd_tf.evaluation.fusion.report import fusion_report
    from jd_tf.metrics.bootstrap import Bootstrap
    from jd_tf.training.workdir import load_trained

    model = load_trained(run)
    splits = {
        split: fusion_arrays(model, data, split, output / run.name)
        for split in ("train", "validation", "test")
    }
    columns = {
        COUNTS: count_columns(model.session),
        SESSION: list(range(model.session.output_dim)),
        LEARNED: list(range(splits["train"]["features"].shape[1])),
    }
    gates = {
        name: (read, train_gate(splits["train"], read, seed, **settings))
        for name, read in columns.items()
    }
    seen = {
        split: observation(model.schema, splits[split], gates)
        for split in ("validation", "test")
    }
    report = fusion_report(
        seen["validation"][LEARNED],
        seen["test"][LEARNED],
        settings.get("form", "log_linear"),
        {
            name: seen["test"][name].predictions.scores[LEARNED]
            for name in (COUNTS, SESSION)
        },
        request_weights=settings.get("request_weights", "gain"),
        seed=seed,
        **options,
    )
    other = seen["test"][SESSION]
    bootstrap = Bootstrap(len(other.users), other.users, 100, seed)
    report["weights_of_session_features"] = weights_by_segment(other, bootstrap)
    return {"run": run.name, **report}


def count_columns(session: Any) -> list[int]:
    """Places of the session features that the ranker has not learned."""
    columns: list[int] = []
    place = 0
    for behavior in session.behaviors:
        place += 2 * session.interest_dim
        width = 1 + behavior.dwell + len(behavior.action_counters)
        columns += range(place, place + width)
        place += width
    return [*columns, *range(place, session.output_dim)]


def fusion_arrays(model: Any, data: str, split: str, kept: Path) -> dict:
    """Returns what the fusion reads of a split and what came of it, as arrays.

    Kept in a file `kept`-`split`.npz and read from there the next time.
    """
    import numpy as np
    import tensorflow as tf

    from jd_tf.data.batches import numpy_batches
    from jd_tf.data.files import read_npz, write_npz
    from jd_tf.evaluation.fusion.observation import session_segments
    from jd_tf.evaluation.fusion.predictions import plain_ids
    from jd_tf.schema import SERVING_ROLES

    path = kept.parent / f"{kept.name}-{split}.npz"
    if path.exists():
        return read_npz(path, "fusion_contest writes one.")
    schema, seconds = model.schema, model.config.fusion.session_seconds
    names = [column.name for column in schema.columns(*SERVING_ROLES)]
    read = tf.function(
        model.fusion_inputs, autograph=False, reduce_retracing=True
    )
    parts: dict[str, list] = {}
    for batch in numpy_batches(
        data,
        split,
        _BATCH_SIZE,
        schema=schema,
        keys=True,
        oracle=True,
        reward=True,
    ):
        logits, features = read({n: tf.constant(batch[n]) for n in names})
        found = {
            "logits": logits.numpy(),
            **{n: batch[n] for n in ("labels", "label_weights", "reward")},
        }
        found = {name: _padded(a, schema) for name, a in found.items()}
        found |= {
            "features": features.numpy(),
            "num_candidates": batch["num_candidates"],
            "user_id": plain_ids(batch["user_id"]),
        }
        segments = session_segments(batch, schema, seconds)
        found |= {f"segment_{n}": plain_ids(s) for n, s in segments.items()}
        for name, array in found.items():
            parts.setdefault(name, []).append(array)
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    write_npz(path, arrays)
    return arrays


def _padded(array: Any, schema: Any) -> Any:
    import numpy as np

    missing = schema.max_candidates - array.shape[1]
    after = [(0, 0)] * (array.ndim - 2)
    return np.pad(array, [(0, 0), (0, missing), *after])


def train_gate(
    arrays: dict,
    columns: list[int],
    seed: int,
    form: str = "log_linear",
    units: tuple[int, ...] = (32,),
    epochs: int = 4,
    learning_rate: float = 1e-3,
    request_weights: str = "gain",
) -> Any:
    """Trains a gate that reads some columns of the features."""
    import keras
    import numpy as np
    import tensorflow as tf

    from jd_tf.layers import PersonalizedFusion
    from jd_tf.training.fusion.fusion_loss import FusionLoss

    keras.utils.set_random_seed(seed)
    names = ("labels", "label_weights", "num_candidates", "reward")
    data = {name: arrays[name] for name in names}
    data |= {"logits": arrays["logits"], "x": arrays["features"][:, columns]}
    tensors = {name: tf.constant(array) for name, array in data.items()}
    gate = PersonalizedFusion(tensors["labels"].shape[-1], units, form=form)
    gate.build(tensors["logits"].shape, tensors["x"].shape)
    loss = FusionLoss((), reward=True, request_weights=request_weights)
    optimizer = keras.optimizers.Adam(learning_rate)
    variables = gate.trainable_variables
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(rows: tf.Tensor) -> None:
        batch = {name: tf.gather(t, rows) for name, t in tensors.items()}
        with tf.GradientTape() as tape:
            score, _ = gate(batch["logits"], batch["x"])
            total = loss(batch, gate.list_logits(score)).total
        found = tape.gradient(total, [v.value for v in variables])
        pairs = zip(found, variables, strict=True)
        optimizer.apply_gradients((g, v) for g, v in pairs if g is not None)

    random = np.random.default_rng(seed)
    for _ in range(epochs):
        order = random.permutation(len(data["x"]))
        for first in range(0, len(order) - _BATCH_SIZE + 1, _BATCH_SIZE):
            step(tf.constant(order[first : first + _BATCH_SIZE]))
    return gate


def observation(schema: Any, arrays: dict, gates: dict[str, tuple]) -> dict:
    """Name -> what a gate makes of a split; gates come with their columns."""
    import numpy as np
    import tensorflow as tf

    from jd_tf.evaluation.fusion.observation import (
        LEARNED,
        FusionObservation,
    )
    from jd_tf.evaluation.fusion.predictions import FusionPredictions
    from jd_tf.metrics.cells import real_cells

    count, labels = arrays["num_candidates"], arrays["labels"]
    real = real_cells(count, labels.shape[1])
    cells = real[..., None] & (arrays["label_weights"] > 0)
    chances = np.where(real[..., None], tf.sigmoid(arrays["logits"]), 0.5)
    prefix = "segment_"
    segments = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    users = np.unique(arrays["user_id"], return_inverse=True)[1].reshape(-1)
    found = {}
    for name, (columns, gate) in gates.items():
        score, weights = gate(arrays["logits"], arrays["features"][:, columns])
        predictions = FusionPredictions(
            chances.astype(np.float32),
            np.where(cells, labels, 0.0).astype(np.float32),
            count,
            schema.objective_names,
            schema.objective_values,
            np.where(real, arrays["reward"], 0.0).astype(np.float32),
            segments,
            {LEARNED: score.numpy()},
        )
        found[name] = FusionObservation(
            schema,
            predictions,
            weights.numpy().astype(np.float64),
            predictions.expected_values(),
            users,
        )
    return found


def markdown(reports: list[dict[str, Any]]) -> str:
    """Tables over runs: each order, the gates against it, and the weights."""
    from jd_tf.evaluation.fusion.observation import LEARNED

    first = reports[0]["comparison"]["rankings"]
    lines = [
        f"{reports[0]['num_requests']:,} test requests, {len(reports)} run(s); "
        "means over runs, differences with the 95 % interval of each run",
        "",
        f"| order | {' | '.join(METRICS)} |",
        f"| --- |{' --- |' * len(METRICS)}",
    ]
    for name in first:
        values = (_mean(reports, "rankings", name, m, "value") for m in METRICS)
        row = " | ".join(f"{value:.4f}" for value in values)
        lines.append(f"| {name} | {row} |")
    for gate in (LEARNED, SESSION, COUNTS):
        lines += [
            "",
            f"| {gate} minus | {' | '.join(METRICS)} |",
            f"| --- |{' --- |' * len(METRICS)}",
        ]
        for name in (one for one in first if one != gate):
            row = " | ".join(_apart(reports, gate, name, m) for m in METRICS)
            lines.append(f"| {name} | {row} |")
    objectives = reports[0]["objectives"]
    lines += [
        "",
        f"| share of weights | {' | '.join(objectives)} |",
        f"| --- |{' --- |' * len(objectives)}",
    ]
    for gate, key in (
        (LEARNED, "weights"),
        (SESSION, "weights_of_session_features"),
    ):
        for kind in reports[0][key]["intent"]:
            shares = [r[key]["intent"][kind]["shares"] for r in reports]
            row = " | ".join(
                " / ".join(f"{share[name]['mean']:.3f}" for share in shares)
                for name in objectives
            )
            lines.append(f"| {gate}, {kind} | {row} |")
    return "\n".join(lines) + "\n"


def _mean(reports: list[dict[str, Any]], *keys: str) -> float:
    total = 0.0
    for report in reports:
        found: Any = report["comparison"]
        for key in keys:
            found = found[key]
        total += found
    return total / len(reports)


def _apart(reports: list[dict[str, Any]], one: str, other: str, m: str) -> str:
    keys = ("differences", one, other, m)
    intervals = [r["comparison"]["differences"][one][other][m] for r in reports]
    bounds = ", ".join(
        f"{low:+.4f} to {high:+.4f}"
        for low, high in (entry["interval"] for entry in intervals)
    )
    return f"{_mean(reports, *keys, 'difference'):+.4f} ({bounds})"
