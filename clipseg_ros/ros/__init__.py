# SPDX-License-Identifier: Apache-2.0
"""The room that knows ROS 2: messages in, frames to an engine, messages out. Nothing outside it imports rclpy."""
