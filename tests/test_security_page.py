"""docs/security.md names what is there: a defence that was renamed or removed is noticed."""

import re

from tests.conftest import ROOT

THREATS = {"A forged webhook", "A replay", "A stolen token", "A hostile transcript", "Hostile output of an agent"}
THREATS |= {"Somebody in Redis", "SSRF", "XSS", "The supply chain"}
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


def test_the_tests_and_modules_that_it_names_exist() -> None:
    written = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    tests = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(tests) > 40
    assert {name for name in tests if f"def {name}(" not in written} == set()
    files = set(re.findall(r"`([\w/]+\.(?:py|sql))`", PAGE))
    assert len(files) > 20
    assert {name for name in files if not (ROOT / name).is_file()} == set()


def test_every_threat_says_what_defends_it() -> None:
    sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)+)", PAGE, re.MULTILINE))
    assert set(sections) >= THREATS
    for threat in THREATS:
        assert re.search(r"`\w+/[\w/]+\.\w+`", sections[threat]), threat
        assert "`test_" in sections[threat], threat


def test_it_is_two_pages() -> None:
    assert len(PAGE.split()) < 1400
