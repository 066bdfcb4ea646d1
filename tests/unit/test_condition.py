"""`when:` of an adaptation: true, false, or a message that says what can be written."""

from __future__ import annotations

import pytest

from lab.condition import holds
from lab.platform import Platform

PLATFORM = Platform(
    name="debian-12",
    title="Debian 12",
    family="debian",
    suite="bookworm",
    versions={"pacemaker": "2.1.5", "pcs": "0.11.5", "openssh": "9.2"},
    packages={},
)


@pytest.mark.parametrize(
    "condition",
    [
        "pcs >= 0.10",  # as versions, not as numbers or text: 0.11 is above 0.9 too
        "pcs > 0.9",
        "pcs<1",
        "pcs == 0.11.5",
        "pcs != 0.11",
        "openssh == 9.2.0",
        "openssh <= 9.2",
        "openssh >= 9.2",
        "family == debian",
        "family != redhat",
        "platform == debian-12",
        "platform != debian-13",
        "family == debian and pacemaker < 3.0",
        "  family == debian   and   pcs >= 0.10  and pcs < 0.12 ",
    ],
)
def test_true(condition: str) -> None:
    assert holds(condition, PLATFORM) is True


@pytest.mark.parametrize(
    "condition",
    [
        "pcs < 0.9",
        "pcs > 0.11.5",
        "pcs < 0.11.5",
        "openssh != 9.2",
        "family == redhat",
        "family != debian",
        "platform == debian-13",
        "family == debian and pacemaker >= 3.0",
        "pacemaker >= 3.0 and family == debian",
    ],
)
def test_false(condition: str) -> None:
    assert holds(condition, PLATFORM) is False


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "pcs",
        "pcs 0.10",
        "pcs => 0.10",
        "pcs = 0.10",
        "pcs >= 0.10 or family == debian",
        "pcs >= 0.10 and",
        "and pcs >= 0.10",
        "0.10 <= pcs",
        "family is debian",
    ],
)
def test_unreadable(condition: str) -> None:
    with pytest.raises(ValueError, match="is not a condition: write NAME OPERATOR VALUE"):
        holds(condition, PLATFORM)


def test_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="'pcsd >= 1': pcsd is not known of debian-12") as caught:
        holds("pcsd >= 1", PLATFORM)
    assert str(caught.value).endswith("valid: family, guests, platform, pacemaker, pcs, openssh")


def test_unknown_family_is_an_error_and_not_just_false() -> None:
    with pytest.raises(ValueError, match="family is one of: debian, redhat"):
        holds("family == debain", PLATFORM)


@pytest.mark.parametrize("sign", ["<", ">", "<=", ">="])
def test_words_have_no_order(sign: str) -> None:
    with pytest.raises(ValueError, match="== and != only"):
        holds(f"family {sign} debian", PLATFORM)


def test_value_that_is_no_version() -> None:
    with pytest.raises(ValueError, match="'pcs >= new': new is not a version"):
        holds("pcs >= new", PLATFORM)


def test_what_follows_a_false_term_is_read_too() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        holds("family == redhat and nonsense", PLATFORM)
