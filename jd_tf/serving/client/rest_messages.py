"""Calls as JSON, and answers back."""

import base64
import json
from typing import Any
from urllib.parse import quote

import numpy as np
from google.protobuf import json_format

from jd_tf.serving.client.call import Answer, Call
from jd_tf.serving.client.errors import AnswerError
from jd_tf.serving.client.model_choice import ModelChoice
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.export.signature_table import signature_table
from jd_tf.serving.protos.messages import SignatureDefMap


def model_path(choice: ModelChoice, version: int | None = None) -> str:
    """The path of a model's URL, of one of its versions if given."""
    path = f"/v1/models/{quote(choice.name, safe='')}"
    version = choice.version if version is None else version
    if version is not None:
        return f"{path}/versions/{version}"
    if choice.label is not None:
        return f"{path}/labels/{quote(choice.label, safe='')}"
    return path


def predict_body(call: Call) -> bytes:
    """The JSON of a call: a value per input, as columns.

    A float32 keeps every digit; strings travel as base64, whatever they are.
    """
    inputs = {name: _plain(array) for name, array in call.inputs.items()}
    body = {"signature_name": call.signature, "inputs": inputs}
    return json.dumps(body, separators=(",", ":")).encode()


def answer_of(
    body: bytes, call: Call, description: ModelDescription, where: str
) -> Answer:
    """The arrays of an answer, typed as the signature says."""
    parsed = parse(body, where)
    expected = description.signatures[call.signature]["outputs"]
    outputs = parsed.get("outputs")
    if len(expected) == 1 and not isinstance(outputs, dict):
        # A server does not name what is alone.
        outputs = {name: outputs for name in expected}
    if not isinstance(outputs, dict) or set(outputs) != set(expected):
        found = sorted(outputs) if isinstance(outputs, dict) else outputs
        raise AnswerError(
            f"{where}: should answer {sorted(expected)}. Got: {found!s:.200}."
        )
    arrays = {}
    for name, tensor in expected.items():
        text = tensor["dtype"] == "string"
        try:
            array = np.array(outputs[name], object if text else tensor["dtype"])
        except (TypeError, ValueError, OverflowError) as error:
            raise AnswerError(
                f"{where}: output `{name}` is not {tensor['dtype']}: {error}."
            ) from error
        if array.size == 0:
            # JSON has no shape for what is empty.
            sizes = (0 if size is None else size for size in tensor["shape"])
            array = array.reshape((len(outputs[name]), *list(sizes)[1:]))
        arrays[name] = array
    return Answer(arrays, description.version)


def description_of(body: bytes, where: str) -> ModelDescription:
    """The signatures of a metadata answer."""
    parsed = parse(body, where)
    signatures = SignatureDefMap()
    try:
        version = int(parsed["model_spec"]["version"])
        json_format.ParseDict(
            parsed["metadata"]["signature_def"],
            signatures,
            ignore_unknown_fields=True,
        )
    except (KeyError, TypeError, ValueError, json_format.ParseError) as error:
        raise AnswerError(
            f"{where}: its metadata cannot be read: {error!r}. Is this a model "
            "server?"
        ) from error
    return ModelDescription(version, signature_table(signatures))


def parse(body: bytes, where: str) -> dict[str, Any]:
    """A JSON object; `NaN` and `Infinity` are read, as a server writes them.

    Raises:
        AnswerError: if it is none.
    """
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise AnswerError(
            f"{where}: no JSON: {body[:80]!r}. Is this the REST port of a "
            "model server?"
        ) from error
    if not isinstance(parsed, dict):
        raise AnswerError(f"{where}: no JSON object: {body[:80]!r}.")
    return parsed


def _plain(array: np.ndarray) -> Any:
    if array.dtype.kind in "OSU":
        return _texts(array.tolist())
    return array.tolist()


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(part) for part in value]
    content = value.encode() if isinstance(value, str) else value
    return {"b64": base64.b64encode(content).decode()}
