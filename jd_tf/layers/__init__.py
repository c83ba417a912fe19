"""Keras layers. They know nothing of columns and import no other package.

Axis letters: B requests, N candidates, L history events, D model width,
H heads, T objectives, E experts. Lengths travel instead of masks; a mask is
made inside a layer and True means real. Examples have NumPy as `np` and the
layers by their names.
"""

import jd_tf.keras_backend  # noqa: F401
from jd_tf.layers.embedding.feature_normalization import (
    FeatureNormalization,
)
from jd_tf.layers.embedding.id_embedding import IdEmbedding
from jd_tf.layers.embedding.id_ranks import IdRanks
from jd_tf.layers.embedding.log_bucket_embedding import LogBucketEmbedding
from jd_tf.layers.embedding.text_encoder import TextEncoder
from jd_tf.layers.embedding.vector_table import VectorTable
from jd_tf.layers.fusion.calibration_curve import CalibrationCurve
from jd_tf.layers.fusion.fixed_fusion import FixedFusion
from jd_tf.layers.fusion.global_fusion import GlobalFusion
from jd_tf.layers.fusion.personalized_fusion import PersonalizedFusion
from jd_tf.layers.interaction.bilinear_fusion import BilinearFusion
from jd_tf.layers.interaction.cross_network import CrossNetwork
from jd_tf.layers.interaction.factorization_machine import FactorizationMachine
from jd_tf.layers.interaction.mask_block import MaskBlock
from jd_tf.layers.multitask.bias_tower import BiasTower
from jd_tf.layers.multitask.entire_space_logits import EntireSpaceLogits
from jd_tf.layers.multitask.mixture_of_experts import MixtureOfExperts
from jd_tf.layers.multitask.multi_gate_image_transfer import (
    MultiGateImageTransfer,
)
from jd_tf.layers.multitask.progressive_extraction import ProgressiveExtraction
from jd_tf.layers.multitask.split_mlp import SplitMLP
from jd_tf.layers.multitask.stacked_mlp import StackedMLP
from jd_tf.layers.multitask.task_tower import TaskTower
from jd_tf.layers.multitask.tree_ensemble import TreeEnsemble
from jd_tf.layers.overlap.content_match import ContentMatch
from jd_tf.layers.overlap.event_weights import EventWeights
from jd_tf.layers.overlap.id_overlap import IdOverlap
from jd_tf.layers.overlap.pair_match import PairMatch
from jd_tf.layers.scenario.gate_unit import GateUnit
from jd_tf.layers.scenario.partitioned_normalization import (
    PartitionedNormalization,
)
from jd_tf.layers.scenario.star_mlp import StarMLP
from jd_tf.layers.sequence.attentional_gru import AttentionalGRU
from jd_tf.layers.sequence.fine_grained_behavior_encoder import (
    FineGrainedBehaviorEncoder,
)
from jd_tf.layers.sequence.hstu_block import HSTUBlock
from jd_tf.layers.sequence.interest_crossing import InterestCrossing
from jd_tf.layers.sequence.local_activation_unit import LocalActivationUnit
from jd_tf.layers.sequence.target_attention_decoder import (
    TargetAttentionDecoder,
)
from jd_tf.layers.sequence.temporal_encoding import TemporalEncoding
from jd_tf.layers.sequence.transformer_block import TransformerBlock
from jd_tf.layers.sequence.transformer_encoder import TransformerEncoder

__all__ = [
    "AttentionalGRU",
    "BiasTower",
    "BilinearFusion",
    "CalibrationCurve",
    "ContentMatch",
    "CrossNetwork",
    "EntireSpaceLogits",
    "EventWeights",
    "FactorizationMachine",
    "FeatureNormalization",
    "FineGrainedBehaviorEncoder",
    "FixedFusion",
    "GateUnit",
    "GlobalFusion",
    "HSTUBlock",
    "IdEmbedding",
    "IdOverlap",
    "IdRanks",
    "InterestCrossing",
    "LocalActivationUnit",
    "LogBucketEmbedding",
    "MaskBlock",
    "MixtureOfExperts",
    "MultiGateImageTransfer",
    "PairMatch",
    "PartitionedNormalization",
    "PersonalizedFusion",
    "ProgressiveExtraction",
    "SplitMLP",
    "StackedMLP",
    "StarMLP",
    "TargetAttentionDecoder",
    "TaskTower",
    "TemporalEncoding",
    "TextEncoder",
    "TransformerBlock",
    "TransformerEncoder",
    "TreeEnsemble",
    "VectorTable",
]
