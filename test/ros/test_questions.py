# SPDX-License-Identifier: Apache-2.0
"""What is looked for, on a real rclpy node in this process whose messages come over DDS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String

from clipseg_ros.queries import QueryError
from clipseg_ros.queries.affordances import AffordanceError
from clipseg_ros.ros import parameter_table, qos
from clipseg_ros.ros.conversions import image_to_ros
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.ros.questions import Questions
from clipseg_ros.segmentation import Frame, PromptError


class Desk:
    """Questions on a node of its own, publishers of its topics, and what it tells."""

    def __init__(self, domain: int, spin_until: Callable[..., object], overrides: tuple[str, ...]) -> None:
        self.context, self._spin_until = Context(), spin_until
        args = [word for override in overrides for word in ("-p", override)]
        rclpy.init(context=self.context, domain_id=domain, args=["--ros-args", *args] if args else [])
        self.node = Node("segment", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.told: list[dict] = []
        self.changes = 0

    def open(self) -> None:
        settings = parameter_table.declare(self.node, Parameters)
        self.node.create_subscription(
            String, "/segment/active_queries", lambda message: self.told.append(json.loads(message.data)), qos.LATCHED
        )
        self.questions = Questions(self.node, settings, self._on_change)
        self.node.add_on_set_parameters_callback(self.questions.change)
        topics = {"seg_query": String, "seg_affordance": String, "seg_support/image": Image, "seg_support/mask": Image}
        self._out = {topic: self.node.create_publisher(kind, topic, qos.QUERY) for topic, kind in topics.items()}
        self.until(lambda: all(each.get_subscription_count() for each in self._out.values()), "the topics")

    def _on_change(self) -> None:
        self.changes += 1

    def until(self, condition: Callable[[], object], what: str) -> object:
        return self._spin_until(self.node, condition, what)

    def ask(self, topic: str, text: str) -> None:
        self._out[topic].publish(String(data=text))

    def show(self, level: int = 200, stamp_ns: int = 5, mask_level: int = 255) -> None:
        """An example of a picture of one colour."""
        picture = np.full((4, 6, 3), level, np.uint8)
        frame = Frame(picture, stamp_ns)
        self._out["seg_support/image"].publish(image_to_ros(picture, "rgb8", frame))
        self._out["seg_support/mask"].publish(image_to_ros(np.full((4, 6), mask_level, np.uint8), "mono8", frame))

    def forget_examples(self) -> None:
        self._out["seg_support/image"].publish(Image())

    def set(self, name: str, value: object):
        (result,) = self.node.set_parameters([Parameter(name, value=value)])
        return result

    @property
    def prompts(self) -> list[str]:
        return [prompt.text for prompt in self.questions.job.searched]

    @property
    def levels(self) -> list[int]:
        """Those of the examples' pictures."""
        return [int(entry.prompt.support.image[0, 0, 0]) for entry in self.questions.job.entries]

    def until_texts(self, *texts: str) -> None:
        self.until(lambda: self.prompts == list(texts), f"{texts}")

    def until_count(self, count: int) -> None:
        self.until(lambda: len(self.questions.job.entries) == count, f"{count} queries")

    def refusal(self) -> dict[str, str]:
        self.until(lambda: self.told and self.told[-1]["refused"], "a refusal")
        return self.told[-1]["refused"]

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def open_desk(ros_domain: int, spin_until: Callable[..., object]) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(*overrides: str) -> Desk:
        desks.append(Desk(ros_domain, spin_until, overrides))
        desks[-1].open()
        return desks[-1]

    yield make
    for desk in desks:
        desk.close()


