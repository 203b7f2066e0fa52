# SPDX-License-Identifier: Apache-2.0
"""CLIPSeg's network against the reference's numbers and against transformers' own forward."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

from clipseg_ros.models import weights
from clipseg_ros.models.clipseg import PROMPTS_AT_ONCE, CLIPSeg

GOLDEN = Path(__file__).parents[1] / "golden" / "clipseg"
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> None:
    with torch.inference_mode():
        yield


@pytest.fixture
def network(tiny_weights: Path) -> CLIPSegForImageSegmentation:
    return weights.load_clipseg(tiny_weights, torch.float32)


@pytest.fixture
def model(network: CLIPSegForImageSegmentation) -> CLIPSeg:
    return CLIPSeg(network)


@pytest.fixture(scope="module")
def tokenize(tiny_weights: Path) -> weights.TextFormat:
    return weights.read_text_format(tiny_weights, 77)


def pixels_of(tiny_weights: Path, image: np.ndarray) -> torch.Tensor:
    return weights.read_input_format(tiny_weights).normalise(image)


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


def test_pixels_are_normalised_as_the_reference_does(tiny_weights: Path, golden: Arrays) -> None:
    np.testing.assert_allclose(pixels_of(tiny_weights, golden["image_96"]), golden["pixel_values_96"], atol=1e-6)


def test_tokens_are_those_of_openais_tokenizer(tokenize: weights.TextFormat) -> None:
    expected = json.loads((GOLDEN / "tokenizer_golden.json").read_text())
    ids, lengths = tokenize(expected["texts"])
    assert [row[:length].tolist() for row, length in zip(ids, lengths)] == expected["ids"]


def test_text_vectors_are_the_references(model: CLIPSeg, tokenize: weights.TextFormat, golden: Arrays) -> None:
    close(model.embed_text(*tokenize(golden["texts"].tolist())), golden["cond_text"])


def test_padding_changes_no_text_vector(model: CLIPSeg, tokenize: weights.TextFormat, golden: Arrays) -> None:
    padded = torch.from_numpy(golden["token_ids"].astype(np.int64))
    close(model.embed_text(padded, padded.argmax(dim=1) + 1), golden["cond_text"])
    close(model.embed_text(*tokenize(golden["texts"].tolist()[1:2])), golden["cond_text"][1:2])


@pytest.mark.parametrize("name", ["image_96", "image_224", "image_352", "support_96"])
def test_image_vectors_are_the_references(model: CLIPSeg, tiny_weights: Path, golden: Arrays, name: str) -> None:
    close(model.embed_image(pixels_of(tiny_weights, golden[name])), golden[f"cond_{name}"])


def test_tokens_after_every_block_are_the_references(network: CLIPSegForImageSegmentation, golden: Arrays) -> None:
    for first in range(0, 12, 3):
        readouts = CLIPSeg(network, range(first, first + 3)).encode_image(torch.from_numpy(golden["pixel_values_96"]))
        assert readouts.grid == (6, 6)
        close(torch.cat(readouts.tokens), golden["blocks_96"][first : first + 3])


def test_positions_are_interpolated_as_the_reference_does(model: CLIPSeg, tiny_weights: Path, golden: Arrays) -> None:
    readouts = model.encode_image(pixels_of(tiny_weights, golden["image_352"]))
    close(torch.cat(readouts.tokens)[:, ::13], golden["blocks_352_sub"][[0, 1, 3]])


def test_a_cut_out_of_everything_is_the_whole_and_others_take_the_places_of_their_part(model: CLIPSeg) -> None:
    pixels = torch.randn(2, 3, 160, 224, generator=torch.Generator().manual_seed(0))
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, -1)
    close(model._embed_pixels(pixels, whole), model._embed_pixels(pixels))
    side = model.network.config.vision_config.image_size
    part = torch.tensor([[16.0, 32.0, 32.0, 32.0]]) / side  # two patches square, of the second row and third column on
    large = torch.zeros(1, 3, side, side)
    large[..., 16:48, 32:64] = pixels[:1, :, :32, :32]
    cells = 1 + torch.tensor([1, 1, 2, 2]) * (side // 16) + torch.tensor([2, 3, 2, 3])
    close(model._embed_pixels(pixels[:1, :, :32, :32], part)[:, 1:], model._embed_pixels(large)[:, cells])


@pytest.mark.parametrize("side", [96, 224, 352])
def test_logits_are_the_references(model: CLIPSeg, tiny_weights: Path, golden: Arrays, side: int) -> None:
    readouts = model.encode_image(pixels_of(tiny_weights, golden[f"image_{side}"]))
    logits = model.decode(readouts, torch.from_numpy(golden["cond_text"]))
    assert logits.shape == (1, 4, side, side)
    close(logits[0, :, 3::7, 3::7], golden[f"logits_refined_369_{side}_sub"])
    flat = logits[0].flatten(1)
    stats = torch.stack([flat.mean(1), flat.std(1), flat.amin(1), flat.amax(1)], dim=1)
    close(stats, golden[f"logits_refined_369_{side}_stats"])


def test_every_pixel_is_the_references(model: CLIPSeg, golden: Arrays) -> None:
    readouts = model.encode_image(torch.from_numpy(golden["pixel_values_96"]))
    close(model.decode(readouts, torch.from_numpy(golden["cond_text"][:2]))[0], golden["logits_refined_369_96"])


def test_mixed_and_image_prompts_are_the_references(model: CLIPSeg, tiny_weights: Path, golden: Arrays) -> None:
    readouts = model.encode_image(torch.from_numpy(golden["pixel_values_96"]))
    support = model.embed_image(pixels_of(tiny_weights, golden["support_96"]))
    share = torch.from_numpy(golden["mix_image_weight"])[:, None]
    mixed = share * support + (1 - share) * torch.from_numpy(golden["cond_text"])
    close(mixed, golden["cond_mix"])
    close(model.decode(readouts, mixed)[0, :, 3::7, 3::7], golden["logits_refined_369_mix_96_sub"])
    close(model.decode(readouts, support)[0, :, 3::7, 3::7], golden["logits_refined_369_supportimage_96_sub"])


def test_a_later_conditional_layer_is_the_references(network: CLIPSegForImageSegmentation, golden: Arrays) -> None:
    network.decoder.conditional_layer = 1
    model = CLIPSeg(network)
    logits = model.decode(
        model.encode_image(torch.from_numpy(golden["pixel_values_96"])), torch.from_numpy(golden["cond_text"])
    )
    close(logits[0, :, 3::7, 3::7], golden["logits_refined_369_condlayer1_96_sub"])


@pytest.mark.parametrize("layers", [[3, 6, 9], [3, 7, 9]])
def test_logits_equal_transformers_own_forward(
    network: CLIPSegForImageSegmentation,
    tokenize: weights.TextFormat,
    tiny_weights: Path,
    golden: Arrays,
    layers: list[int],
) -> None:
    texts = golden["texts"].tolist()
    pixels = pixels_of(tiny_weights, golden["image_352"])
    model = CLIPSeg(network, layers)
    ours = model.decode(model.encode_image(pixels), model.embed_text(*tokenize(texts)))[0]
    network.extract_layers = layers
    words = tokenize.tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt")
    theirs = network(**words, pixel_values=pixels.expand(len(texts), -1, -1, -1)).logits
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert theirs.std() > 1.0


@pytest.mark.parametrize("images", [1, 2])
def test_many_prompts_in_passes_are_the_same_as_at_once(model: CLIPSeg, images: int) -> None:
    torch.manual_seed(0)
    many, size = 2 * PROMPTS_AT_ONCE + 1, model.network.config.projection_dim
    with torch.inference_mode():
        readouts = model.encode_image(torch.randn(images, 3, 96, 64))
        for vectors in (torch.randn(many, size), torch.randn(images, many, size)):
            found = model.decode(readouts, vectors)
            assert found.shape[:2] == (images, many)
            close(found, model.decode_at_once(readouts, vectors).numpy())


def test_images_of_a_batch_do_not_mix(model: CLIPSeg, tiny_weights: Path, golden: Arrays) -> None:
    pixels = [pixels_of(tiny_weights, golden[name]) for name in ("image_96", "support_96")]
    vectors = torch.from_numpy(golden["cond_text"])
    both = model.decode(model.encode_image(torch.cat(pixels)), vectors)
    for index, one in enumerate(pixels):
        np.testing.assert_allclose(both[index], model.decode(model.encode_image(one), vectors)[0], atol=1e-4)
    own = model.decode(model.encode_image(torch.cat(pixels)), torch.stack([vectors[:1], vectors[1:2]]))
    np.testing.assert_allclose(own[:, 0], torch.stack([both[0, 0], both[1, 1]]), atol=1e-4)


def test_blocks_after_the_last_read_are_not_run(network: CLIPSegForImageSegmentation, golden: Arrays) -> None:
    model, pixels = CLIPSeg(network), torch.from_numpy(golden["pixel_values_96"])
    before = model.encode_image(pixels)
    for parameter in network.clip.vision_model.encoder.layers[10:].parameters():
        parameter.fill_(torch.nan)
    after = model.encode_image(pixels)
    assert all(torch.equal(*pair) for pair in zip(before.tokens, after.tokens))
    assert model.embed_image(pixels).isnan().all()


@pytest.fixture(scope="module")
def plain() -> CLIPSegForImageSegmentation:
    """Random weights with the plain head, whose patches of 16 x 16 logits are each of one token alone."""
    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    network = CLIPSegForImageSegmentation(
        CLIPSegConfig(
            text_config={**tower, "num_hidden_layers": 1, "vocab_size": 529},
            vision_config={**tower, "num_hidden_layers": 2, "patch_size": 16, "image_size": 64},
            projection_dim=16,
            reduce_dim=16,
            extract_layers=[0, 1],
            decoder_intermediate_size=32,
        )
    ).eval()
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return network


@pytest.mark.parametrize("grid", [(4, 9), (9, 4), (1, 16)])
def test_a_rectangle_is_not_scrambled(plain: CLIPSegForImageSegmentation, grid: tuple[int, int]) -> None:
    """transformers lays the patches of such rectangles out in a square: the same patches in another order."""
    pixels, vectors = torch.randn(1, 3, 16 * grid[0], 16 * grid[1]), torch.randn(1, 16)
    model = CLIPSeg(plain)
    ours = model.decode(model.encode_image(pixels), vectors)[0, 0]
    square = plain(pixel_values=pixels, conditional_embeddings=vectors).logits[0]
    patches = square.unflatten(0, (-1, 16)).unflatten(2, (-1, 16)).transpose(1, 2).reshape(*grid, 16, 16)
    np.testing.assert_allclose(ours, patches.transpose(1, 2).reshape(16 * grid[0], 16 * grid[1]), atol=1e-4)


@pytest.mark.parametrize("layers", [[3, 6], [3, 6, 6], [6, 3, 9], [3, 6, 12], [-1, 3, 6], "369", []])
def test_layers_that_do_not_fit_are_refused(network: CLIPSegForImageSegmentation, layers: object) -> None:
    with pytest.raises(ValueError, match=r"extract_layers \[.*\]: expected 3 rising block numbers from 0 to 11"):
        CLIPSeg(network, layers)


def test_pixels_that_are_no_multiple_of_the_patch_are_refused(model: CLIPSeg) -> None:
    with pytest.raises(ValueError, match="pixels of 96x100: expected multiples of the patch size 16"):
        model.encode_image(torch.zeros(1, 3, 96, 100))
