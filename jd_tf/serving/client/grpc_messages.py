"""Calls as messages of PredictionService, and answers back."""

from typing import Any

import grpc

from jd_tf.serving.client.call import Answer, Call
from jd_tf.serving.client.errors import AnswerError, ClientError
from jd_tf.serving.client.model_choice import ModelChoice
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.client.status_errors import error_of
from jd_tf.serving.client.tensors import fill_proto, to_arrays
from jd_tf.serving.export.signature_table import signature_table
from jd_tf.serving.protos.messages import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)

SIGNATURE_FIELD = "signature_def"


def predict_request(choice: ModelChoice, call: Call) -> PredictRequest:
    """The message of a call."""
    request = PredictRequest()
    fill_spec(request.model_spec, choice)
    request.model_spec.signature_name = call.signature
    for name, array in call.inputs.items():
        fill_proto(request.inputs[name], array)
    return request


def answer_of(response: PredictResponse, where: str) -> Answer:
    """The arrays of an answer."""
    return Answer(
        to_arrays(response.outputs), _version(response.model_spec, where)
    )


def metadata_request(choice: ModelChoice) -> GetModelMetadataRequest:
    """Asks for the signatures."""
    request = GetModelMetadataRequest()
    fill_spec(request.model_spec, choice)
    request.metadata_field.append(SIGNATURE_FIELD)
    return request


def description_of(
    response: GetModelMetadataResponse, where: str
) -> ModelDescription:
    """The signatures of an answer."""
    signatures = SignatureDefMap()
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
