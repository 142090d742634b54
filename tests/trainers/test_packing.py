"""Packing: full packs, few copies of prompts, one mask in two forms, and the same gradients."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packs import group, random_groups

from tclue.bench.models.local import TINY
from tclue.errors import UserError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tclue_grpo.build import load_policy  # noqa: E402
from tclue_grpo.packing import PADDING, Pack, block_mask, dense_mask, mask_mod, pack_groups  # noqa: E402  # noqa: E402
from tclue_grpo.policy import HfPolicy  # noqa: E402
from tclue_grpo.rollout import Group  # noqa: E402

pytestmark = pytest.mark.model

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn.attention.flex_attention import BlockMask


def published_prompt(rng: random.Random) -> int:
    """324 to 3,364 tokens, 997 in the median: the published prompts in Qwen 2.5's vocabulary."""
    return int(min(3364, max(324, rng.lognormvariate(6.905, 0.5))))


def tiny_prompt(_: random.Random) -> int:
    return 96


class Shape(NamedTuple):
    """A batch: the arguments of `random_groups`, and the length of packs."""

    arguments: tuple[int, int, Callable[[random.Random], int], tuple[int, int]]
    length: int


SHAPES = pytest.mark.parametrize(
    "shape",
    [
        Shape((12, 50, published_prompt, (200, 4000)), 16384),
        Shape((32, 16, published_prompt, (200, 4000)), 16384),
        Shape((24, 16, tiny_prompt, (17, 206)), 2048),
        Shape((32, 8, tiny_prompt, (17, 206)), 2048),
    ],
    ids=["published", "small groups", "tiny", "tiny, small groups"],
)


def shared_tokens(groups: list[Group]) -> int:
    """The number of tokens if each prompt is computed once."""
    return sum(
        len(group.prompt) + sum(len(r.sample.ids) for r in group.responses) for group in groups
    )


@pytest.mark.slow
@SHAPES
def test_padded_packs_are_full_and_near_the_sharing_bound(shape: Shape) -> None:
    length = shape.length
    groups = random_groups(1, *shape.arguments)
    packs = pack_groups(groups, length, pad_to=length)
    assert all(len(p.ids) == length for p in packs)
    full = [int((p.group != PADDING).sum()) / length for p in packs[:-1]]
    assert sum(full) / len(full) >= 0.97
    assert shared_tokens(groups) / (length * len(packs)) >= 0.90


@pytest.mark.slow
@SHAPES
def test_unpadded_packs_hold_no_padding_and_fewer_tokens(shape: Shape) -> None:
    length = shape.length
    groups = random_groups(1, *shape.arguments)
    packs = pack_groups(groups, length)
    assert all(bool((p.group != PADDING).all()) for p in packs)
    executed = sum(len(p.ids) for p in packs)
    assert executed < sum(len(p.ids) for p in pack_groups(groups, length, pad_to=length))
    assert shared_tokens(groups) / executed >= 0.90


# The tokens before a target, the target, and the numbers that go with it.
Target = tuple[float, ...]


def targets(packs: list[Pack]) -> Counter[Target]:
    """How often each target is in the packs."""
    counts: Counter[Target] = Counter()
    for p in packs:
        sees = dense_mask(p)
        for number, source in enumerate(p.source.tolist()):
            seen = sees[source].nonzero()[:, 0]
            before = p.ids[seen].tolist()
            assert p.positions[seen].tolist() == list(range(len(before)))
            length = int(p.lengths[p.target_response[number]])
            numbers = (p.advantage[number], p.sampler_logprob[number], p.mask[number])
            counts[(*before, int(p.target_ids[number]), length, *map(float, numbers))] += 1
    return counts


tokens = st.lists(st.integers(0, 9), min_size=1, max_size=12)
groups_of_tokens = st.lists(st.tuples(tokens, st.lists(tokens, max_size=6)), max_size=5)


@settings(max_examples=60, deadline=None)
@given(groups_of_tokens, st.integers(24, 60), st.booleans(), st.booleans())
def test_each_response_token_is_a_target_once_after_its_own_prompt(
    token_groups: list[tuple[list[int], list[list[int]]]],
    length: int,
    padded: bool,
    train_end: bool,
) -> None:
    groups = [group(prompt, responses) for prompt, responses in token_groups]
    packs = pack_groups(groups, length, length if padded else None, train_end=train_end)
    assert all(len(p.ids) <= length for p in packs)
    expected: Counter[Target] = Counter()
    for one_group in groups:
        for response in one_group.responses:
            ids = response.sample.ids
            for i, token, logprob in zip(count(), ids, response.sample.logprobs, strict=False):
                mask = float(train_end or i < len(ids) - 1)
                numbers = torch.tensor([response.advantage, logprob, mask]).tolist()
                expected[(*one_group.prompt, *ids[:i], token, len(ids), *numbers)] += 1
    assert targets(packs) == expected


