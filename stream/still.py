"""What is detected in a single picture, told in the way of a message."""

from __future__ import annotations

import numpy as np

from xpose_stream.stream.detector import Detector
from xpose_stream.stream.preprocess import Preprocessor
from xpose_stream.stream.sinks.messages import TracksMessage, from_tracks
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.trackers import Detections, KeypointStatus, Status, Tracks


def message_of(frame: Frame, detections: Detections, detector: Detector) -> TracksMessage:
    """Detections as tentative tracks with the ids 1, 2, …; covariances are what the detector says of its keypoints."""
    seen = np.isfinite(detections.keypoints).all(-1)
    sigmas = detections.keypoint_sigmas
    variances = np.full(seen.shape, np.nan) if sigmas is None else sigmas**2
    tracks = Tracks(
        ids=np.arange(1, len(detections) + 1),
        class_ids=detections.class_ids,
        scores=detections.scores,
        boxes=detections.boxes,
        keypoints=detections.keypoints,
        velocities=np.full_like(detections.keypoints, np.nan),
        covariances=variances[..., None, None] * np.eye(2),
        measurements=detections.keypoints,
        keypoint_scores=np.where(seen, detections.keypoint_scores, np.nan),
        status=np.full(len(detections), Status.TENTATIVE),
        keypoint_status=np.where(seen, KeypointStatus.MEASURED, KeypointStatus.NEVER_SEEN),
        ages=np.zeros(len(detections)),
        time=0.0,
    )
    return from_tracks(frame, tracks, detector.categories, prompt=detector.prompt, sequence=0)


class Finder:
    """Detects in single frames; what scores at least `least` becomes a tentative track.

    It has a preprocessor of its own and may be used beside a pipeline where `detector`'s engine may.
    """

    def __init__(self, detector: Detector, least: float) -> None:
        config = detector.engine.config
        self._detector, self._least = detector, least
        self._preprocess = Preprocessor(config.short_side, config.long_side, detector.engine.device)

    def __call__(self, frame: Frame) -> TracksMessage:
        """All that is found in `frame`."""
        (detections,) = self._detector([self._preprocess(frame)], [frame])
        return message_of(frame, detections[detections.usable(self._least)], self._detector)
