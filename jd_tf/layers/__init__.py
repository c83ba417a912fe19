"""Keras layers. They know nothing of columns and import no other room.

Axis letters: B requests, N candidates, L history events, D model width,
H heads, T objectives, E experts. Lengths travel instead of masks; a mask is
made inside a layer and True means real.
"""

from jd_tf.layers.bias_tower import BiasTower
from jd_tf.layers.calibration import CalibrationCurve
from jd_tf.layers.content_match import ContentMatch
from jd_tf.layers.entire_space_logits import EntireSpaceLogits
from jd_tf.layers.event_values import EventValues
from jd_tf.layers.fine_grained_behavior_encoder import (
    FineGrainedBehaviorEncoder,
)
from jd_tf.layers.fixed_fusion import FixedFusion
from jd_tf.layers.global_fusion import GlobalFusion
from jd_tf.layers.history_match import HistoryMatch
from jd_tf.layers.id_embedding import IdEmbedding
from jd_tf.layers.interest_crossing import InterestCrossing
from jd_tf.layers.log_bucket_embedding import LogBucketEmbedding
from jd_tf.layers.log_scaling import LogScaling
from jd_tf.layers.mixture_of_experts import MixtureOfExperts
from jd_tf.layers.multi_gate_transfer import MultiGateImageTransfer
from jd_tf.layers.personalized_fusion import PersonalizedFusion
from jd_tf.layers.stacked_mlp import StackedMLP
from jd_tf.layers.target_attention_decoder import TargetAttentionDecoder
from jd_tf.layers.task_tower import TaskTower
from jd_tf.layers.temporal_encoding import TemporalEncoding
from jd_tf.layers.text_encoder import TextEncoder
from jd_tf.layers.transformer_block import TransformerBlock
from jd_tf.layers.transformer_encoder import TransformerEncoder
from jd_tf.layers.vector_table import VectorTable

__all__ = [
    "BiasTower",
    "CalibrationCurve",
    "ContentMatch",
    "EntireSpaceLogits",
    "EventValues",
    "FineGrainedBehaviorEncoder",
    "FixedFusion",
    "GlobalFusion",
    "HistoryMatch",
    "IdEmbedding",
    "InterestCrossing",
    "LogBucketEmbedding",
    "LogScaling",
    "MixtureOfExperts",
    "MultiGateImageTransfer",
    "PersonalizedFusion",
    "StackedMLP",
    "TargetAttentionDecoder",
    "TaskTower",
    "TemporalEncoding",
    "TextEncoder",
    "TransformerBlock",
    "TransformerEncoder",
    "VectorTable",
]
