r"""Times N candidates: tiled, in one call, with a cached user state.

    python -m experiments.benchmarks.bench_serving --output=runs/bench_serving
    python -m experiments.benchmarks.bench_serving --output=runs/bench_serving \
        --saved_model=saved_models/jd_ranker --grpc=localhost:8500

Five ways take turns, round by round, so that what else the machine does hits
all of them: the user tiled over rows of one candidate; one call; the user
encoded and slices of candidates ranked in parallel; slices with the user's
state at hand; several users in one call (time a user). All must agree on the
scores. Without --saved_model a ranker of random weights is exported first:
three behaviours of 50 events, width 64, two encoder layers, three objectives.
A server (--grpc) must serve the same version.

Then users page and click (--paging_users): one client that keeps their states
and one that does not rank each of their pages.

Prints a table and writes `bench_serving.json` (transport -> N -> `p50_ms`,
`p99_ms` -> way), `concurrency.json`, `paging.json`, `profile.json`,
`settings.json`, `bench_serving.png` and `profile.png`; with --grpc also
`wire.png`, what gRPC adds to a call, part by part.
"""

from pathlib import Path
from typing import Any

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for results.", required=True
)
_SAVED_MODEL = flags.DEFINE_string(
    "saved_model", None, "A version folder, or a model's folder."
)
_GRPC = flags.DEFINE_string(
    "grpc", None, "host:port of a server that serves the same model."
)
_MODEL_NAME = flags.DEFINE_string("model_name", "jd_ranker", "On the server.")
_CANDIDATES = program.needs_entries(
    flags.DEFINE_list(
        "candidates", ["50", "200", "500", "2000"], "Numbers of candidates."
    )
)
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Turns of each way.", 1)
_SLICE = flags.DEFINE_integer("slice_size", 256, "Candidates a slice.", 1)
_USERS = flags.DEFINE_integer("users", 4, "Users in one batch.", 1)
_CALLERS = flags.DEFINE_list(
    "callers", ["1", "2", "4", "8", "16", "32"], "Callers at once; empty: none."
)
_SECONDS = flags.DEFINE_float(
    "load_seconds", 2.0, "Seconds of each number of callers.", 0.05
)
_PAGING_USERS = flags.DEFINE_integer(
    "paging_users", 100, "Users who see 1 to 5 pages; 0: none.", 0
)
_TIMEOUT = 120.0
_LOADED_CANDIDATES = 200


def main(_: object) -> None:
    """Checks the flags, holds the contest, writes tables and pictures."""
    counts = _numbers("candidates", _CANDIDATES.value)
    levels = _numbers("callers", _CALLERS.value)
    from experiments.benchmarks import serving_contest as contest
    from experiments.benchmarks import serving_profile
    from experiments.benchmarks.serving_ways import random_batch
    from jd_tf.data.files import write_json
    from jd_tf.serving.client import SavedModelTransport

    output = Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    model, folder = None, _SAVED_MODEL.value
    if folder is None:
        model, folder = _random_ranker(output)
    ranker = SavedModelTransport(folder)
    calls: dict[str, Any] = {"in_process": ranker.model.call}
    if _GRPC.value:
        calls["grpc"] = _remote(int(ranker.folder.name))
    calls = {name: _reading(ranker, call) for name, call in calls.items()}
    result = contest.hold_contest(
        calls, ranker.schema, counts, _ROUNDS.value, _SLICE.value, _USERS.value
    )
    print(contest.table(result))
    load = {}
    if levels:
        load = contest.load_test(
            calls, ranker.schema, _LOADED_CANDIDATES, levels, _SECONDS.value
        )
    if _PAGING_USERS.value:
        write_json(output / "paging.json", _page(ranker))
    settings = {
        "saved_model": str(folder),
        "rounds": _ROUNDS.value,
        "slice_size": _SLICE.value,
        "users": _USERS.value,
        "matrix_flops_per_second": serving_profile.matrix_rate(),
    }
    contest.write_results(output, result, load, settings)
    found = {"least": {}}
    for count in counts:
        least = _least(ranker, count, settings["matrix_flops_per_second"])
        took = result["in_process"][str(count)]["p50_ms"]["cached_state"]
        found["least"][str(count)] = {**least, "p50_ms": took}
        print(
            f"{count} candidates with a kept user: {took:.2f} ms; its "
            f"{least['flops'] / 1e6:.0f} million operations need "
            f"{least['milliseconds']:.2f} ms at this machine's rate: "
            f"{took / least['milliseconds']:.1f} times"
        )
    if model is not None:
        batch = random_batch(ranker.schema, 1, _LOADED_CANDIDATES)
        found["parts_ms"] = serving_profile.profile(model, batch)
        serving_profile.draw_bars(
            found["parts_ms"], ("encode_user", "rank"), output / "profile.png"
        )
    if "grpc" in calls:
        found["wire_ms"] = _wire(calls, ranker.schema, counts[0], output)
    write_json(output / "profile.json", found)
    print(f"wrote {output / contest.RESULT_FILE}")