def test_truncated_responses_are_masked_if_asked() -> None:
    groups = [
        group([1, 2], [[3, 4, 5]], "stop"),
        group([1, 2], [[6, 7]], "length"),
        group([1, 2], [[8, 9]], "degenerate"),
    ]
    (masked,) = pack_groups(groups, 100)
    assert dict(zip(masked.target_ids.tolist(), masked.mask.tolist(), strict=True)) == {
        **dict.fromkeys([3, 4, 5, 8, 9], 1.0),
        **dict.fromkeys([6, 7], 0.0),
    }
    (unmasked,) = pack_groups(groups, 100, mask_truncated=False, train_end=False)
    assert unmasked.target_ids[unmasked.mask == 0].tolist() == [5]


def test_what_does_not_fit_is_told_in_numbers() -> None:
    with pytest.raises(UserError, match=r"is 10: .* 11, .* prompt of 3 tokens and a response of 8"):
        pack_groups([group([1, 2, 3], [[4], [5] * 8])], 10)


def blocks_that_are_full(blocks: BlockMask) -> tuple[Tensor, Tensor]:
    assert blocks.full_kv_num_blocks is not None
    assert blocks.full_kv_indices is not None
    return blocks.full_kv_num_blocks, blocks.full_kv_indices


def test_the_block_mask_is_the_dense_one() -> None:
    # two groups and padding, over several blocks of 128
    groups = random_groups(0, 2, 4, tiny_prompt, (17, 120))
    (p,) = pack_groups(groups, 1536, pad_to=1536)
    blocks = block_mask(p)
    dense = dense_mask(p)
    sees = mask_mod(p)
    rebuilt = torch.zeros_like(dense)
    partial_blocks, full_blocks = (
        (blocks.kv_num_blocks, blocks.kv_indices),
        blocks_that_are_full(blocks),
    )
    for (numbers, indices), is_full in ((partial_blocks, False), (full_blocks, True)):
        for row, columns in enumerate(indices[0, 0].tolist()):
            for column in columns[: int(numbers[0, 0, row])]:
                rows = torch.arange(row * 128, row * 128 + 128)[:, None]
                keys = torch.arange(column * 128, column * 128 + 128)[None, :]
                zero = torch.zeros((), dtype=torch.int64)
                rebuilt[rows, keys] = sees(zero, zero, rows, keys) | is_full
    assert torch.equal(rebuilt, dense)
    # many blocks are absent: masked tokens are not computed
    assert int(partial_blocks[0].sum() + full_blocks[0].sum()) < 12 * 13 / 2


def gradients(policy: HfPolicy, packs: list[Pack]) -> dict[str, Tensor]:
    """Gradients of a mean over all responses that uses log-probabilities and entropies."""
    policy.zero_grad()
    responses = sum(len(p.lengths) for p in packs)
    for p in packs:
        stats = policy(p)
        weight = p.mask / p.lengths[p.target_response] / responses
        loss = (weight * (p.advantage * stats.logprobs + 0.1 * stats.entropy)).sum()
        loss.backward()
    gradients = {name: weight.grad for name, weight in policy.named_parameters()}
    return {name: gradient.clone() for name, gradient in gradients.items() if gradient is not None}


@pytest.mark.slow
@pytest.mark.parametrize("pad_to", [None, 768])
def test_packed_gradients_are_the_unpacked_ones(pad_to: int | None) -> None:
    groups = random_groups(1, 3, 4, lambda rng: rng.randint(60, 130), (17, 90))
    packs = pack_groups(groups, 768, pad_to)
    assert len(packs) == 2
    assert max(len(p.lengths) for p in packs) > 4  # several groups in one
    single_packs = [
        pack
        for one_group in groups
        for response in one_group.responses
        for pack in pack_groups([Group(one_group.puzzle, one_group.prompt, [response])], 1024)
    ]
    policy = load_policy(str(TINY))
    packed, unpacked = gradients(policy, packs), gradients(policy, single_packs)
    assert len(packed) == 51
    for name, gradient in unpacked.items():
        assert gradient.abs().max() > 1e-4, name
        torch.testing.assert_close(packed[name], gradient, rtol=0, atol=1e-5, msg=name)
