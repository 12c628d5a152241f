"""A synthetic world rendered headless by MuJoCo: persons with exact keypoints, boxes, visibility and identities."""

import os

# MuJoCo picks its OpenGL when it is first imported; Mesa's software renderer must not start threads of its own.
os.environ.setdefault("MUJOCO_GL", "osmesa")
os.environ.setdefault("LP_NUM_THREADS", "0")
