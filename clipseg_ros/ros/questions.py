# SPDX-License-Identifier: Apache-2.0
"""What is looked for now: the query topics and the parameters of the node, checked by the engine, told to everybody.

Subscribes
    seg_query, seg_affordance            std_msgs/String, reliable, volatile, depth 10
    seg_support/image, seg_support/mask  see clipseg_ros.ros.support_input
Publishes
    ~/active_queries                     std_msgs/String, latched: JSON, see clipseg_ros.ros.active
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from threading import Lock

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String

from clipseg_ros.engines import Engine
from clipseg_ros.queries import SOURCES, Query, QueryError, QuerySet, affordances, language, parse
from clipseg_ros.ros import parameter_table, qos
from clipseg_ros.ros.active import ActiveQueries
from clipseg_ros.ros.conversions import BadImage
from clipseg_ros.ros.job import Job
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.ros.support_input import SupportInput, support_from_ros
from clipseg_ros.segmentation import Prompt, PromptError, Support, Verdict

QUERY, AFFORDANCE, SUPPORT = SOURCES
REFUSALS = (QueryError, PromptError, BadImage)


class Questions:
    """Keeps the job; `changed` is called, on the executor's thread, after every change of it.

    Raises QueryError, PromptError and AffordanceError for settings that are refused.
    """

    def __init__(self, node: Node, settings: Parameters, changed: Callable[[], None]) -> None:
        self._node = node
        self._changed = changed
        self._table = affordances.load(settings.affordances_file)
        self._set = QuerySet(settings.max_queries)
        self._named: tuple[Query, ...] = ()  # the affordances asked for, by their names
        self._supports: tuple[Support, ...] = ()  # the oldest first
        self._engine: Engine | None = None
        self._tidying = False
        self.announced = Lock()  # held while telling of a set or publishing its results, so that none comes late
        active = node.create_publisher(String, "~/active_queries", **qos.overridable(qos.LATCHED))
        self._active = ActiveQueries(lambda text: active.publish(String(data=text)))
        self._job = Job(settings, ())
        self._adopt(settings, self._asked(settings, {"queries"}))
        node.create_subscription(String, "seg_query", self._on_query, **qos.overridable(qos.QUERY))
        node.create_subscription(String, "seg_affordance", self._on_affordance, **qos.overridable(qos.QUERY))
        SupportInput(node, settings.sync_slop, self._on_support)
        self._tidy = node.create_guard_condition(self._on_answered)

    @property
    def job(self) -> Job:
        """The newest; jobs of the same queries share their entries."""
        return self._job

    @property
    def refusal(self) -> str:
        """Why the last query was refused, "" where it was not."""
        refused = self._active.refused
        return f"{refused['source']} {refused['text']!r}: {refused['reason']}" if refused else ""

    @property
    def dropped(self) -> str:
        """The queries that the engine dropped in the last frame, see ActiveQueries."""
        return self._active.dropped

    def adopt_engine(self, engine: Engine | None) -> None:
        """From now on it checks every query; None: nobody does. Raises PromptError for what is active already."""
        if engine is not None:
            engine.check(self._set.prompts)
        with self.announced:
            self._engine = engine
            self._renew(self._job.settings)

    def change(self, changes: Sequence[Parameter]) -> SetParametersResult:
        """The one way in for every change of parameters, the queries of seg_query included."""
        named = {change.name: change.value for change in changes}
        if named.keys().isdisjoint(entry.name for entry in fields(self._job.settings)):
            return SetParametersResult(successful=True)  # rclpy declares qos_overrides.* with each subscription
        try:
            settings = parameter_table.changed(self._job.settings, changes)
            self._adopt(settings, self._asked(settings, named.keys()))
        except ValueError as error:
            if isinstance(error, REFUSALS) and "queries" in named:
                value = named["queries"]
                self._refuse(QUERY, value if isinstance(value, str) else "; ".join(value), error)
            return SetParametersResult(successful=False, reason=str(error))
        if "queries" in named:
            self._forgive(QUERY)
        return SetParametersResult(successful=True)

    def is_current(self, job: Job) -> bool:
        """Whether the active queries are still those of the job; hold `announced` and publish what it found."""
        return job.entries is self._set.entries

    def answer(self, camera: str, stamp_ns: int, present: Sequence[bool], verdicts: Sequence[Verdict]) -> None:
        """A frame's results were published; to be called while holding `announced`."""
        self._active.answer(camera, stamp_ns, present, verdicts)

    def close(self, job: Job) -> None:
        """Results of this job were published: what it asked once is done."""
        once = [entry for entry in job.entries if entry.query.once]
        if not once:
            return
        with self.announced:
            self._active.close(once)
            self._set.drop(once)
            self._renew(self._job.settings)
        self._tidy.trigger()

    def _on_query(self, message: String) -> None:
        texts = (message.data,) if message.data.strip() else ()
        if not self._is_known(texts):  # `ros2 topic pub` repeats itself every second
            value = list(texts) or [""]
            self._node.set_parameters([Parameter("queries", Parameter.Type.STRING_ARRAY, value)])

    def _is_known(self, texts: tuple[str, ...]) -> bool:
        """Whether these texts are the present ones, and none of them was asked once and is done."""
        if texts != self._job.settings.queries or self._active.refused is not None:
            return False
        return self._set.of(QUERY) == tuple(query for text in texts for query in parse(text))

    def _on_affordance(self, message: String) -> None:
        settings = self._job.settings
        try:
            named = parse(message.data)
            self._adopt(settings, {AFFORDANCE: self._resolved(named, settings)})
        except REFUSALS as error:
            self._refuse(AFFORDANCE, message.data, error)
            return
        self._named = named
        self._forgive(AFFORDANCE)

    def _on_support(self, image: Image, mask: Image | None) -> None:
        """mask None: forget the examples."""
        settings = self._job.settings
        try:
            supports = () if mask is None else self._with(support_from_ros(image, mask))
            self._adopt(settings, {SUPPORT: _examples(supports, settings)})
        except REFUSALS as error:
            self._refuse(SUPPORT, f"example of {image.width}x{image.height} pixels", error)
            return
        self._supports = supports[-settings.max_supports:]
        self._forgive(SUPPORT)

    def _with(self, support: Support) -> tuple[Support, ...]:
        return self._supports if support in self._supports else (*self._supports, support)

    def _on_answered(self) -> None:
        """Take queries that were asked once out of the parameter, which is the same set as seg_query."""
        self._tidying = True
        value = language.write(self._set.of(QUERY))
        self._node.set_parameters([Parameter("queries", Parameter.Type.STRING_ARRAY, [value])])
        self._tidying = False

    def _asked(self, settings: Parameters, names: object) -> dict[str, Sequence[Query]]:
        """Source -> queries, of the sources that a change of the parameters of these names concerns."""
        asked: dict[str, Sequence[Query]] = {}
        if "queries" in names and not self._tidying:
            asked[QUERY] = [query for text in settings.queries for query in parse(text)]
        if "affordance_mode" in names:
            alive = {query.identity for query in self._set.of(AFFORDANCE)}  # not those asked once and done
            before = zip(self._named, self._resolved(self._named, self._job.settings))
            asked[AFFORDANCE] = self._resolved([one for one, was in before if was.identity in alive], settings)
        if {"support_text", "support_text_weight", "max_supports"}.intersection(names):
            asked[SUPPORT] = _examples(self._supports, settings)
        return asked

    def _resolved(self, named: Sequence[Query], settings: Parameters) -> list[Query]:
        return [affordances.resolve(query, self._table, settings.affordance_mode) for query in named]

    def _adopt(self, settings: Parameters, asked: Mapping[str, Sequence[Query]]) -> None:
        """Check everything, then change everything. Raises QueryError, PromptError."""
        wanted = self._set.union(asked)
        if self._engine is not None:
            self._engine.check([prompt for query in wanted for prompt in query.searched])
        with self.announced:
            self._set.update(asked)
            self._renew(settings)
        self._changed()

    def _renew(self, settings: Parameters) -> None:
        self._job = job = Job(settings, self._set.entries)
        words = self._engine.unknown_words if self._engine is not None else lambda text: ()
        self._active.accept(job.entries, job.prompts, words)

    def _refuse(self, source: str, text: str, error: Exception) -> None:
        with self.announced:
            is_news = self._active.refuse(source, text, str(error))
        if is_news:
            self._node.get_logger().warning(f"query refused, the old ones stay: {error}")

    def _forgive(self, source: str) -> None:
        with self.announced:
            self._active.forgive(source)


def _examples(supports: Sequence[Support], settings: Parameters) -> list[Query]:
    """The newest supports as queries, mixed with the settings' words where there are any. Raises QueryError."""
    text = language.clean(settings.support_text, "support_text")
    newest = supports[-settings.max_supports:]
    if not text:
        return [Query(Prompt(support=support)) for support in newest]
    return [Query(Prompt(text, support, settings.support_text_weight)) for support in newest]
