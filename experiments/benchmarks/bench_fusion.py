"""The cost of fusion steps beside main steps, in one process, in turns.

    python -m experiments.benchmarks.bench_fusion --data=runs/data

Two rankers of the default size learn from the same data, one of them with a
personalised fusion at the default alternation. Rounds of the two alternate,
so that what else the machine does hits both. Prints milliseconds a main step,
medians over turns, and their ratio, of wall and of processor time.
"""

import time

from absl import flags

from experiments import program

_DATA = flags.DEFINE_string(
    "data", None, "Data folder, made by make_data.", required=True
)
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Turns of each.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 20, "Main steps a turn.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Requests a batch.", lower_bound=1
)
_EVERY = flags.DEFINE_integer(
    "fusion_every", 4, "Main steps to a fusion step.", lower_bound=1
)


def main(_: object) -> None:
    """Times both and prints the ratio."""
    import keras
    import numpy as np

    from jd_tf.data.batches import read_batches
    from jd_tf.data.dataset import read_schema
    from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
    from jd_tf.training.build_from_config import build_fusion, build_main_step
    from jd_tf.training.config import TrainingConfig
    from jd_tf.training.loop.training_step import repeat_steps
    from jd_tf.training.main_step import AlternatingStep

    schema = read_schema(_DATA.value)
    config = TrainingConfig(
        batch_size=_BATCH_SIZE.value, fusion_every=_EVERY.value
    )
    contestants = {}
    for fusion in ("", "personalized"):
        keras.utils.set_random_seed(1)
        model = JDRanker(schema, JDRankerConfig.of(fusion=fusion))
        main = build_main_step(config, model)
        beside = build_fusion(config, model)
        run = repeat_steps(
            AlternatingStep(main, beside, _EVERY.value) if beside else main
        )
        size = config.batch_size
        batches = read_batches(_DATA.value, "train", size, shuffle_seed=1)
        iterator = iter(batches.repeat())
        run(iterator, 2 * _EVERY.value)
        contestants[fusion or "none"] = run, iterator
    # Wall time, and that of the processor, which others cannot take.
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    spent: dict[str, dict[str, list[float]]] = {
        clock: {name: [] for name in contestants} for clock in clocks
    }
    for _turn in range(_ROUNDS.value):
        for name, (run, iterator) in contestants.items():
            began = {clock: read() for clock, read in clocks.items()}
            run(iterator, _STEPS.value)
            for clock, read in clocks.items():
                spent[clock][name].append(read() - began[clock])
    for clock, by_name in spent.items():
        for name, seconds in by_name.items():
            per_step = 1000 * np.array(seconds) / _STEPS.value
            print(
                f"{clock} time, fusion {name}: {np.median(per_step):.1f} ms a "
                f"step ({per_step.min():.1f} to {per_step.max():.1f})"
            )
        ratios = np.divide(by_name["personalized"], by_name["none"])
        print(
            f"{clock} time, ratio: {np.median(ratios):.3f}, median of "
            f"{len(ratios)} turns ({ratios.min():.3f} to {ratios.max():.3f})"
        )


if __name__ == "__main__":
    program.run(main)
