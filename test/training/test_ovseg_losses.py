# SPDX-License-Identifier: Apache-2.0
"""OVSeg's losses against the authors' numbers, gradients among them, and by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel

from clipseg_ros.models import ovseg_checkpoint
from clipseg_ros.models.maskformer import Proposals, Proposed
from clipseg_ros.training.ovseg_losses import Truth, clamp_scale, contrastive, proposal_losses
from clipseg_ros.training.ovseg_task import proposal_pixels

GOLDEN = Path(__file__).parents[1] / "golden" / "ovseg"
NAMES = ("ce", "mask", "dice")

TWO_RANKS = """
import sys, torch
from torch import distributed
from clipseg_ros.training.ovseg_losses import contrastive
rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
images, texts = torch.load(f"{folder}/vectors.pt")
own = images[2 * rank : 2 * rank + 2].requires_grad_()
loss = contrastive(own, texts[2 * rank : 2 * rank + 2], torch.tensor(1.0))
loss.backward()
torch.save((loss.detach(), own.grad), f"{folder}/{rank}.pt")
"""


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "ovseg_losses.npz"))


def found(golden: dict[str, np.ndarray]) -> Proposed:
    def layer(vectors: str, masks: str) -> Proposals:
        return Proposals(torch.from_numpy(golden[vectors]), torch.from_numpy(golden[masks]))

    earlier = tuple(layer(f"aux{index}_embeddings", f"aux{index}_mask_logits") for index in range(2))
    return Proposed(layer("proposal_embeddings", "mask_logits"), earlier)


def truth(golden: dict[str, np.ndarray]) -> Truth:
    return Truth(torch.from_numpy(golden["gt_masks"]).float(), torch.from_numpy(golden["gt_labels"]))


def test_every_layers_losses_and_their_gradient_are_the_references(golden: dict[str, np.ndarray]) -> None:
    row = torch.from_numpy(golden["non_object_embedding"]).requires_grad_()
    parts = proposal_losses(found(golden), torch.from_numpy(golden["text"]), row, [truth(golden)])
    for layer, end in zip(parts, ("", "_0", "_1"), strict=True):
        expected = [float(golden[f"loss_{name}{end}"]) for name in NAMES]
        assert [part.item() for part in layer] == pytest.approx(expected, rel=1e-4)
    total = sum(layer.weighted() for layer in parts)
    assert total.item() == pytest.approx(float(golden["loss_total_weighted"]), rel=1e-4)
    total.backward()
    expected = torch.from_numpy(golden["non_object_gradient"])
    torch.testing.assert_close(row.grad, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_gradients_reach_every_part_of_the_network_as_in_the_reference(golden: dict[str, np.ndarray]) -> None:
    text = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "vocab_size": 529}
    vision = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 5, "num_attention_heads": 4}
    clip = CLIPModel(CLIPConfig(
        text_config={**text, "intermediate_size": 96, "bos_token_id": 527, "eos_token_id": 528},
        vision_config={**vision, "patch_size": 32, "image_size": 224}, projection_dim=16,
    ))
    authors = {name: tensor.float() for name, tensor in load_file(GOLDEN / "ovseg_tiny_weights.safetensors").items()}
    network = ovseg_checkpoint.join(authors, clip, heads=4).proposer.eval().requires_grad_(True)
    pixels = torch.zeros(1, 3, 64, 96)
    image = np.load(GOLDEN / "ovseg_tiny.npz")["image"]
    pixels[..., :90] = proposal_pixels(torch.from_numpy(image).permute(1, 2, 0)[None])
    parts = proposal_losses(network(pixels, aux=True), torch.from_numpy(golden["text"]), network.no_object,
                            [truth(golden)])
    sum(layer.weighted() for layer in parts).backward()
    attention = network.decoder.transformer.layers[0].self_attn
    found = {
        "backbone.patch_embed.proj.weight": network.backbone.model.embeddings.patch_embeddings.projection.weight.grad,
        "clip_adapter.non_object_embedding": network.no_object.grad,
        "sem_seg_head.predictor.class_embed.layers.1.weight": network.class_embed[2].weight.grad,
        "sem_seg_head.predictor.query_embed.weight": network.decoder.queries.weight.grad,
        "sem_seg_head.predictor.transformer.decoder.layers.0.self_attn.in_proj_weight": torch.cat(
            [getattr(attention, f"{name}_proj").weight.grad for name in "qkv"]
        ),
    }
    expected = load_file(GOLDEN / "ovseg_tiny_grads.safetensors")
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        # The first layer attends to a target of zeros: all its values are alike, its gradients are rounding errors.
        scale = max(gradient.abs().max().item(), 0.1)
        torch.testing.assert_close(found[name], gradient, rtol=0.0, atol=1e-4 * scale, msg=name)


def one_mask(logits: torch.Tensor, masks: torch.Tensor) -> list[float]:
    texts = torch.eye(3)[:2]
    vectors = torch.eye(3)[[0, 2, 2]][None]
    layer = Proposed(Proposals(vectors, logits[None]), ())
    labels = torch.zeros(len(masks), dtype=torch.int64)
    (parts,) = proposal_losses(layer, texts, torch.eye(3)[2:], [Truth(masks, labels)])
    return [part.item() for part in parts]


def test_right_proposals_cost_nothing_and_dice_forgives_a_pixel() -> None:
    masks = torch.zeros(1, 8, 8)
    masks[0, :, :4] = 1.0
    logits = torch.full((3, 8, 8), -40.0)
    logits[0, :, :4] = 40.0
    assert one_mask(logits, masks) == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    # Even chances everywhere: focal 0.5 (0.25 + 0.75) / 2 of 0.25 ln 2; dice 1 - (2 * 16 + 1) / (32 + 32 + 1).
    entropy, focal, dice = one_mask(torch.where(logits > 0, 0.0, torch.zeros(())), masks)
    assert focal == pytest.approx(0.5 * 0.25 * math.log(2.0)) and dice == pytest.approx(1.0 - 33.0 / 65.0)


def test_a_picture_that_shows_no_class_teaches_no_object_alone() -> None:
    entropy, focal, dice = one_mask(torch.zeros(3, 8, 8), torch.zeros(0, 8, 8))
    assert (focal, dice) == (0.0, 0.0)
    assert entropy == pytest.approx(100.0 / 3.0)  # one of three is sure of class 0, and all weigh the same


def test_pictures_belong_to_their_own_words() -> None:
    vectors, scale = torch.eye(4), torch.tensor(3.0)
    expected = math.log(math.exp(math.exp(3.0)) + 3.0) - math.exp(3.0)
    assert contrastive(vectors, vectors, scale).item() == pytest.approx(expected, abs=1e-6)
    assert contrastive(vectors, vectors[[1, 0, 3, 2]], scale).item() == pytest.approx(math.exp(3.0), rel=1e-6)
    assert contrastive(vectors[:1].expand(4, -1), vectors[:1].expand(4, -1), scale).item() == pytest.approx(math.log(4))


def test_two_processes_compare_with_the_words_of_both(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images, texts = torch.nn.functional.normalize(torch.randn(2, 4, 8), dim=-1)
    torch.save((images, texts), tmp_path / "vectors.pt")
    running = [
        subprocess.Popen([sys.executable, "-c", TWO_RANKS, str(rank), str(tmp_path)], cwd=Path(__file__).parents[2])
        for rank in range(2)
    ]
    assert [one.wait(120) for one in running] == [0, 0]
    whole = images.clone().requires_grad_()
    loss = contrastive(whole, texts, torch.tensor(1.0))
    loss.backward()
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for value, _ in parts:
        torch.testing.assert_close(value, loss.detach())
    # The loop takes the mean of the gradients of both.
    torch.testing.assert_close(torch.cat([gradient for _, gradient in parts]) / 2.0, whole.grad)


@pytest.mark.parametrize(("value", "kept"), [(-1.0, 0.0), (2.0, 2.0), (9.0, math.log(100.0))])
def test_the_scale_stays_between_1_and_100(value: float, kept: float) -> None:
    scale = torch.nn.Parameter(torch.tensor(value))
    clamp_scale(scale)
    assert scale.item() == pytest.approx(kept)
