"""The X-Pose model, written from its specification."""

from xpose_stream.engines.xpose.config import XPoseConfig
from xpose_stream.engines.xpose.model import Denoising, Layer, Stages, XPose, XPoseOutput
from xpose_stream.engines.xpose.visual import Marked

__all__ = ["Denoising", "Layer", "Marked", "Stages", "XPose", "XPoseConfig", "XPoseOutput"]
