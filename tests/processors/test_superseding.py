"""Which decision takes the place of which, from what was said."""

import pytest

from domain.memory import MemoryDraft
from domain.session import Turn
from processors.extracting import extract
from processors.superseding import Statement, looks_for, may_replace, replaces
from processors.tasking import about_decision


def heard(text: str) -> MemoryDraft:
    found = [draft for draft in extract([Turn("Ann", text, "user")]) if draft.type in ("decision", "idea")]
    assert len(found) == 1, found
    return found[0]


def statement(text: str) -> Statement:
    draft = heard(text)
    return Statement.of(draft.type, draft.title, draft.quote, draft.content)


REPLACED = [
    ("Let's use SQLite.", "Let's use Postgres instead of SQLite."),
    ("I've decided we use SQLite for storage.", "We decided on Postgres, not SQLite."),
    ("Let's go with SQLite.", "Let's go with Postgres over SQLite."),
    ("Let's use SQLite.", "Let's use Postgres rather than SQLite."),
    ("Let's use SQLite for storage.", "I changed my mind, let's use Postgres for storage."),
    ("Let's use SQLite for storage.", "Actually let's use Postgres for storage."),
    ("I've decided to ship on Monday.", "Actually, let's ship on Tuesday."),
    ("Let's use MySQL instead of Postgres.", "Let's switch back to Postgres."),
    ("Let's use MySQL instead of SQLite.", "Let's revert to SQLite."),
    ("We decided on planes, not trains.", "Let's go with trains after all."),
    ("Let's use SQLite for storage.", "Let's use Postgres for storage instead."),
    ("I've decided we use Redis.", "Let's not use Redis after all."),
    ("I've decided we use Redis for the session store.", "We're not using Redis any more."),
    ("I've decided we use Redis.", "Scrap the Redis idea."),
    ("What if we use Redis for the session store?", "Scrap the Redis idea."),
    ("I've decided we use Redis.", "Let's scrap the idea of using Redis."),
    ("I've decided we use Redis.", "Let's drop Redis."),
    ("I've decided we use Redis.", "We no longer use Redis."),
    ("I've decided we use Redis.", "We've decided against Redis."),
    ("I've decided we use Redis.", "Let's revert the decision on Redis."),
    ("I've decided we use Redis.", "We decided not to use Redis."),
    ("Let's not use Redis after all.", "Actually let's use Redis after all."),
]
BESIDE = [
    ("Let's use SQLite.", "Let's use Postgres."),  # no word of a change
    ("Let's use SQLite for storage.", "Let's use Postgres for storage."),
    ("Let's use SQLite.", "Actually let's use Postgres."),  # nothing shared
    ("Let's use SQLite.", "Let's use Postgres instead of MySQL."),
    ("Let's use Postgres for storage.", "Actually let's use Postgres for storage."),  # says the same
    ("Let's use Postgres for storage and search.", "Actually let's use Postgres for storage."),
    ("Let's use Postgres instead of SQLite.", "Let's use MySQL instead of SQLite."),  # was not for SQLite
    ("Let's use Valkey instead of Redis.", "Let's not use Redis after all."),  # agrees
    ("We decided not to use Redis.", "Scrap the Redis idea."),  # agrees
    ("Let's use SQLite for tests.", "Let's use Postgres instead of SQLite for production."),
    ("I've decided to ship the app on Monday.", "Actually let's ship the docs to the printer on Tuesday."),
    ("I've decided we use Redis.", "We decided not to ship the adapter before the audit."),
    ("What if we use SQLite?", "Let's use Postgres instead of SQLite."),  # an idea is not decided
    ("I've decided we use Redis.", "Let's drop the newsletter."),
]


@pytest.mark.parametrize(("old", "new"), REPLACED)
def test_what_says_that_it_replaces_something_does(old: str, new: str) -> None:
    assert may_replace(statement(new))
    assert replaces(statement(new), statement(old))


@pytest.mark.parametrize(("old", "new"), BESIDE)
def test_what_is_only_about_the_same_stands_beside_it(old: str, new: str) -> None:
    assert not (may_replace(statement(new)) and replaces(statement(new), statement(old)))


def test_a_change_looks_elsewhere_for_more_than_a_word_of_its_subject() -> None:
    assert looks_for(statement("Let's use Postgres instead of SQLite.")) == ["sqlite"]
    assert looks_for(statement("Scrap the Redis idea.")) == ["redis"]
    assert looks_for(statement("Actually let's use Postgres for file storage.")) == [
        "file postgres",
        "file storage",
        "postgres storage",
    ]


def about(*texts: str) -> str | None:
    drafts = extract([Turn("Ann", text, "user") for text in texts])
    item = next(place for place, draft in enumerate(drafts) if draft.type == "action_item")
    place = about_decision(item, drafts)
    return None if place is None else drafts[place].title


@pytest.mark.parametrize(
    ("texts", "title"),
    [
        (("Let's use Redis. Add a task: set up Redis.",), "Use Redis"),
        (("Let's use Redis.", "Let's use Vue.", "Add a task: set up Redis."), "Use Redis"),
        (("I've decided we use Carbon Interface.", "Add a task: look up its prices."), "We use Carbon Interface"),
        (("Add a task: set up Redis.", "Let's use Redis."), "Use Redis"),
        (("Let's use Redis.", "Add a task: call the plumber."), None),
        (("Let's use the Redis API.", "Add a task: document the API."), None),
        (("Let's use Redis.", "Hm.", "Well.", "Yes.", "Add a task: look up its prices."), None),  # too long ago
        (("Add a task: look up its prices.", "Let's use Redis."), None),
    ],
)  # fmt: skip
def test_an_action_item_is_about_the_decision_whose_words_it_shares(texts: tuple[str, ...], title: str | None) -> None:
    assert about(*texts) == title
