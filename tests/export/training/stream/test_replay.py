from collections import Counter

import pytest

from export.training.stream import Replay


def stream(order, rounds):
    return [use for number in range(rounds) for use in order.round(number)]


def test_every_sample_is_used_as_often_as_asked():
    order = Replay(seed=3, per_sequence=2, replay=3, block=4)
    uses = Counter((use.sequence, use.slot) for use in stream(order, 14))
    # Sequences 0 to 31 have been through all of their 6 rounds.
    assert all(uses[sequence, slot] == 3 for sequence in range(32) for slot in (0, 1))


def test_two_uses_of_a_sequence_are_at_least_half_a_round_apart():
    order = Replay(seed=0, per_sequence=3, replay=2, block=8)
    last, nearest = {}, 10**9
    for position, use in enumerate(stream(order, 30)):
        if use.sequence in last and position >= order.start_of_round(order.uses):
            nearest = min(nearest, position - last[use.sequence])
        last[use.sequence] = position
    assert nearest >= order.block * order.uses // 2 - order.uses


def test_sequences_are_first_needed_in_the_order_in_which_they_are_rendered():
    first = list(dict.fromkeys(use.sequence for use in stream(Replay(seed=5, per_sequence=4), 12)))
    assert first == sorted(first)


def test_the_last_use_is_marked_once():
    order = Replay(seed=1, per_sequence=2, replay=2, block=2)
    seen = stream(order, 12)
    for sequence in range(10):
        uses = [use.is_last for use in seen if use.sequence == sequence]
        assert uses == [False, False, False, True]


@pytest.mark.parametrize(("per_sequence", "replay", "block"), [(1, 1, 2), (3, 2, 4), (6, 4, 5)])
def test_positions_and_rounds_agree(per_sequence, replay, block):
    order = Replay(seed=0, per_sequence=per_sequence, replay=replay, block=block)
    start = 0
    for number in range(3 * order.uses):
        assert order.start_of_round(number) == start
        length = len(order.round(number))
        assert {order.round_at(start), order.round_at(start + length - 1)} == {number}
        start += length


def test_what_is_needed_later_is_never_older_than_it_says():
    order = Replay(seed=2, per_sequence=2, replay=2, block=3)
    seen = stream(order, 12)
    for position in range(len(seen)):
        assert min(use.sequence for use in seen[position:]) >= order.first_sequence(position)


def test_a_seed_decides_the_order():
    rounds = [Replay(seed=seed, per_sequence=4, replay=2).round(9) for seed in (0, 0, 1)]
    assert rounds[0] == rounds[1] != rounds[2]
