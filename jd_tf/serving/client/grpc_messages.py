"""Calls as messages of PredictionService, and answers back."""

from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
)

from jd_tf.serving.client.call import Answer, Call
from jd_tf.serving.client.errors import AnswerError, ClientError
from jd_tf.serving.client.model_choice import ModelChoice
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.client.status_errors import error_of
from jd_tf.serving.client.tensors import to_arrays, to_proto
from jd_tf.serving.graph_check import signature_table

SIGNATURE_FIELD = "signature_def"


def predict_request(
    choice: ModelChoice, call: Call
) -> predict_pb2.PredictRequest:
    """The message of a call."""
    request = predict_pb2.PredictRequest()
    fill_spec(request.model_spec, choice)
    request.model_spec.signature_name = call.signature
    for name, array in call.inputs.items():
        request.inputs[name].CopyFrom(to_proto(array))
    return request


def answer_of(response: predict_pb2.PredictResponse, where: str) -> Answer:
    """The arrays of an answer."""
    return Answer(
        to_arrays(response.outputs), _version(response.model_spec, where)
    )


def metadata_request(
    choice: ModelChoice,
) -> get_model_metadata_pb2.GetModelMetadataRequest:
    """Asks for the signatures."""
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    fill_spec(request.model_spec, choice)
    request.metadata_field.append(SIGNATURE_FIELD)
    return request


def description_of(
    response: get_model_metadata_pb2.GetModelMetadataResponse, where: str
) -> ModelDescription:
    """The signatures of an answer."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    if not response.metadata[SIGNATURE_FIELD].Unpack(signatures):
        raise AnswerError(
            f"{where}: its metadata has no signatures. Is this a model server?"
        )
    return ModelDescription(
        _version(response.model_spec, where), signature_table(signatures)
    )


def fill_spec(spec: Any, choice: ModelChoice) -> None:
    """Writes model, and version or label, into a ModelSpec."""
    spec.name = choice.name
    # Version 0 is a version: unset is what means the latest.
    if choice.version is not None:
        spec.version.value = choice.version
    elif choice.label is not None:
        spec.version_label = choice.label


def grpc_error(error: grpc.RpcError, where: str) -> ClientError:
    """The typed error of a failed call."""
    return error_of(error.code().name, error.details() or "", where)


def _version(spec: Any, where: str) -> int:
    if not spec.HasField("version"):
        raise AnswerError(
            f"{where}: the answer does not say which version it is of. Is "
            "this a model server?"
        )
    return spec.version.value
