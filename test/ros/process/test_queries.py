# SPDX-License-Identifier: Apache-2.0
"""The query topics of one running node."""

from __future__ import annotations

import numpy as np
import pytest
from rcl_interfaces.srv import GetParameters


def test_ids_stay_with_their_prompts_and_mark_the_pixels(bench) -> None:
    cat, dog = bench.query("cat; dog", "cat", "dog")["queries"]
    assert cat["id"] != dog["id"] and {cat["present"], dog["present"]} == {None}
    kept, bird = bench.query("dog; bird", "dog", "bird")["queries"]
    assert kept["id"] == dog["id"] and bird["id"] not in (cat["id"], dog["id"])
    with bench.camera(bench.picture()), bench.listen("labels") as labels:
        assert set(np.unique(bench.array(bench.next_of(labels)))) == {0, dog["id"]}  # as high: the earlier prompt
        bench.query("bird; dog", "bird", "dog")
        bench.ros.spin_until(lambda: bench.array(labels[-1]).max() == bird["id"], "the label of the bird")


def test_presence_and_stamp_follow_the_frames(bench) -> None:
    bench.query('[{"text": "cat", "label": "Tom"}, {"text": "dog", "threshold": 0.99}]', "cat", "dog")
    with bench.camera(bench.picture()), bench.listen():
        bench.ros.spin_until(lambda: bench.active["stamp"], "an answered frame")
    cat, dog = bench.active["queries"]
    assert (cat["label"], cat["threshold"], cat["present"], cat["source"]) == ("Tom", None, True, "seg_query")
    assert (dog["label"], dog["threshold"], dog["present"]) == ("dog", 0.99, False)


def test_words_outside_the_vocabulary_are_reported(bench) -> None:
    (query,) = bench.query("a purple cat")["queries"]
    assert query["unknown_words"] == ["purple"]


@pytest.mark.parametrize(
    "text, reason",
    [
        ('["cat", {', "broken JSON"),
        ("a; b; c; d; e", "5 prompts: at most 4"),
        ("qz" * 60, "the model takes 77"),
        ('[{"text": "cat", "size": 3}]', "key 'size' of prompt 1"),
    ],
)
def test_a_refused_query_leaves_the_old_ones(bench, text: str, reason: str) -> None:
    before = bench.query("cat")["queries"]
    assert reason in bench.refusal(text)
    assert bench.active["queries"] == before
    bench.process.wait_for("query refused, the old ones stay")
    bench.send("cat")
    bench.ros.spin_until(lambda: bench.active["refused"] is None, "forgetting the refusal")


def test_the_same_query_again_is_no_news(bench) -> None:
    bench.query("cat")
    count = len(bench.seen)
    for text in ("cat", "cat", " cat ;", "cat"):
        bench.send(text)
    bench.query("dog")
    assert len(bench.seen) == count + 1


def test_the_parameter_queries_and_seg_query_are_one_set(bench) -> None:
    assert bench.set("queries", ["cat", "dog; bird"]).successful
    bench.ros.spin_until(lambda: bench.texts == ["cat", "dog", "bird"], "the parameter's set")
    bench.query("red cat; dog", "red cat", "dog")
    names = GetParameters.Request(names=["queries"])
    (value,) = bench.ros.call(GetParameters, "/segment/get_parameters", names).values
    assert value.string_array_value == ["red cat; dog"]


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("threshold", 1.5, "out of range"),
        ("threshold", 2, "threshold 2.0: expected 0.0 to 1.0"),
        ("weights", "other", "read-only"),
        ("queries", ["["], "broken JSON"),
        ("queries", [1, 2], "expected texts"),
        ("max_rate", "fast", "max_rate 'fast': expected float"),
    ],
)
def test_a_bad_parameter_is_refused_with_the_reason(bench, name: str, value: object, reason: str) -> None:
    result = bench.set(name, value)
    assert not result.successful and reason in result.reason


def test_an_affordance_is_one_query_of_several_prompts(bench) -> None:
    assert bench.set("affordance_mode", "both").successful
    bench.query("cat")
    cat, ride = bench.query("ride on", "cat", "something to ride on", topic="seg_affordance")["queries"]
    assert ride["searched"] == ["something to ride on", "horse", "pony", "motorcycle"]
    assert (ride["label"], ride["source"], ride["unknown_words"]) == ("ride on", "seg_affordance", [])
    bench.query("", "something to ride on")
    with bench.camera(bench.picture()), bench.listen("labels") as labels:
        assert set(np.unique(bench.array(bench.next_of(labels, 2)))) == {0, ride["id"]}
        bench.ros.spin_until(lambda: bench.active["queries"][0]["present"], "its presence")
    assert bench.set("affordance_mode", "objects").successful
    bench.ros.spin_until(lambda: bench.active["queries"][0]["searched"] == ["horse", "pony", "motorcycle"], "objects")
    assert bench.set("affordance_mode", "prompt").successful
    bench.ros.spin_until(lambda: bench.active["queries"][0]["searched"] == ["something to ride on"], "the sentence")


def test_an_unknown_affordance_is_refused_and_forgiven_by_a_known_one(bench) -> None:
    assert "expected one of sit on, drink from" in bench.refusal("eat", topic="seg_affordance")
    bench.query("ride on", "something to ride on", topic="seg_affordance")
    bench.ros.spin_until(lambda: bench.active["refused"] is None, "forgiveness")


def test_a_query_asked_once_is_answered_for_one_frame_and_gone(bench) -> None:
    once = '[{"text": "dog", "once": true}, "cat"]'
    (dog, cat) = bench.query(once, "dog", "cat")["queries"]
    for _ in range(2):  # the same text again asks again
        with bench.listen("labels") as labels:
            with bench.camera(bench.picture()):
                bench.ros.spin_until(lambda: bench.texts == ["cat"], "the end of the dog")
                (answered,) = bench.active["answered"]
                assert (answered["text"], answered["present"], answered["once"]) == ("dog", True, True)
                bench.ros.spin_until(lambda: labels and bench.array(labels[-1]).max() == cat["id"], "the cat alone")
            (picture,) = [each for each in labels if bench.array(each).max() != cat["id"]]
        assert answered["stamp"] == {"sec": picture.header.stamp.sec, "nanosec": picture.header.stamp.nanosec}
        names = GetParameters.Request(names=["queries"])
        (value,) = bench.ros.call(GetParameters, "/segment/get_parameters", names).values
        assert value.string_array_value == ['["cat"]']
        bench.query(once, "dog", "cat")
