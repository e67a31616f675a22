"""Which workers are asked next."""

from autoscale.poll_sample import SAMPLE, PollSample


def fleet(machines: int) -> dict[str, str]:
    return {f"i-{n:04d}": f"app-tier-instance@i-{n:04d}" for n in range(machines)}


def test_small_fleets_are_asked_as_a_whole() -> None:
    assert PollSample().choose(fleet(SAMPLE)) == {}


def test_every_worker_of_a_large_fleet_is_asked_in_turn() -> None:
    nodes, sample = fleet(4 * SAMPLE), PollSample()
    rounds = []
    for _ in range(4):
        rounds.append(sample.choose(nodes))
        sample.answered(nodes.values())
    assert {len(each) for each in rounds} == {SAMPLE}
    assert {machine for each in rounds for machine in each} == nodes.keys()


def test_silent_worker_is_asked_again_at_once_and_others_go_on() -> None:
    nodes, sample = fleet(1000), PollSample()
    first = sample.choose(nodes)
    silent = min(first)
    sample.answered([node for machine, node in nodes.items() if machine != silent])
    second = sample.choose(nodes)
    assert silent in second
    assert len(second.keys() - first.keys()) == SAMPLE - 1


def test_fleet_of_which_none_answers_is_still_asked_in_turn() -> None:
    nodes, sample = fleet(10 * SAMPLE), PollSample()
    seen: set[str] = set()
    for _ in range(20):
        seen |= sample.choose(nodes).keys()
        sample.answered(())
    assert seen == nodes.keys()
