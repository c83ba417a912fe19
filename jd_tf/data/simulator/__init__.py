"""A simulated shop with known truth."""

from jd_tf.data.simulator.behavior import BehaviorParameters
from jd_tf.data.simulator.config import SimulatorConfig
from jd_tf.data.simulator.simulator import Simulator

__all__ = ["BehaviorParameters", "Simulator", "SimulatorConfig"]
