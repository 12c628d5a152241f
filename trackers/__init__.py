"""From detections to identities: a Kalman filter per keypoint, association and the life of tracks."""

from trackers.config import TrackerConfig
from trackers.detections import Detections
from trackers.tracker import Tracker, warm_up
from trackers.tracks import KeypointStatus, Status, Tracks

__all__ = ["Detections", "KeypointStatus", "Status", "Tracker", "TrackerConfig", "Tracks", "warm_up"]
