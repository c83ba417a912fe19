"""The methods of a model server that clients call."""

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from jd_tf.serving.protos.messages import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    PredictRequest,
    PredictResponse,
    ReloadConfigRequest,
    ReloadConfigResponse,
)

_PREDICTION = "/tensorflow.serving.PredictionService"
_MODEL = "/tensorflow.serving.ModelService"
PREDICT = f"{_PREDICTION}/Predict"
GET_MODEL_METADATA = f"{_PREDICTION}/GetModelMetadata"
GET_MODEL_STATUS = f"{_MODEL}/GetModelStatus"
RELOAD_CONFIG = f"{_MODEL}/HandleReloadConfigRequest"

_MESSAGES = {
    PREDICT: (PredictRequest, PredictResponse),
    GET_MODEL_METADATA: (GetModelMetadataRequest, GetModelMetadataResponse),
    GET_MODEL_STATUS: (GetModelStatusRequest, GetModelStatusResponse),
    RELOAD_CONFIG: (ReloadConfigRequest, ReloadConfigResponse),
}


def open_method(
    channel: grpc.Channel | grpc.aio.Channel, name: str
) -> Callable[..., Any]:
    """What calls a method: with a message and, perhaps, `timeout=` seconds.

    Args:
        channel: of threads or of asyncio; the answer is awaited there.
        name: one of this module's.

    Raises:
        grpc.RpcError: by the call, if it fails.
    """
    request, response = _MESSAGES[name]
    return channel.unary_unary(
        name,
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
