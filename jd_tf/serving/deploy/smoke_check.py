"""Does a served version answer as it did when it was exported?"""

from pathlib import Path

from jd_tf.serving.deploy.errors import OperationError
from jd_tf.serving.deploy.version_server import VersionServer
from jd_tf.serving.export.comparison import check_equal
from jd_tf.serving.export.inspection import written_tolerance
from jd_tf.serving.export.recordings import WARMUP_FILE, read_recordings

# Another processor multiplies in another order.
_OTHER_MACHINE = 10


def smoke_check(
    server: VersionServer,
    model: str,
    version: int,
    folder: str | Path,
    tolerance: float | None = None,
    timeout: float = 10.0,
) -> float:
    """Replays the recorded calls of an export on a server.

    Args:
        server: has the version loaded.
        model: its name there.
        version: asked by number, whatever labels say.
        folder: of the version, on this machine.
        tolerance: the largest relative difference; by default ten times what
            the export was verified with.
        timeout: seconds of each call.

    Returns:
        The largest relative difference found.

    Raises:
        OperationError: if another version answers.
        ExportError: if it answers otherwise than recorded.
        ClientError: if it does not answer.
    """
    folder = Path(folder)
    if tolerance is None:
        tolerance = _OTHER_MACHINE * written_tolerance(folder)
    worst = 0.0
    for recording in read_recordings(folder / WARMUP_FILE):
        answer, answered_by = server.predict(
            model, recording.signature, recording.inputs, version, timeout
        )
        if answered_by != version:
            raise OperationError(
                f"{server.address}: version {answered_by} answered for "
                f"version {version} of `{model}`."
            )
        found = check_equal(
            recording.outputs,
            answer,
            f"{server.address}: version {version} of `{model}`, signature "
            f"`{recording.signature}` and its export",
            tolerance,
        )
        worst = max(worst, found)
    return worst
