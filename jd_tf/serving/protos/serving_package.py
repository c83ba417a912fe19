"""Messages of TensorFlow Serving: calls, status, configuration, logs.

What our clients and tools say and read, no more; a field that is not here is
kept as it came. Source: `tensorflow_serving/apis/*.proto` and
`tensorflow_serving/config/*.proto`; tests compare with the installed ones.
"""

from jd_tf.serving.protos.package import Package

SERVING = Package(
    "tensorflow.serving",
    messages={
        "ModelSpec": {
            1: "string name",
            2: "oneof version_choice google.protobuf.Int64Value version",
            3: "string signature_name",
            4: "oneof version_choice string version_label",
        },
        # PredictionService.
        "PredictRequest": {
            1: "ModelSpec model_spec",
            2: "map<string, TensorProto> inputs",
            3: "repeated string output_filter",
        },
        "PredictResponse": {
            1: "map<string, TensorProto> outputs",
            2: "ModelSpec model_spec",
        },
        "GetModelMetadataRequest": {
            1: "ModelSpec model_spec",
            2: "repeated string metadata_field",
        },
        "GetModelMetadataResponse": {
            1: "ModelSpec model_spec",
            2: "map<string, google.protobuf.Any> metadata",
        },
        "SignatureDefMap": {
            1: "map<string, SignatureDef> signature_def",
        },
        # ModelService.
        "StatusProto": {
            1: "error.Code error_code",
            2: "string error_message",
        },
        "GetModelStatusRequest": {
            1: "ModelSpec model_spec",
        },
        "ModelVersionStatus": {
            1: "int64 version",
            2: "State state",
            3: "StatusProto status",
        },
        "GetModelStatusResponse": {
            1: "repeated ModelVersionStatus model_version_status",
        },
        "ReloadConfigRequest": {
            1: "ModelServerConfig config",
            2: "repeated string metric_names",
        },
        "ReloadConfigResponse": {
            1: "StatusProto status",
        },
        # What is served.
        "FileSystemStoragePathSourceConfig": {},
        "FileSystemStoragePathSourceConfig.ServableVersionPolicy": {
            100: "oneof policy_choice Latest latest",
            101: "oneof policy_choice All all",
            102: "oneof policy_choice Specific specific",
        },
        "FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest": {
            1: "uint32 num_versions",
        },
        "FileSystemStoragePathSourceConfig.ServableVersionPolicy.All": {},
        "FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific": {
            1: "repeated int64 versions",
        },
        "SamplingConfig": {
            1: "double sampling_rate",
            2: "int32 attributes",
        },
        "LogCollectorConfig": {
            1: "string type",
            2: "string filename_prefix",
        },
        "LoggingConfig": {
            1: "LogCollectorConfig log_collector_config",
            2: "SamplingConfig sampling_config",
            3: "google.protobuf.Any custom_logging_config",
        },
        "ModelConfig": {
            1: "string name",
            2: "string base_path",
            3: "ModelType model_type",
            4: "string model_platform",
            6: "LoggingConfig logging_config",
            7: "FileSystemStoragePathSourceConfig.ServableVersionPolicy "
            "model_version_policy",
            8: "map<string, int64> version_labels",
        },
        "ModelConfigList": {
            1: "repeated ModelConfig config",
        },
        "ModelServerConfig": {
            1: "oneof config ModelConfigList model_config_list",
            2: "oneof config google.protobuf.Any custom_model_config",
        },
        # Logs, and warm-up records.
        "LogMetadata": {
            1: "ModelSpec model_spec",
            2: "SamplingConfig sampling_config",
            3: "repeated string saved_model_tags",
            4: "int64 timestamp_secs",
        },
        "PredictLog": {
            1: "PredictRequest request",
            2: "PredictResponse response",
        },
        "PredictionLog": {
            1: "LogMetadata log_metadata",
            6: "oneof log_type PredictLog predict_log",
        },
    },
    enums={
        "ModelType": {
            0: "MODEL_TYPE_UNSPECIFIED",
            1: "TENSORFLOW",
            2: "OTHER",
        },
        "ModelVersionStatus.State": {
            0: "UNKNOWN",
            10: "START",
            20: "LOADING",
            30: "AVAILABLE",
            40: "UNLOADING",
            50: "END",
        },
    },
)
