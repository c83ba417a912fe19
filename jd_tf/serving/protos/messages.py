"""Messages and methods of a model server, without TensorFlow.

The protos of TensorFlow register themselves in the one pool that a process
has by default, which refuses a second file with the same messages. These are
in a pool of their own, so TensorFlow may be imported before, later or never.
`experiments/generate_protos.py` writes their descriptors.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)

from jd_tf.serving.errors import ExportError

FILE = Path(__file__).with_name("descriptors.binpb")
_PREDICTION = "tensorflow.serving.PredictionService"
_MODEL = "tensorflow.serving.ModelService"
PREDICT = f"/{_PREDICTION}/Predict"
GET_MODEL_METADATA = f"/{_PREDICTION}/GetModelMetadata"
GET_MODEL_STATUS = f"/{_MODEL}/GetModelStatus"
RELOAD_CONFIG = f"/{_MODEL}/HandleReloadConfigRequest"


def _load_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(FILE.read_bytes())
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _load_pool()


def message(name: str) -> Any:
    """Returns the class of a message, by its full name."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


def _names(enum: str) -> dict[int, str]:
    """Number -> name; a newer server may know numbers that are not here."""
    values = POOL.FindEnumTypeByName(enum).values
    return {value.number: value.name for value in values}


Example = message("tensorflow.Example")
TensorProto = message("tensorflow.TensorProto")
PredictRequest = message("tensorflow.serving.PredictRequest")
PredictResponse = message("tensorflow.serving.PredictResponse")
GetModelMetadataRequest = message("tensorflow.serving.GetModelMetadataRequest")
SignatureDefMap = message("tensorflow.serving.SignatureDefMap")
GetModelStatusRequest = message("tensorflow.serving.GetModelStatusRequest")
ReloadConfigRequest = message("tensorflow.serving.ReloadConfigRequest")
ModelConfig = message("tensorflow.serving.ModelConfig")
ModelServerConfig = message("tensorflow.serving.ModelServerConfig")
PredictionLog = message("tensorflow.serving.PredictionLog")
BatchingParameters = message("jd_tf.serving.BatchingParameters")
MonitoringConfig = message("jd_tf.serving.MonitoringConfig")

DATA_TYPES = _names("tensorflow.DataType")
# All other types have the same name there and in NumPy.
_ALIASES = {"float": "float32", "double": "float64", "half": "float16"}
ERROR_CODES = _names("tensorflow.error.Code")
VERSION_STATES = _names("tensorflow.serving.ModelVersionStatus.State")


def open_method(channel: Any, path: str) -> Callable[..., Any]:
    """Returns a callable that takes a message and `timeout=` seconds."""
    _, service, name = path.split("/")
    method = POOL.FindServiceByName(service).methods_by_name[name]
    request, response = (
        message_factory.GetMessageClass(kind)
        for kind in (method.input_type, method.output_type)
    )
    return channel.unary_unary(
        path,
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )


def parse_text(text: str, kind: Any, where: str) -> Any:
    """Parses a message of class `kind` as strictly as a model server."""
    try:
        return text_format.Parse(text, kind())
    except text_format.ParseError as error:
        name = kind.DESCRIPTOR.name
        raise ExportError(f"{where}: not a {name}: {error}.") from error


def signature_table(graph: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Lists tensors of a MetaGraphDef or of a server's SignatureDefMap.

    It is signature -> "inputs" or "outputs" -> tensor name -> its `dtype` and
    `shape`, with None for B, L and N.
    """
    return {
        name: {
            "inputs": _tensors(signature.inputs),
            "outputs": _tensors(signature.outputs),
        }
        for name, signature in graph.signature_def.items()
        if not name.startswith("__saved_model")
    }


def dtype_name(data_type: int) -> str:
    """Returns the NumPy name of a DataType, such as `float32`."""
    code = DATA_TYPES.get(data_type, f"DT_{data_type}")
    name = code.removeprefix("DT_").lower()
    kind = name.removesuffix("_ref")
    return _ALIASES.get(kind, kind) + name[len(kind) :]


def _tensors(infos: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "dtype": dtype_name(info.dtype),
            "shape": None
            if info.tensor_shape.unknown_rank
            else [
                None if dim.size < 0 else dim.size
                for dim in info.tensor_shape.dim
            ],
        }
        for name, info in sorted(infos.items())
    }
