"""A split is disjoint, complete, keeps groups whole, and follows from seed and names alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anomaly.core.data.split import split
from napari_anomaly.core.errors import DataError
from napari_anomaly.core.types import Sample


def _samples(*names):
    return tuple(Sample(Path(name), name) for name in names)


def _names(samples):
    return [sample.name for sample in samples]


parts = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 99)), min_size=2, max_size=40, unique=True
).filter(lambda pairs: len({part for part, _ in pairs}) > 1)
shares = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32)


@given(pairs=parts, share=shares, seed=seeds)
def test_disjoint_complete_grouped(pairs, share, seed):
    samples = _samples(*(f"part{part}_{shot}.png" for part, shot in pairs))
    halves = split(samples, calibration=share, seed=seed, group=r"part(\d+)_")
    train, held = _names(halves.train), _names(halves.calibration)
    assert sorted(train + held) == sorted(_names(samples))
    assert train
    assert held
    assert not {n.split("_")[0] for n in train} & {n.split("_")[0] for n in held}


@given(pairs=parts, share=shares, seed=seeds, data=st.data())
def test_the_order_of_the_samples_does_not_matter(pairs, share, seed, data):
    samples = _samples(*(f"{part}-{shot}.png" for part, shot in pairs))
    shuffled = data.draw(st.permutations(samples))
    one = split(samples, calibration=share, seed=seed)
    two = split(shuffled, calibration=share, seed=seed)
    assert set(one.calibration) == set(two.calibration)
    assert one.train == tuple(sample for sample in samples if sample in set(one.train))


@given(n=st.integers(2, 60), share=shares, seed=seeds)
def test_the_share_of_single_images_is_met(n, share, seed):
    samples = _samples(*(f"{k}.png" for k in range(n)))
    held = len(split(samples, calibration=share, seed=seed).calibration)
    assert held == min(max(1, round(share * n)), n - 1)


@given(seed=seeds)
def test_pages_of_one_file_stay_together(seed):
    files = [Path(f"{k}.tif") for k in range(4)]
    samples = [
        Sample(file, f"{file.name}[{page}]" if page else file.name, page=page)
        for file in files
        for page in range(3)
    ]
    halves = split(samples, seed=seed)
    assert len(halves.calibration) == 3
    assert len({sample.path for sample in halves.calibration}) == 1
    by_page = split(samples, seed=seed, group="(.*)")
    assert not {s.path for s in by_page.train} & {s.path for s in by_page.calibration}


def test_seeds_differ_and_names_decide():
    samples = _samples(*(f"{k:03d}.png" for k in range(40)))
    chosen = {tuple(_names(split(samples, seed=seed).calibration)) for seed in range(20)}
    assert len(chosen) == 20


def test_every_image_is_held_out_by_about_a_quarter_of_the_seeds():
    samples = _samples(*(f"{k}.png" for k in range(20)))
    counts = dict.fromkeys(_names(samples), 0)
    for seed in range(400):
        for sample in split(samples, seed=seed).calibration:
            counts[sample.name] += 1
    # binomial(400, 1/4): mean 100, spread 8.7; five spreads each way
    assert 57 <= min(counts.values()) <= max(counts.values()) <= 143


def test_the_choice_is_the_same_on_every_machine():
    """Worked out with hashlib.blake2b of b"7:0.png" ... and sorted() in a Python shell."""
    import hashlib

    names = [f"{k}.png" for k in range(8)]
    order = sorted(names, key=lambda name: hashlib.blake2b(b"7:" + name.encode()).hexdigest())
    held = split(_samples(*names), seed=7, calibration=0.25).calibration
    assert sorted(_names(held)) == sorted(order[:2])


def test_more_images_move_few_of_the_old_ones():
    old = _samples(*(f"{k}.png" for k in range(100)))
    new = _samples(*(f"{k}.png" for k in range(104)))
    before = set(_names(split(old).calibration))
    after = set(_names(split(new).calibration))
    assert len(before - after) <= 4


def test_the_whole_match_is_the_group_where_the_expression_has_none():
    samples = _samples("a1.png", "a2.png", "b1.png", "b2.png")
    halves = split(samples, group="^[ab]", calibration=0.5)
    assert {name[0] for name in _names(halves.calibration)} in ({"a"}, {"b"})
    assert len(halves.calibration) == 2


def test_groups_larger_than_the_share_leave_the_smallest_for_calibration():
    samples = _samples("a1.png", "a2.png", "a3.png", "b1.png", "b2.png")
    assert _names(split(samples, group="^(.)", calibration=0.1).calibration) == ["b1.png", "b2.png"]


def test_names_that_are_not_utf8_can_be_split():
    halves = split(_samples("caf\udce9.png", "b.png"))
    assert len(halves.calibration) == len(halves.train) == 1


TWO = _samples("part1.png", "part2.png")
REFUSED = {
    "none": ((), {}, "0 normal image.* in 0 group.*expected at least 2"),
    "one": (TWO[:1], {}, "1 normal image.* in 1 group.*expected at least 2"),
    "one group": (TWO, {"group": "part"}, "2 normal image.* in 1 group.*change the grouping"),
    "no match": (TWO, {"group": "lot(.)"}, r"'lot\(\.\)' matches 0 of 2 names.*part1\.png"),
    "some match": (TWO, {"group": "2"}, r"matches 1 of 2 names, not for example part1\.png"),
    "no expression": (TWO, {"group": "("}, r"group='\(' is no regular expression"),
    "share 0": (TWO, {"calibration": 0.0}, "calibration=0.0; expected a share between 0 and 1"),
    "share 1": (TWO, {"calibration": 1.0}, "calibration=1.0; expected a share between 0 and 1"),
    "share nan": (TWO, {"calibration": float("nan")}, "expected a share between 0 and 1"),
    "defect": (
        (*TWO, Sample(Path("x.png"), "test/hole/x.png", "test", "hole")),
        {},
        r"1 of the samples show defects \(test/hole/x\.png\); expected normal images only",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_splits_say_why(case):
    samples, choices, pattern = REFUSED[case]
    with pytest.raises(DataError, match=pattern):
        split(samples, **choices)
