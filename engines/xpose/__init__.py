"""The X-Pose model, written from its specification."""

from engines.xpose.config import XPoseConfig
from engines.xpose.model import Denoising, Layer, Stages, XPose, XPoseOutput
from engines.xpose.visual import Marked

__all__ = ["Denoising", "Layer", "Marked", "Stages", "XPose", "XPoseConfig", "XPoseOutput"]