def test_each_topic_owns_a_set_and_clears_its_own(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk("queries:=cup")
    desk.ask("seg_affordance", "sit on; ride on")
    desk.until_texts("cup", "something to sit on", "something to ride on")
    ids = [entry.id for entry in desk.questions.job.entries]
    desk.ask("seg_query", "mug; cup")
    desk.until_texts("mug", "cup", "something to sit on", "something to ride on")
    assert [entry.id for entry in desk.questions.job.entries][1:] == ids
    desk.ask("seg_query", "")
    desk.until_texts("something to sit on", "something to ride on")
    desk.ask("seg_affordance", "")
    desk.until_texts()
    assert desk.changes >= 5


def test_the_mode_changes_what_is_searched_for_affordances(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("tools: {cut with: {prompt: something sharp, objects: [knife, saw]}}")
    desk = open_desk(f"affordances_file:={own}", "affordance_mode:=objects")
    desk.ask("seg_affordance", "cut with")
    desk.until_texts("knife", "saw")
    assert desk.set("affordance_mode", "both").successful
    assert desk.prompts == ["something sharp", "knife", "saw"]
    assert len(desk.questions.job.entries) == 1
    assert not desk.set("affordance_mode", "all").successful


def test_examples_are_kept_up_to_a_number_and_forgotten_together(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk("max_supports:=2")
    for number in (1, 2, 2, 3):
        desk.show(level=number, stamp_ns=number)
    desk.until(lambda: desk.levels == [2, 3], "the newest two")
    assert {entry.query.source for entry in desk.questions.job.entries} == {"seg_support"}
    assert desk.set("max_supports", 1).successful
    assert desk.levels == [3]
    desk.forget_examples()
    desk.until_count(0)


def test_examples_are_mixed_with_words(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk("support_text:=red mug", "support_text_weight:=0.25")
    desk.show()
    desk.until_count(1)
    (prompt,) = desk.questions.job.prompts
    assert (prompt.text, prompt.text_weight, prompt.support is not None) == ("red mug", 0.25, True)
    assert desk.set("support_text", "").successful and desk.questions.job.prompts[0].text == ""
    assert "holds the control character" in desk.set("support_text", "a\x07").reason


def test_what_cannot_be_is_refused_with_source_and_reason_and_the_old_stays(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk("queries:=cup")
    desk.show(mask_level=0)
    assert desk.refusal() == {
        "source": "seg_support", "text": "example of 6x4 pixels",
        "reason": "support mask is empty: mark the pixels of the example",
    }
    desk.ask("seg_affordance", "fly to")
    desk.until(lambda: desk.told[-1]["refused"]["source"] == "seg_affordance", "the affordance's refusal")
    assert desk.questions.refusal.startswith("seg_affordance 'fly to': affordance 'fly to': expected one of")
    assert desk.prompts == ["cup"]
    desk.ask("seg_affordance", "sit on")
    desk.until(lambda: desk.told[-1]["refused"] is None, "forgiveness")
    assert desk.questions.refusal == ""


def test_what_was_asked_once_is_gone_when_it_is_answered_and_may_be_asked_again(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    once = '[{"text": "cup", "once": true}, "mug"]'
    for _ in range(2):
        desk.ask("seg_query", once)
        desk.until_texts("cup", "mug")
        desk.questions.close(desk.questions.job)
        assert desk.prompts == ["mug"]
        desk.until(lambda: desk.questions.job.settings.queries == ('["mug"]',), "the parameter's change")
        assert desk.prompts == ["mug"] and [query["text"] for query in desk.told[-1]["answered"]] == ["cup"]


def test_an_affordance_asked_once_does_not_come_back_with_another_mode(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    desk.ask("seg_affordance", '[{"text": "sit on", "once": true}, "ride on"]')
    desk.until_texts("something to sit on", "something to ride on")
    desk.questions.close(desk.questions.job)
    assert desk.set("affordance_mode", "objects").successful
    assert desk.prompts == ["horse", "pony", "motorcycle"]


def test_an_engine_is_asked_before_anything_changes(open_desk: Callable[..., Desk]) -> None:
    class Picky:
        def check(self, prompts) -> None:
            for prompt in prompts:
                if prompt.support is not None or prompt.text == "sofa":
                    raise PromptError(f"{prompt.name}: not with me")

        def unknown_words(self, text: str) -> tuple[str, ...]:
            return (text,)

    desk = open_desk("queries:=cup", "affordance_mode:=objects")
    desk.questions.adopt_engine(Picky())
    desk.until(lambda: desk.told and desk.told[-1]["queries"][0]["unknown_words"] == ["cup"], "the engine's word")
    desk.ask("seg_affordance", "sit on")
    assert desk.refusal()["reason"] == "sofa: not with me"
    desk.show()
    desk.until(lambda: desk.told[-1]["refused"]["source"] == "seg_support", "the example's refusal")
    assert desk.prompts == ["cup"]
    assert desk.set("queries", ["sofa"]).reason == "sofa: not with me" and desk.prompts == ["cup"]


@pytest.mark.parametrize(
    "override, error",
    [("queries:='['", QueryError), ("affordances_file:=/nowhere.yaml", AffordanceError)],
)
def test_bad_settings_at_the_start_are_refused(open_desk: Callable[..., Desk], override: str, error: type) -> None:
    with pytest.raises(error):
        open_desk(override)
