"""Publish what a stream sends as ROS 2 messages: `ros2 run` it, or python ros2_node.py tcp://127.0.0.1:5555.

Needs rclpy, vision_msgs and configs/ros2/xpose_msgs built by colcon.
"""

from __future__ import annotations

import sys

import rclpy
from rclpy.qos import qos_profile_sensor_data
from xpose_msgs.msg import Keypoint, Track, Tracks

from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.sinks.messages import TracksMessage

STATES = {"never_seen": 0, "predicted": 1, "rejected": 2, "measured": 3}
STATUS = {"tentative": 0, "confirmed": 1, "coasting": 2}
NAN = float("nan")


def tracks_of(message: TracksMessage) -> Tracks:
    """The ROS message."""
    told = Tracks()
    told.header.frame_id = message.camera
    told.header.stamp.sec, told.header.stamp.nanosec = divmod(round(message.captured_at * 1e9), 1_000_000_000)
    for name in ("sequence", "frame", "width", "height", "pts", "captured_at", "clock", "clock_uncertainty", "epoch"):
        setattr(told, name, getattr(message, name))
    told.published_at, told.latency_ms = message.published_at, message.latency_ms
    told.prompt, told.prompt_version = message.prompt.name, message.prompt.version
    categories = {category.id: category for category in message.categories}
    for track in message.tracks:
        x0, y0, x1, y1 = track.box
        one = Track(id=track.id, category=categories[track.category].name, status=STATUS[track.status])
        one.score, one.age, one.x0, one.y0, one.x1, one.y1 = track.score, track.age, x0, y0, x1, y1
        for place, name in enumerate(categories[track.category].keypoints):
            x, y = track.keypoints[place] or (NAN, NAN)
            vx, vy = track.velocities[place] or (NAN, NAN)
            xx, xy, yy = track.covariances[place] or (NAN, NAN, NAN)
            measured_x, measured_y = track.measured[place] or (NAN, NAN)
            score = (track.keypoint_scores or [None] * (place + 1))[place]
            one.keypoints.append(
                Keypoint(
                    name=name, status=STATES[track.keypoint_status[place]], x=x, y=y, vx=vx, vy=vy, xx=xx, xy=xy, yy=yy,
                    measured_x=measured_x, measured_y=measured_y, score=NAN if score is None else score,
                )
            )  # fmt: skip
        told.tracks.append(one)
    return told


def main() -> None:
    """A topic for each camera."""
    rclpy.init()
    node, topics = rclpy.create_node("xpose"), {}
    for message in Subscriber(sys.argv[1], newest=True):
        if message.camera not in topics:
            topic = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in message.camera)
            topics[message.camera] = node.create_publisher(Tracks, f"/camera_{topic}/tracks", qos_profile_sensor_data)
        topics[message.camera].publish(tracks_of(message))


if __name__ == "__main__":
    main()