def _numbers(flag: str, texts: list[str]) -> list[int]:
    for text in texts:
        if not text.isdigit() or int(text) < 1:
            raise DataError(f"--{flag}: `{text}` is no positive number.")
    return [int(text) for text in texts]


def _random_ranker(output: Path) -> tuple[Any, Path]:
    """Exports a ranker of random weights, once."""
    import keras

    from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
    from jd_tf.schema import Behavior, IdColumn, Objective, Schema
    from jd_tf.serving.export import export_model

    schema = Schema(
        name="bench_serving",
        item_columns=(
            IdColumn("item_id", num_buckets=100_000),
            IdColumn("category_id", num_buckets=1_000),
            IdColumn("brand_id", num_buckets=10_000),
        ),
        behaviors=tuple(
            Behavior(name, 50) for name in ("click", "cart", "order")
        ),
        item_dense=tuple(f"item_{number}" for number in range(8)),
        context_columns=(IdColumn("scenario", num_buckets=8),),
        session_dense=tuple(f"session_{number}" for number in range(8)),
        objectives=(
            Objective("click"),
            Objective("cart", 5.0, "click"),
            Objective("order", 20.0, "click"),
        ),
        max_candidates=2_000,
    )
    keras.utils.set_random_seed(1)
    model = JDRanker(
        schema, JDRankerConfig.of(model_dim=64, num_encoder_layers=2)
    )
    print("exporting a ranker of random weights", flush=True)
    return model, export_model(model, output / "saved_models")


def _remote(version: int) -> Any:
    from jd_tf.serving.client.transport import Call

    transport = _transport(version)

    def call(signature: str, inputs: Any) -> Any:
        return transport.call(Call(signature, inputs), _TIMEOUT).outputs

    return call


def _transport(version: int) -> Any:
    from jd_tf.serving.client import GrpcTransport, ModelChoice

    return GrpcTransport(_GRPC.value, ModelChoice(_MODEL_NAME.value, version))


def _page(ranker: Any) -> dict[str, Any]:
    """Measures and prints what the cache saves while users page."""
    from experiments.paging_traffic import measure_paging
    from jd_tf.serving.client import SavedModelTransport

    opened = {"in_process": lambda: SavedModelTransport(ranker.folder)}
    if _GRPC.value:
        opened["grpc"] = lambda: _transport(int(ranker.folder.name))
    users = _PAGING_USERS.value
    results = {}
    for name, open_transport in opened.items():
        results[name] = found = measure_paging(
            open_transport, ranker.schema, users, _LOADED_CANDIDATES
        )
        mean = found["mean_ms"]
        print(
            f"{name}: {found['pages']} pages of {users} users, "
            f"{found['encodings']} encodings, {found['hit_rate']:.1%} of pages "
            f"find the state; {mean['cache']:.2f} ms a page on average, "
            f"{mean['no_cache']:.2f} without"
        )
    return results


def _reading(ranker: Any, call: Any) -> Any:
    """Leaves out the columns that the model does not read."""

    def reading(signature: str, inputs: Any) -> Any:
        names = ranker.model.signatures[signature]["inputs"]
        return call(signature, {name: inputs[name] for name in names})

    return reading


def _wire(
    calls: dict[str, Any], schema: Any, count: int, output: Path
) -> dict[str, float]:
    """Says, writes and draws what gRPC adds to a call with a kept user."""
    from experiments.benchmarks.serving_profile import draw_bars
    from experiments.benchmarks.serving_ways import ServingWays
    from experiments.benchmarks.wire_profile import MODEL, WHOLE, wire_profile

    ways = ServingWays(calls["in_process"], schema, count, count, 1, None)
    parts = wire_profile(
        calls["in_process"], calls["grpc"], *ways.inputs("cached_state")
    )
    wholes = (MODEL, WHOLE)
    draw_bars(parts, wholes, output / "wire.png")
    print(
        f"{count} candidates with a kept user: {parts[WHOLE]:.2f} ms over gRPC "
        f"are {parts[MODEL]:.2f} of the model and, beyond it, "
        + ", ".join(
            f"{time:.2f} of {name}"
            for name, time in parts.items()
            if name not in wholes
        )
    )
    return parts


def _least(ranker: Any, count: int, rate: float) -> dict[str, float]:
    """Operations of ranking with a kept user, and the time they need."""
    import tensorflow as tf

    from experiments.benchmarks.serving_profile import multiplications
    from experiments.benchmarks.serving_ways import random_batch
    from jd_tf.serving.signature_names import ENCODE_USER, RANK_CANDIDATES

    batch = random_batch(ranker.schema, 1, count)
    batch |= _reading(ranker, ranker.model.call)(ENCODE_USER, batch)
    loaded = tf.saved_model.load(str(ranker.folder))
    function = loaded.signatures[RANK_CANDIDATES]
    names = function.structured_input_signature[1]
    found = multiplications(function, {name: batch[name] for name in names})
    return {**found, "milliseconds": found["flops"] / rate * 1e3}


if __name__ == "__main__":
    program.run(main)
