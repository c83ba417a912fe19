"""One public data set of timelines: data, training, metrics of the protocol."""

import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiments import program
from experiments.benchmarks.recall.full_ranking import rank_all_items
from experiments.presets import QUICKSTART_PRESETS
from experiments.steps import Steps
from experiments.train_ranker import count_pairs, train_ranker
from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset_making import make_dataset
from jd_tf.data.files import read_json, write_json
from jd_tf.data.sources.sequences import SequencesSource
from jd_tf.data.summary_report import summary_text
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.live_scorer import model_scorer
from jd_tf.evaluation.objective_metrics import next_item_metrics, request_ndcg
from jd_tf.metrics import Bootstrap, Cells, interval
from jd_tf.models.config_fields import flat_fields
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.workdir import CHECKPOINTS, load_trained

RESULT_FILE = "result.json"
STATE_FILE = "steps.json"
_PUBLISHED = Path(__file__).with_name("published_sequences.json")
_OUR_ROW = "jd_tf"
_BATCH_SIZE = 256
_NUM_REPLICATES = 200

Result = dict[str, Any]


def run_dataset(
    folder: Path, name: str, workdir: Path, seed: int, full_ranking: bool
) -> Result:
    """Does the steps that are not done yet; returns what `RESULT_FILE` holds.

    Args:
        folder: of `NAME.txt`.
        name: of the data set.
        workdir: of everything made.
        seed: of drawn negatives, initial weights and the order of requests.
        full_ranking: whether test users rank all items as well.
    """
    preset = QUICKSTART_PRESETS[SequencesSource.name, "demo"]
    training = dataclasses.replace(preset.training, seed=seed)
    options = {**preset.data, "dataset": name, "seed": seed}
    data, model_dir = workdir / "data", workdir / "model"
    pairs = workdir / "pairs.npz"
    config = {
        "data": options,
        "pairs": preset.pairs or {},
        "model": flat_fields(preset.model),
        "training": dataclasses.asdict(training),
    }
    steps = Steps(
        workdir / STATE_FILE,
        {
            "input": str(folder.resolve()),
            **{
                f"{part}.{field}": value
                for part, fields in config.items()
                for field, value in fields.items()
            },
        },
        "Name another --output.",
    )

    # Not among what the run depends on.
    training = dataclasses.replace(training, progress=program.shows_progress())

    def make() -> None:
        # What a killed session left.
        for path in workdir.glob(f".{data.name}.*"):
            shutil.rmtree(path)
        summary = make_dataset(
            SequencesSource.name,
            data,
            folder,
            overwrite=True,
            progress=training.progress,
            **options,
        )
        print(summary_text(summary))

    def count() -> None:
        count_pairs(data, pairs, config["pairs"], training.progress)

    def train() -> None:
        train_ranker(data, model_dir, preset.model, training, pairs=pairs)

    def evaluate() -> Result:
        model = load_trained(model_dir)
        found: Result = {}
        for split in ("validation", "test"):
            means, intervals = protocol_metrics(model, data, split)
            found[split] = means
            found[f"{split}_intervals"] = intervals
        return found

    def rank_all() -> Result:
        source = SequencesSource(folder, **options)
        return rank_all_items(load_trained(model_dir), data, source)

    # A model made second has other names of layers than one made first.
    keras.utils.clear_session()
    steps.step("making the data", "data", _timed(make))
    steps.step("counting pairs of items", "pairs", _timed(count))
    steps.step("training", "train", _timed(train, model_dir))
    steps.step("evaluating", "evaluate", _timed(evaluate))
    if full_ranking:
        steps.step("ranking all items", "full", _timed(rank_all))
    done = steps.done
    result = {
        "dataset": name,
        "seed": seed,
        **done["evaluate"]["found"],
        **({"test_full": done["full"]["found"]} if "full" in done else {}),
        "seconds": sum(step["seconds"] for step in done.values()),
        "seconds_by_step": {n: step["seconds"] for n, step in done.items()},
        "config": config,
    }
    write_json(workdir / RESULT_FILE, result)
    return result


def protocol_metrics(
    model: keras.Model, data: Path, split: str
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Returns metrics of a split by their published names, and intervals."""
    batches = numpy_batches(data, split, _BATCH_SIZE, schema=model.schema)
    scorers = {_OUR_ROW: model_scorer(model)}
    found = collect_predictions(batches, model.schema, scorers)
    cells = Cells.of(found.labels[..., 0], found.num_candidates)
    score = found.systems[_OUR_ROW]["score"]
    values = next_item_metrics(cells, score)
    values["ndcg@10"] = request_ndcg(cells, score)
    bootstrap = Bootstrap(len(score), num_replicates=_NUM_REPLICATES)
    means, intervals = {}, {}
    for name in _published()["sampled"]["columns"]:
        value = values[name.lower()]
        means[name] = float(value.mean())
        drawn = bootstrap.means(value, np.ones(len(value)))
        intervals[name] = list(interval(drawn))
    return means, intervals


def result_table(result: Result) -> str:
    """Returns our rows under the published ones."""
    lines = [f"{result['dataset']}, seed {result['seed']}"]
    for kind, split in (("sampled", "test"), ("full", "test_full")):
        if split not in result:
            continue
        published = _published()[kind]
        columns = published["columns"]
        rows = dict(published.get(result["dataset"], {}))
        source = published["source"] if rows else f"{kind}; nothing published"
        rows[_OUR_ROW] = [result[split][name] for name in columns]
        lines += ["", source, " " * 22 + "".join(f"{n:>9}" for n in columns)]
        lines += [
            f"{name:<22}" + "".join(f"{n:9.4f}" for n in numbers)
            for name, numbers in rows.items()
        ]
    return "\n".join(lines)


def _published() -> dict[str, Any]:
    return read_json(_PUBLISHED)


def _timed(
    work: Callable[[], Any], run: Path | None = None
) -> Callable[[], Result]:
    """Adds the seconds of a step, those of killed sessions of a run as well."""

    def timed() -> Result:
        before = 0.0
        if run is not None:
            checkpoints = Checkpoints(run / CHECKPOINTS)
            for step in checkpoints.steps()[-1:]:
                before = checkpoints.read_state(step)["seconds"]
        start = time.monotonic()
        found = work()
        seconds = before + time.monotonic() - start
        return {"seconds": round(seconds, 1), "found": found}

    return timed
