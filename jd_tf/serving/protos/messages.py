"""The classes of a model server's messages, and the names of its enums."""

from jd_tf.serving.protos.message_pool import MessagePool
from jd_tf.serving.protos.serving_package import SERVING
from jd_tf.serving.protos.tensorflow_package import ERROR, TENSORFLOW

POOL = MessagePool((ERROR, TENSORFLOW, SERVING))

TensorProto = POOL.message("tensorflow.TensorProto")

PredictRequest = POOL.message("tensorflow.serving.PredictRequest")
PredictResponse = POOL.message("tensorflow.serving.PredictResponse")
GetModelMetadataRequest = POOL.message(
    "tensorflow.serving.GetModelMetadataRequest"
)
GetModelMetadataResponse = POOL.message(
    "tensorflow.serving.GetModelMetadataResponse"
)
SignatureDefMap = POOL.message("tensorflow.serving.SignatureDefMap")

GetModelStatusRequest = POOL.message("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = POOL.message(
    "tensorflow.serving.GetModelStatusResponse"
)
ReloadConfigRequest = POOL.message("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = POOL.message("tensorflow.serving.ReloadConfigResponse")
ModelConfig = POOL.message("tensorflow.serving.ModelConfig")
ModelServerConfig = POOL.message("tensorflow.serving.ModelServerConfig")

PredictionLog = POOL.message("tensorflow.serving.PredictionLog")

# Number -> name; a newer server may know numbers that are not here.
DATA_TYPES = TENSORFLOW.enums["DataType"]
ERROR_CODES = ERROR.enums["Code"]
VERSION_STATES = SERVING.enums["ModelVersionStatus.State"]
