"""A trained run against its baselines: metrics.json and the report."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.data.batches import numpy_batches, read_batches
from jd_tf.data.dataset import split_files
from jd_tf.data.item_pairs.item_pairs import ItemPairs
from jd_tf.evaluation.baselines import BASELINES, ImpressionFeatures, Trees
from jd_tf.evaluation.collect import ORACLE, Scorer, collect_predictions
from jd_tf.evaluation.fusion.observation import name_hidden_facts
from jd_tf.evaluation.fusion.predictions import (
    FusionPredictions,
    refuse_amounts,
)
from jd_tf.evaluation.live_scorer import model_scorer
from jd_tf.evaluation.metrics_file import (
    METRICS_FILE,
    NOTES,
    SCENARIOS,
    model_name,
    write_metrics,
)
from jd_tf.evaluation.post_training import PostTraining
from jd_tf.evaluation.predictions_file import PredictionsFile
from jd_tf.evaluation.report.run_report import report_run
from jd_tf.schema import DataError, Schema
from jd_tf.training.folder_training import TRAIN
from jd_tf.training.workdir import PAIRS_FILE, load_trained

_BATCH_SIZE = 256
# LightGBM that also reads the item pairs of the run.
PAIRED = "lightgbm_pairs"


def evaluate(
    data: str | Path,
    workdir: str | Path,
    splits: Sequence[str] = ("test",),
    max_tree_impressions: int | None = None,
    num_replicates: int = 200,
    log: Callable[[str], None] = print,
    predictions: str | Path | None = None,
    segments: Sequence[str] | None = None,
    reward: bool = False,
    predictions_of: Mapping[str, str | Path] | None = None,
    test_data: str | Path | None = None,
) -> dict[str, Any]:
    """Judges the best weights of a run beside all baselines.

    Args:
        data: the data; its schema must equal the run's.
        workdir: of the run; gets `metrics.json` and `report.html`.
        splits: what to judge on; baselines learn from "train".
        max_tree_impressions: what the boosted trees and LightGBM learn from
            at most; None for all, 0 leaves them out.
        num_replicates: bootstrap resamples of the intervals; 0 for none.
        log: called with a line about each step.
        predictions: folder that gets `<split>.npz` of each split, for
            `fusion_grid`; None for none.
        segments: context columns whose ids are the segments of calibration
            and fusion; None for the scenario's, where there is one, and the
            hidden facts of a simulator.
        reward: whether those files carry the reward column as gains.
        predictions_of: name -> file of another system, judged beside the
            run; see `PredictionsFile`.
        test_data: folder whose test splits are judged in place of those of
            `data`.

    Returns:
        What metrics.json holds, less `scenarios` and `notes`: split -> what
        `evaluate_predictions` returned.

    Raises:
        DataError: if run or data are missing, damaged or do not fit.
    """
    if not splits or len(set(splits)) < len(splits):
        raise DataError(
            "name the splits to judge on, each once, by --splits. "
            f"Got: {', '.join(splits)}."
        )

    def folder_of(split: str) -> str | Path:
        own = test_data is not None and split.startswith("test")
        return test_data if own else data  # type: ignore[return-value]

    workdir = Path(workdir)
    model = load_trained(workdir)
    schema, ranker = model.schema, model_name(model)
    if predictions is not None:
        refuse_amounts(schema)
    columns = _segment_columns(schema, segments)
    hidden = [f"oracle_{n}" for n in schema.oracle_names if segments is None]
    kept = [*columns, *hidden, *(["reward"] if reward else [])]
    if reward and not schema.reward:
        raise DataError(
            f"{data}: schema `{schema.name}` has no column `reward`."
        )
    with_keys: Any = {"schema": schema, "keys": True}
    counts = {s: sum(split_files(folder_of(s), s).values()) for s in splits}
    scorers: dict[str, Scorer] = {ranker: model_scorer(model, True)}
    taken = {*scorers, *BASELINES, PAIRED, ORACLE}
    for name, path in (predictions_of or {}).items():
        if name in taken:
            raise DataError(f"a system of that name is judged already: {name}.")
        file = PredictionsFile(path, schema)
        for split in splits:  # before minutes of learning
            read_from = folder_of(split)
            for batch in numpy_batches(
                read_from, split, _BATCH_SIZE, **with_keys
            ):
                file.score(batch)
        file.check_all_used()
        scorers[name] = file.score
    pairs = None
    if getattr(model, "pairs", None) is not None:
        pairs = ItemPairs.load(workdir / PAIRS_FILE)
    baselines, notes = _fit_baselines(
        data, schema, max_tree_impressions, pairs, log
    )
    scorers |= baselines
    bad = [schema.objective_names[index] for index in schema.bad_indices]
    if bad:
        notes.append(
            f"Bad outcomes, of values below 0: {', '.join(bad)}. In NDCG of "
            "value a request's least gain is taken off all of its gains."
        )
    if schema.amount_names:
        notes.append(
            f"Amounts: {', '.join(schema.amount_names)}. Trees and calibration "
            "curves leave them out."
        )
    if test_data is not None:
        notes.append("The test split was given apart from the data.")
    metrics, scenarios = {}, {}
    for split in splits:
        log(f"ranking {counts[split]} requests of the {split} split")
        read = {**with_keys, "oracle": True, "reward": reward}
        batches = numpy_batches(folder_of(split), split, _BATCH_SIZE, **read)
        collected = collect_predictions(batches, schema, scorers, columns=kept)
        found = PostTraining.of(name_hidden_facts(collected), ranker)
        options: Any = {"num_replicates": num_replicates, "reference": ranker}
        metrics[split] = found.predictions.evaluate(**options)
        found.add_to(metrics[split])
        scenarios[split] = found.predictions.evaluate_scenarios(**options)
        if predictions is not None:
            path = Path(predictions) / f"{split}.npz"
            FusionPredictions.of_run(found.predictions, ranker).save(path)
            log(f"wrote {path}")
    more: dict[str, Any] = {NOTES: notes}
    if any(scenarios.values()):
        more[SCENARIOS] = scenarios
    write_metrics(workdir / METRICS_FILE, {**metrics, **more})
    report_run(data, workdir, schema, ranker)
    return metrics


def _fit_baselines(
    data: str | Path,
    schema: Schema,
    max_tree_impressions: int | None,
    pairs: ItemPairs | None,
    log: Callable[[str], None],
) -> tuple[dict[str, Scorer], list[str]]:
    """Scorers of all baselines, and sentences on what they learned from."""
    training, validation = (
        read_batches(data, split, _BATCH_SIZE, schema, keys=True)
        for split in (TRAIN, "validation")
    )
    most = max_tree_impressions or 0
    features = ImpressionFeatures(schema, most)
    with_pairs = ImpressionFeatures(schema, most, pairs)
    kinds = dict(BASELINES)
    if pairs is not None and "lightgbm" in kinds:
        kinds[PAIRED] = kinds["lightgbm"]
    scorers: dict[str, Scorer] = {}
    for name, kind in kinds.items():
        options: dict[str, Any] = {}
        if issubclass(kind, Trees):
            if max_tree_impressions == 0:
                continue
            options = {"features": with_pairs if name == PAIRED else features}
        log(f"fitting {name} on the training split")
        scorers[name] = kind(schema, **options).fit(training, validation).score
    features.forget()
    with_pairs.forget()
    notes = []
    if max_tree_impressions != 0:
        notes.append(
            f"Trees and LightGBM learned from {features.num_learned:,} of "
            f"{features.num_impressions:,} training impressions."
        )
        if "lightgbm" not in BASELINES:
            notes.append(
                "LightGBM is not installed, so its two rankings are missing: "
                'pip install "jd_tf[benchmark]".'
            )
    for note in notes:
        log(note)
    return scorers, notes


def _segment_columns(schema: Schema, names: Sequence[str] | None) -> list[str]:
    """Context columns whose ids are segments; the scenario's for None."""
    known = [column.name for column in schema.context_columns]
    if names is None:
        return [schema.scenario_column] * bool(schema.scenario_column)
    unknown = sorted(set(names).difference(known))
    if unknown:
        raise DataError(
            f"segments must be context columns, of {known}. Got: {unknown}."
        )
    return list(names)
