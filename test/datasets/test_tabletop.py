# SPDX-License-Identifier: Apache-2.0
"""The rendered tabletop scenes: geometry, labels, words."""

from __future__ import annotations

import colorsys
import sys
from dataclasses import replace

import numpy as np
import pytest

from clipseg_ros.datasets import tabletop
from clipseg_ros.datasets.tabletop import COLOURS, KINDS, classes_of, compose, rendering, vocabulary
from clipseg_ros.datasets.tabletop.kinds import ACCENTS
from clipseg_ros.datasets.tabletop.rendering import View


@pytest.fixture(name="render")
def _render():
    pytest.importorskip("embreex", reason="rendering needs the extra [scenes]")
    return tabletop.render


def _world_points(view: View) -> np.ndarray:
    """(H, W, 3): the depth picture back in world coordinates."""
    height, width = view.depth.shape
    y, x = np.mgrid[:height, :width]
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(view.intrinsics).T
    return (rays * view.depth[..., None]) @ view.pose[:3, :3].T + view.pose[:3, 3]


def test_same_seed_gives_the_same_view(render):
    first, second = render(compose(5), 48, 64, 1.5), render(compose(5), 48, 64, 1.5)
    for name in ("image", "depth", "labels", "intrinsics", "pose"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_other_seeds_give_other_pictures(render):
    pictures = {render(compose(seed), 24, 32).image.tobytes() for seed in range(5)}
    assert len(pictures) == 5


def test_view_has_the_types_it_promises(render):
    view = render(compose(1), 30, 40)
    assert (view.image.shape, view.image.dtype) == ((30, 40, 3), np.uint8)
    assert (view.depth.shape, view.depth.dtype) == ((30, 40), np.float32)
    assert (view.labels.shape, view.labels.dtype) == ((30, 40), np.uint8)
    assert view.intrinsics.dtype == view.pose.dtype == np.float64


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_stands_on_the_ground_at_toy_size(name):
    rng = np.random.default_rng(0)
    for _ in range(40):
        parts = KINDS[name].build(rng)
        vertices = np.concatenate([part.mesh.vertices for part in parts])
        assert np.isfinite(vertices).all()
        assert vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(vertices[:, :2].min(0), -vertices[:, :2].max(0), atol=1e-6)
        assert 0.095 < np.ptp(vertices, axis=0).max() < 0.25
        assert sum(len(part.mesh.faces) for part in parts) < 2500
        assert {part.paint for part in parts} <= {"main", *ACCENTS}
        for mesh, _ in parts:
            assert mesh.faces.min() == 0
            assert mesh.faces.max() == len(mesh.vertices) - 1


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_three_shape_parameters_that_matter(name):
    kind = KINDS[name]
    middle = {argument: (low + high) / 2 for argument, (low, high) in kind.spans.items()}

    def solid(**changes: float) -> bytes:
        return b"".join(part.mesh.vertices.tobytes() for part in kind.shape(**{**middle, **changes}))

    for argument, (low, high) in kind.spans.items():
        assert solid(**{argument: low}) != solid(**{argument: high}), argument
    assert len(kind.spans) >= 3


def test_labels_are_ids_of_the_objects_and_every_object_is_seen(render):
    for seed in range(12):
        scene = compose(seed)
        seen = set(np.unique(render(scene, 120, 160).labels).tolist())
        assert seen - {0} == {thing.class_id for thing in scene.objects}


def test_scene_holds_three_to_seven_objects_that_do_not_touch():
    for seed in range(40):
        objects = compose(seed).objects
        assert 3 <= len(objects) <= 7
        for i, a in enumerate(objects):
            for b in objects[:i]:
                assert np.linalg.norm((a.centre - b.centre)[:2]) > a.radius + b.radius


def test_every_object_is_centred_inside_the_first_view(render):
    for seed in range(12):
        scene = compose(seed)
        view = render(scene, 12, 16)
        for thing in scene.objects:
            x, y, depth = (thing.centre - view.pose[:3, 3]) @ view.pose[:3, :3]
            column, row, _ = view.intrinsics @ (x / depth, y / depth, 1)
            assert 0 <= column <= 15
            assert 0 <= row <= 11


@pytest.mark.parametrize(("height", "width"), [(96, 128), (64, 200), (160, 90)])
def test_depth_of_the_bare_table_lies_on_its_plane(render, height, width):
    for seed in range(4):
        scene = compose(seed)
        view = render(replace(scene, surfaces=scene.surfaces[:1]), height, width, 0.7)
        points = _world_points(view)[height // 2 - 2 : height // 2 + 2, width // 2 - 4 : width // 2 + 4]
        np.testing.assert_allclose(points[..., 2], 0, atol=1e-4)


def test_a_point_is_found_at_the_pixel_it_projects_to(render):
    scene = compose(8)
    view = render(scene, 240, 320)
    points = _world_points(view)
    for thing in scene.objects:
        inside = view.labels == thing.class_id
        offset = np.abs(points[inside] - thing.centre)
        assert offset[:, :2].max() <= thing.radius + 1e-3
        assert offset[:, 2].max() <= thing.centre[2] + 1e-3


def test_depth_is_nan_where_nothing_is_hit(render):
    scene = compose(2)
    sky = replace(scene, surfaces=scene.surfaces[3:])
    view = render(sky, 60, 80)
    assert np.isnan(view.depth).any()
    assert (view.labels[np.isnan(view.depth)] == 0).all()


def test_wide_and_tall_views_see_the_four_by_three_field(render):
    scene = compose(4)
    focal = [render(scene, *size).intrinsics[0, 0] for size in ((60, 80), (60, 200), (200, 80), (80, 80))]
    assert focal == pytest.approx([focal[0]] * 4)


def test_phase_moves_the_camera_slowly_and_keeps_its_target(render):
    scene = compose(6)
    poses = [scene.camera.pose(phase) for phase in (0.0, 0.1, 1.0)]
    turn = np.degrees(np.arccos(np.clip(poses[0][:3, 2] @ poses[1][:3, 2], -1, 1)))
    assert 0.2 < turn < 1.0
    for pose in poses:
        across, down, depth = (np.array(scene.camera.target) - pose[:3, 3]) @ pose[:3, :3]
        assert (across, down) == pytest.approx((0, 0), abs=1e-9)
        assert depth == pytest.approx(scene.camera.distance)
    assert not np.array_equal(render(scene, 24, 32, 0.0).labels, render(scene, 24, 32, 1.0).labels)


def test_colours_of_objects_look_like_their_names(render):
    hues = {name: colorsys.rgb_to_hsv(*(c / 255 for c in rgb))[0] for name, rgb in COLOURS.items()}
    del hues["white"], hues["black"]
    for seed in range(10):
        scene = compose(seed)
        view = render(scene, 120, 160)
        for thing in (t for t in scene.objects if t.colour in hues and t.kind in ("sofa", "bowl", "ball", "stool")):
            pixel = np.median(view.image[view.labels == thing.class_id], axis=0) / 255
            hue = colorsys.rgb_to_hsv(*pixel)[0]
            apart = {name: min(abs(hue - h), 1 - abs(hue - h)) for name, h in hues.items()}
            assert min(apart, key=apart.get) == thing.colour


def test_pictures_larger_than_the_strip_of_noise_are_rendered(render):
    view = render(compose(0), 1080, 1440)
    assert view.image.shape == (1080, 1440, 3) and np.isfinite(view.depth).mean() > 0.5


def test_an_empty_picture_is_refused():
    with pytest.raises(ValueError, match="0 x 64 pixels: expected at least 1 x 1"):
        tabletop.render(compose(0), 0, 64)


def test_missing_ray_caster_names_the_extra(monkeypatch):
    rendering._geometry.cache_clear()
    monkeypatch.setitem(sys.modules, "embreex.rtcore_scene", None)
    monkeypatch.setitem(sys.modules, "embreex.mesh_construction", None)
    with pytest.raises(ImportError, match=r"pip install clipseg_ros\[scenes\]"):
        tabletop.render(compose(0), 8, 8)


def test_class_ids_go_there_and_back():
    names = tabletop.class_names()
    assert len(names) == len(KINDS) * len(COLOURS)
    assert 1 <= min(names) and max(names) <= 254
    for number, name in names.items():
        assert tabletop.class_id(name["kind"], name["colour"]) == number


@pytest.mark.parametrize(("kind", "colour", "bad"), [("tree", "red", "tree"), ("mug", "pink", "pink")])
def test_unknown_kind_or_colour_is_named_with_the_known_ones(kind, colour, bad):
    with pytest.raises(ValueError, match=f"'{bad}' is none of .*(red|mug)"):
        tabletop.class_id(kind, colour)


def test_every_phrase_means_its_classes():
    for phrase in tabletop.phrases():
        assert classes_of(phrase.text) == phrase.classes
        assert phrase.classes
        assert phrase.group in ("object", "colour", "attribute", "part", "affordance")


def test_no_text_stands_for_two_phrases():
    assert len(vocabulary._meanings()) == len(tabletop.phrases()) + len(tabletop.unseen_phrasings())
    assert set(vocabulary.WORDS) == set(KINDS)


@pytest.mark.parametrize(
    ("text", "kinds", "colours"),
    [
        ("mug", ["mug"], COLOURS),
        ("the  Red CUP", ["mug"], ["red"]),
        ("red thing", KINDS, ["red"]),
        ("something black", KINDS, ["black"]),
        ("something to sit on", ["chair", "stool", "sofa"], COLOURS),
        ("something to ride on", ["horse", "motorcycle"], COLOURS),
        ("something that can fly", ["airplane", "duck"], COLOURS),
        ("something with wheels", ["car", "bus", "motorcycle"], COLOURS),
    ],
)
def test_words_mean_what_people_mean(text, kinds, colours):
    assert classes_of(text) == {tabletop.class_id(kind, colour) for kind in kinds for colour in colours}


def test_unknown_text_raises_with_what_can_be_said():
    with pytest.raises(vocabulary.UnknownPhrase, match="^'green tree' is not in the vocabulary.*red mug"):
        classes_of("green tree")


def test_absent_phrases_mean_nothing_visible_and_half_are_near_misses():
    rng = np.random.default_rng(0)
    names = tabletop.class_names()
    near_misses = 0
    for seed in range(400):
        visible = {thing.class_id for thing in compose(seed % 20).objects}
        phrase, near = tabletop.absent(rng, visible)
        assert not phrase.classes & visible
        near_misses += near
        if len(phrase.classes) == 1:
            (meant,) = phrase.classes
            shared = [names[meant][key] in {names[i][key] for i in visible} for key in ("kind", "colour")]
            assert any(shared) == near
        else:
            assert not near
    assert 150 < near_misses < 250


def test_nothing_visible_leaves_no_near_miss():
    rng = np.random.default_rng(0)
    assert not any(tabletop.absent(rng, set())[1] for _ in range(20))
