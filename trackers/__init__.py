"""From detections to identities: a Kalman filter per keypoint, association and the life of tracks."""

from xpose_stream.trackers.config import LEAST_SCORE, TrackerConfig
from xpose_stream.trackers.detections import Detections
from xpose_stream.trackers.tracker import Tracker, warm_up
from xpose_stream.trackers.tracks import KeypointStatus, Status, Tracks

__all__ = ["LEAST_SCORE", "Detections", "KeypointStatus", "Status", "Tracker", "TrackerConfig", "Tracks", "warm_up"]
