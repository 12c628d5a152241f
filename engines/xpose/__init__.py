"""The X-Pose model, written from its specification."""

from engines.xpose.config import XPoseConfig
from engines.xpose.model import Denoising, Layer, Stages, XPose, XPoseOutput

__all__ = ["Denoising", "Layer", "Stages", "XPose", "XPoseConfig", "XPoseOutput"]
