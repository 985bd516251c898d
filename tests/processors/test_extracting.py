"""What is heard in a conversation, and what is rightly not."""

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.memory import MEMORY_TYPES, MemoryDraft
from domain.session import Role, Turn
from processors.extracting.cleaning import headline, tags_of
from processors.extracting.hearing import extract
from processors.extracting.sentences import sentences


def user(*texts: str) -> list[Turn]:
    return [Turn("Ann", text, "user") for text in texts]


def heard(*texts: str) -> list[MemoryDraft]:
    turns = user(*texts)
    drafts = extract(turns)
    assert_cites(drafts, turns)
    return drafts


def talk(*lines: tuple[Role, str]) -> list[MemoryDraft]:
    turns = [Turn({"user": "Ann", "assistant": "Pilot"}.get(role, "Ben"), text, role) for role, text in lines]
    drafts = extract(turns)
    assert_cites(drafts, turns)
    return drafts


def assert_cites(drafts: list[MemoryDraft], turns: list[Turn]) -> None:
    for draft in drafts:
        assert draft.turn is not None
        assert draft.quote
        assert turns[draft.turn].text[draft.char_start : draft.char_end] == draft.quote
        assert draft.speaker == turns[draft.turn].speaker
        assert draft.extractor == "rules"
        assert draft.key is None


def only(drafts: list[MemoryDraft]) -> MemoryDraft:
    assert len(drafts) == 1, [(draft.type, draft.title) for draft in drafts]
    return drafts[0]


def types(drafts: list[MemoryDraft]) -> set[str]:
    return {draft.type for draft in drafts}


# Forms that say outright what they are -----------------------------------------------------------------------

OUTRIGHT = [
    ("I've decided to build it as a PWA.", "decision", "Build it as a PWA"),
    ("I've decided that the app stays free.", "decision", "The app stays free"),
    ("I've decided on teal for the charts.", "decision", "Teal for the charts"),
    ("I decided to drop the old importer.", "decision", "Drop the old importer"),
    ("So we decided to ship in June.", "decision", "Ship in June"),
    ("We've decided not to store the audio.", "decision", "Not store the audio"),
    ("We have finally decided to use Postgres.", "decision", "Use Postgres"),
    ("Okay, let's go with the second layout.", "decision", "The second layout"),
    ("We're going with weekly sprints.", "decision", "Weekly sprints"),
    ("We'll go with Postgres then.", "decision", "Postgres"),
    ("I'm going to go with the small plan.", "decision", "The small plan"),
    ("The decision is to keep one database.", "decision", "Keep one database"),
    ("Decision: one database for everything.", "decision", "One database for everything"),
    ("It's decided: we launch on the first.", "decision", "We launch on the first"),
    ("We launch on the first, it's decided.", "decision", "We launch on the first"),
    ("It's been decided that we launch in May.", "decision", "We launch in May"),
    ("I've thought about it and I've decided to pivot.", "decision", "Pivot"),
    ("After talking to Sam we decided to pivot.", "decision", "Pivot"),
    ("Let's just go ahead and use Stripe.", "decision", "Use Stripe"),
    ("We agreed to meet every Tuesday.", "decision", "Meet every Tuesday"),
    ("We agreed that photos are optional.", "decision", "Photos are optional"),
    ("We agreed on a two week trial.", "decision", "A two week trial"),
    ("Let's use SQLite for the prototype.", "decision", "Use SQLite for the prototype"),
    ("Let's use SQLite instead of Postgres.", "decision", "Use SQLite instead of Postgres"),
    ("Green for good, red for bad, final answer.", "decision", "Green for good, red for bad"),
    ("Final answer: green for good.", "decision", "Green for good"),
    ("We picked Frankfurt for the servers.", "decision", "Frankfurt for the servers"),
    ("We chose the cheaper sensor.", "decision", "The cheaper sensor"),
    ("For the storage layer, let's go with SQLite.", "decision", "SQLite for the storage layer"),
    ("Add an action item: look up the sensor prices.", "action_item", "Look up the sensor prices"),
    ("Add a task to write the importer tests.", "action_item", "Write the importer tests"),
    ("Could you add a new task for the release notes?", "action_item", "The release notes"),
    ("Add task: update the changelog.", "action_item", "Update the changelog"),
    ("Please add another high-priority task to rotate the keys.", "action_item", "Rotate the keys"),
    ("Add dog food to my to-do list.", "action_item", "Dog food"),
    ("Dog food is out. Add that to my list.", "action_item", "Dog food is out"),
    ("Add to my to-do list: dog food.", "action_item", "Dog food"),
    ("Dog food is out. Can you add that as a task?", "action_item", "Dog food is out"),
    ("Set a reminder for tomorrow to call the bank.", "action_item", "Call the bank"),
    ("Action item number two: call the bank.", "action_item", "Call the bank"),
    ("We should add a task to call the bank.", "action_item", "Call the bank"),
    ("Put the vet appointment on my list.", "action_item", "The vet appointment"),
    ("Action item: send the draft to legal.", "action_item", "Send the draft to legal"),
    ("Action item for Sam, send the draft to legal.", "action_item", "Send the draft to legal"),
    ("TODO: tests, docs and the changelog.", "action_item", "Tests, docs and the changelog"),
    ("To do: water the plants.", "action_item", "Water the plants"),
    ("Remind me to call the vet.", "action_item", "Call the vet"),
    ("Can you remind me tomorrow to call the vet?", "action_item", "Call the vet"),
    ("Remember to renew the domain.", "action_item", "Renew the domain"),
    ("I need to remember to renew the domain.", "action_item", "Renew the domain"),
    ("Don't forget to renew the domain.", "action_item", "Renew the domain"),
    ("Make a task to clean up the old branches.", "action_item", "Clean up the old branches"),
    ("Create a task for Codex: write the tests.", "action_item", "Write the tests"),
    ("Create a task, benchmark the search.", "action_item", "Benchmark the search"),
    ("I need you to compare the three carbon APIs.", "action_item", "Compare the three carbon APIs"),
    ("Have Claude rename the columns.", "action_item", "Rename the columns"),
    ("Ask Codex to write a migration.", "action_item", "Write a migration"),
    ("Tell Gemini to summarise the thread.", "action_item", "Summarise the thread"),
    ("I have an idea: badges for a week without a car.", "idea", "Badges for a week without a car"),
    ("I have an idea: what if we gave out badges?", "idea", "Gave out badges"),
    ("Idea: a widget for the home screen.", "idea", "A widget for the home screen"),
    ("Open question: who pays for the maps?", "question", "Who pays for the maps"),
    ("The question is whether people want accounts.", "question", "Whether people want accounts"),
    ("The risk is that the API disappears.", "risk", "The API disappears"),
    ("One concern I have is that nobody pays.", "risk", "Nobody pays"),
    ("The biggest risk here is vendor lock-in.", "risk", "Vendor lock-in"),
    ("I'm worried that the import takes hours.", "risk", "The import takes hours"),
    ("I'm a bit worried about the battery.", "risk", "The battery"),
    ("My concern is the size of the photos.", "risk", "The size of the photos"),
    ("Risk: the supplier is a single person.", "risk", "The supplier is a single person"),
    ("The danger is that nobody opens it twice.", "risk", "Nobody opens it twice"),
    ("What worries me is the licence.", "risk", "The licence"),
    ("I prefer dark mode.", "preference", "Dark mode"),
    ("I'd rather walk than drive.", "preference", "Walk than drive"),
    ("My preference is short meetings.", "preference", "Short meetings"),
    ("I always want a summary at the end.", "preference", "Always want a summary at the end"),
    ("I never want push notifications.", "preference", "Never want push notifications"),
    ("Fact: the API allows 100 calls a minute.", "fact", "The API allows 100 calls a minute"),
    ("Remember that the demo is on Tuesday.", "fact", "The demo is on Tuesday"),
    ("The demo is on Tuesday. Remember that.", "fact", "The demo is on Tuesday"),
    ("Remember, the demo is on Tuesday.", "fact", "The demo is on Tuesday"),
    ("For the record, Ben wrote the importer.", "fact", "Ben wrote the importer"),
    ("Note the fact that the licence is MIT.", "fact", "The licence is MIT"),
    ("Note: the key expires in March.", "note", "The key expires in March"),
    ("Please note that the key expires in March.", "note", "The key expires in March"),
    ("Note to self, charge the headset.", "note", "Charge the headset"),
    ("Make a note that the dog is scared of bins.", "note", "The dog is scared of bins"),
    ("Keep in mind that Ben is away in May.", "note", "Ben is away in May"),
    ("The key expires in March. Write that down.", "note", "The key expires in March"),
    ("Write this down: the key expires in March.", "note", "The key expires in March"),
    ("Context: we're three people.", "context", "We're three people"),
    ("For context, we're three people.", "context", "We're three people"),
    ("Background: the old app was native.", "context", "The old app was native"),
    ("The background is that the old app was native.", "context", "The old app was native"),
    ("A bit of context: the old app was native.", "context", "The old app was native"),
    ("Just so you know, the old app was native.", "context", "The old app was native"),
]


@pytest.mark.parametrize(("text", "type", "title"), OUTRIGHT)
def test_what_is_said_outright_is_found(text: str, type: str, title: str) -> None:
    draft = only(heard(text))
    assert (draft.type, draft.title, draft.explicit) == (type, title, True)


@pytest.mark.parametrize(("text", "type", "title"), OUTRIGHT)
def test_hesitation_and_missing_capitals_change_nothing(text: str, type: str, title: str) -> None:
    draft = only(heard("Um, so, " + text[0].lower() + text[1:].replace(" ", ", uh, ", 1)))
    assert draft.type == type


GUESSED = [
    ("We need to fix the flaky tests.", "action_item", "Fix the flaky tests"),
    ("I'll email Sarah the draft.", "action_item", "Email Sarah the draft"),
    ("I'm going to write the announcement.", "action_item", "Write the announcement"),
    ("I have to call the bank.", "action_item", "Call the bank"),
    ("The next step is to import the old data.", "action_item", "Import the old data"),
    ("Somebody should check the licence.", "action_item", "Check the licence"),
    ("Sam will write the docs by Monday.", "action_item", "Write the docs by Monday"),
    ("Can you please look up the emission factors?", "action_item", "Look up the emission factors"),
    ("Claude, can you refactor the parser?", "action_item", "Refactor the parser"),
    ("Codex should write the migration.", "action_item", "Write the migration"),
    ("Let's not use Firebase.", "decision", "Not use Firebase"),
    ("We'll use Postgres for that part.", "decision", "Use Postgres for that part"),
    ("What if we showed it as a tree?", "idea", "Showed it as a tree"),
    ("How about a weekly digest?", "idea", "A weekly digest"),
    ("What about adding a map?", "idea", "Adding a map"),
    ("What about a map?", "idea", "A map"),
    ("I was thinking we could add a map.", "idea", "Add a map"),
    ("I was thinking about adding a map.", "idea", "Adding a map"),
    ("What if instead we cached the maps?", "idea", "Cached the maps"),
    ("Maybe we could scan receipts.", "idea", "Scan receipts"),
    ("It would be cool if it knew my commute.", "idea", "It knew my commute"),
    ("It would be really nice if we could scan receipts.", "idea", "Scan receipts"),
    ("We could group them by week.", "idea", "Group them by week"),
    ("One option is to group them by week.", "idea", "Group them by week"),
    ("Why don't we group them by week?", "idea", "Group them by week"),
    ("What should the default unit be?", "question", "What should the default unit be"),
    ("Did the import finish, by the way?", "question", "Did the import finish, by the way"),
    ("what should the default unit be", "question", "What should the default unit be"),
    ("um is there a way to export the data", "question", "Is there a way to export the data"),
    ("I wonder whether people want accounts.", "question", "Whether people want accounts"),
    ("I was wondering if it works offline.", "question", "If it works offline"),
    ("The nightly sync might break.", "risk", "The nightly sync might break"),
    ("The upload could fail on trains.", "risk", "The upload could fail on trains"),
    ("I like the round icons better.", "preference", "The round icons better"),
    ("I don't like pop-ups.", "preference", "Don't like pop-ups"),
    ("It turns out that the sensor sleeps at night.", "fact", "The sensor sleeps at night"),
    ("The plan costs 20 dollars a month.", "fact", "The plan costs 20 dollars a month"),
    ("It supports offline maps.", "fact", "It supports offline maps"),
    ("The sensor has 12 channels.", "fact", "The sensor has 12 channels"),
    ("We're working on a carbon tracker.", "context", "We're working on a carbon tracker"),
    ("The project is a carbon tracker for families.", "context", "The project is a carbon tracker for families"),
]


@pytest.mark.parametrize(("text", "type", "title"), GUESSED)
def test_what_is_implied_is_found_as_a_guess(text: str, type: str, title: str) -> None:
    draft = only(heard(text))
    assert (draft.type, draft.title, draft.explicit) == (type, title, False)
    assert draft.confidence < 0.85


def test_every_type_can_be_said_and_most_can_be_implied() -> None:
    assert {row[1] for row in OUTRIGHT} == set(MEMORY_TYPES)
    assert {row[1] for row in GUESSED} == set(MEMORY_TYPES) - {"note"}


# What only sounds alike --------------------------------------------------------------------------------------

NOTHING = [
    # negated
    "I haven't decided to use Postgres.",
    "We didn't decide on anything.",
    "We have not decided on a name.",
    "Let's not go with SQLite.",
    "I don't think we decided to do that.",
    "Don't add a task for that.",
    "There's no need to add a task for it.",
    "You don't need to remind me to call.",
    "We don't need to change anything.",
    # supposed
    "If we decided to use Rust it would take longer.",
    "Once we've decided on a name we can print it.",
    "I thought we agreed to skip it.",
    "Let's say we decided to use Rust.",
    "I wish we'd decided to use Postgres.",
    "If we need to scale, it gets expensive.",
    # said by others, of themselves
    "She said they decided to move.",
    "She said let's go with blue.",
    "My boss was like, let's use Oracle.",
    "They decided to move to Ghent.",
    "He said I'll write the docs.",
    # not addressed to anybody who could
    "Users can add a task to the board.",
    "It should remind me to drink, that app.",
    # back-channels and small talk
    "Right?",
    "Okay?",
    "You know?",
    "Huh?",
    "That's good, right?",
    "What was that?",
    "Does that make sense?",
    "You know what I mean?",
    "Can you hear me?",
    "Anything else?",
    "Really? Why not?",
    # nothing to do
    "I picked the kids up at four.",
    "I have to say it looks great.",
    "I have to go now.",
    "We need to be careful.",
    "I'll be there in a minute.",
    "I'll tell you about it later.",
    "That reminds me of the old app.",
    "How about you?",
    "We could do that.",
    "when we get home the dog gets dinner",
    "what i want is simple",
    "",
    "   \n ",
    "…",
]


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_sounds_alike_is_left_alone(text: str) -> None:
    assert heard(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Should we decide on a name now?",
        "Have we decided on a database?",
        "Did we agree to skip it?",
        "We decided on blue?",
    ],
)
def test_asking_about_a_decision_is_a_question(text: str) -> None:
    assert only(heard(text)).type == "question"


@pytest.mark.parametrize("text", ["Let's use a task queue.", "We decided to add a task list to the page."])
def test_a_task_in_the_product_is_no_task_for_us(text: str) -> None:
    assert only(heard(text)).type == "decision"


def test_our_own_decision_counts_when_others_report_it() -> None:
    assert only(heard("Sam told me we decided to use Kafka.")).title == "Use Kafka"


def test_asking_for_agreement_does_not_undo_a_decision() -> None:
    assert only(heard("I've decided to use Postgres, what do you think?")).title == "Use Postgres"


def test_deciding_against_something_is_less_certain() -> None:
    assert only(heard("Let's not use Firebase.")).confidence == 0.6


def test_a_request_counts_only_when_said_to_an_assistant() -> None:
    said = "Can you look up the emission factors?"
    assert only(talk(("user", said))).type == "action_item"
    assert only(talk(("other", said))).type == "question"
    assert only(talk(("other", f"Codex, {said.lower()}"))).type == "action_item"


def test_a_question_that_proposes_something_is_an_idea() -> None:
    assert types(heard("What if we cached it? How about a map?")) == {"idea"}


# Corrections -------------------------------------------------------------------------------------------------

CORRECTED = [
    ("Let's use SQLite, no wait, Postgres.", "Use Postgres"),
    ("let's use sqlite no wait postgres", "Use postgres"),
    ("Let's use SQLite, actually no, let's use Postgres.", "Use Postgres"),
    ("Let's go with SQLite, scratch that, Postgres.", "Postgres"),
    ("Let's use SQLite, I mean Postgres.", "Use Postgres"),
    ("Let's use SQLite, or rather Postgres.", "Use Postgres"),
    ("Let's use SQLite — no, wait — Postgres.", "Use Postgres"),
    ("Let's use SQLite, no wait, MySQL, actually no, Postgres.", "Use Postgres"),
    ("I've decided to use SQLite, sorry, Postgres.", "Use Postgres"),
    ("Remind me to call Bob, no wait, Alice.", "Call Alice"),
    ("Remind me to call Bob tomorrow, actually no, Friday.", "Call Bob Friday"),
    ("Add a task to write tests for the API, no wait, for the importer.", "Write tests for the importer"),
    ("Add a task to write the tests, scratch that, write the docs.", "Write the docs"),
    ("Let's use SQLite. No wait, Postgres.", "Use Postgres"),
    ("Let's use SQLite. No, wait. Postgres.", "Use Postgres"),
    ("Let's use SQLite. Scratch that, let's use Postgres.", "Use Postgres"),
    ("Let's use SQLite. Actually no, let's use Postgres.", "Use Postgres"),
    ("Let's use SQLite. Never mind. Let's use Postgres.", "Use Postgres"),
]


@pytest.mark.parametrize(("text", "title"), CORRECTED)
def test_what_was_said_last_counts(text: str, title: str) -> None:
    assert only(heard(text)).title == title


def test_the_quote_of_a_correction_is_the_whole_of_it() -> None:
    assert only(heard("So. Let's use SQLite, no wait, Postgres. Yes.")).quote == "Let's use SQLite, no wait, Postgres."
    assert only(heard("Let's use SQLite. No wait, Postgres.")).quote == "Let's use SQLite. No wait, Postgres."


@pytest.mark.parametrize(
    "taken_back",
    [
        "Scratch that.",
        "Never mind.",
        "Oh, never mind.",
        "Forget that.",
        "Forget it.",
        "No, cancel that.",
        "Strike that.",
    ],
)
def test_the_memory_before_can_be_taken_back(taken_back: str) -> None:
    assert heard(f"Add a task to call Bob. {taken_back}") == []
    assert heard("Add a task to call Bob.", taken_back) == []


def test_it_can_still_be_taken_back_after_the_assistant_spoke() -> None:
    assert talk(("user", "Add a task to call Bob."), ("assistant", "Done."), ("user", "Scratch that.")) == []


def test_nobody_can_take_back_what_another_said() -> None:
    assert len(talk(("user", "Let's use SQLite."), ("other", "Never mind."))) == 1


def test_only_the_sentence_before_is_taken_back() -> None:
    drafts = heard("Let's use SQLite. Add a task to call Bob. Scratch that.")
    assert only(drafts).title == "Use SQLite"
    assert len(heard("Let's use SQLite. It is small. Forget that.")) == 1


@pytest.mark.parametrize("text", ["Never mind the gap.", "Cancel that subscription.", "Ignore that warning for now."])
def test_what_only_begins_like_taking_back_takes_nothing_back(text: str) -> None:
    assert heard(f"Let's use SQLite. {text}")[0].title == "Use SQLite"


@pytest.mark.parametrize("aside", ["Wait. Good boy!", "Hold on, good boy!", "No. Leave it, Biscuit."])
def test_a_word_to_the_dog_is_no_correction(aside: str) -> None:
    assert only(heard(f"Let's go with green. {aside}")).title == "Green"


def test_an_aside_is_no_correction() -> None:
    assert only(heard("Let's go with green. Wait. The dog is running off.")).title == "Green"
    assert only(heard("Let's go with green. No wait, it is raining now.")).title == "Green"


# One sentence, several sentences, several turns --------------------------------------------------------------


def test_a_sentence_gives_at_most_one_memory() -> None:
    assert only(heard("I've decided that we need to fix the risk is high thing.")).type == "decision"


def test_a_second_command_in_the_same_breath_is_its_own_memory() -> None:
    drafts = heard("Let's use SQLite and add a task to write the schema, and remind me to call Bob tomorrow.")
    assert [draft.title for draft in drafts] == ["Use SQLite", "Write the schema", "Call Bob tomorrow"]
    assert [draft.quote for draft in drafts] == [
        "Let's use SQLite",
        "add a task to write the schema",
        "remind me to call Bob tomorrow.",
    ]


def test_a_condition_stays_with_its_command() -> None:
    draft = only(heard("If it rains, remind me to bring the umbrella."))
    assert draft.quote == "If it rains, remind me to bring the umbrella."
    drafts = heard("For storage let's use SQLite, and add a task to write the schema.")
    assert [draft.title for draft in drafts] == ["Use SQLite for storage", "Write the schema"]


def test_a_list_after_one_label_is_one_memory() -> None:
    assert len(heard("TODO: tests, docs, and the changelog.")) == 1


def test_several_items_in_one_turn_are_several_memories() -> None:
    drafts = heard("I've decided to use Postgres. What about backups, though? Add a task to set them up.")
    assert [draft.type for draft in drafts] == ["decision", "question", "action_item"]


def test_an_empty_command_takes_the_next_sentence() -> None:
    draft = only(heard("Okay. Add an action item. Look up the prices. Thanks."))
    assert (draft.title, draft.quote) == ("Look up the prices", "Add an action item. Look up the prices.")


def test_an_empty_command_takes_what_is_said_after_the_assistant_asked_back() -> None:
    drafts = talk(
        ("user", "Add an action item."), ("assistant", "Sure, what is it?"), ("user", "Um, look up the prices.")
    )
    draft = only(drafts)
    assert (draft.title, draft.turn, draft.quote) == ("Look up the prices", 2, "Um, look up the prices.")


def test_an_empty_command_can_be_dropped() -> None:
    assert heard("Add a task. Never mind.") == []
    assert heard("Add a task.") == []


def test_an_idea_may_come_in_the_next_sentence() -> None:
    draft = only(heard("I have an idea. What if we gave out badges?"))
    assert (draft.title, draft.explicit) == ("Gave out badges", True)


def test_pointing_back_turns_a_guess_into_a_task() -> None:
    draft = only(heard("We need to fix the flaky tests. Add that to my list."))
    assert (draft.title, draft.explicit) == ("Fix the flaky tests", True)
    assert draft.quote == "We need to fix the flaky tests. Add that to my list."


def test_unmarked_speech_is_cut_where_a_statement_begins_anew() -> None:
    drafts = heard(
        "um so i've decided to use postgres and also remind me to email sarah tomorrow morning "
        "and i'm worried that the migration could take a long time"
    )
    assert [draft.type for draft in drafts] == ["decision", "action_item", "risk"]


def test_lines_are_sentences_unless_they_go_on_in_lower_case() -> None:
    assert only(heard("I've decided to use\npostgres for this")).title == "Use postgres for this"
    assert len(heard("Decision: use Postgres\nAction item: write the schema\n- Risk: it is slow")) == 3


# Roles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "Anything else?",
        "Got it, I've added an action item: look up the prices.",
        "So you've decided to use Postgres?",
        "I'll remind you to call Bob.",
        "You could use SQLite. What if we cached it?",
        "We need to fix the tests. Let's go with Postgres.",
    ],
)
def test_an_assistant_is_not_quoted_for_its_own_chatter(said: str) -> None:
    assert talk(("assistant", said)) == []


def test_an_assistant_that_records_is_heard() -> None:
    draft = only(talk(("user", "Yes, the prices."), ("assistant", "Action item: look up the sensor prices.")))
    assert (draft.title, draft.speaker) == ("Look up the sensor prices", "Pilot")


def test_an_assistant_that_repeats_a_person_adds_nothing() -> None:
    drafts = talk(
        ("user", "Add an action item: look up the sensor prices."),
        ("assistant", "Done. Action item: look up sensor prices. Decision: none yet."),
    )
    assert [draft.speaker for draft in drafts if draft.type == "action_item"] == ["Ann"]


def test_a_summary_is_read_when_there_is_nothing_else() -> None:
    text = "The team decided to use Postgres. Action item: write the schema. They have not decided on a name."
    drafts = talk(("summary", text))
    assert [(draft.type, draft.title) for draft in drafts] == [
        ("decision", "Use Postgres"),
        ("action_item", "Write the schema"),
    ]
    assert talk(("summary", text), ("user", "Hello.")) == []


# Details -----------------------------------------------------------------------------------------------------

DETAILS = [
    ("I'll email Sarah the draft tonight.", {"owner": "I", "due": "tonight"}),
    ("Sam will write the docs by Monday.", {"owner": "Sam", "due": "by Monday"}),
    ("Action item for Sam: send the invoice.", {"owner": "Sam"}),
    ("Someone needs to update the docs.", {}),
    ("Can you look up the prices before the demo?", {"owner": "you", "due": "before the demo"}),
    ("Can you add a task to look up the prices?", {}),
    ("Add an urgent task to rotate the keys.", {"priority": "urgent"}),
    ("Add a task to rotate the keys, it's high priority.", {"priority": "high priority"}),
    ("Add a task to sort the icons when you get a chance.", {"priority": "when you get a chance"}),
    ("Remind me to call Bob at 3pm because he is in Tokyo.", {"due": "at 3pm", "rationale": "he is in Tokyo"}),
    ("Since it's offline first, let's go with SQLite.", {"rationale": "it's offline first"}),
    ("Let's go with SQLite so that it works on trains.", {"rationale": "it works on trains"}),
    ("We've used it since Monday, so let's go with SQLite.", {}),
    ("Let's use SQLite instead of Postgres because it's small.", {"instead_of": "Postgres", "rationale": "it's small"}),
    ("Let's use SQLite, not Postgres.", {"instead_of": "Postgres"}),
    ("We picked SQLite over Postgres.", {"instead_of": "Postgres"}),
    ("I'd rather walk, over the weekend.", {}),
    ("Add a task for Claude Code to write the tests.", {"agent": "claude_code"}),
    ("Ask Gemini CLI to write the tests.", {"agent": "gemini_cli"}),
    ("Have the researcher read up on tariffs.", {"agent": "researcher"}),
    ("Codex, can you write the tests?", {"agent": "codex", "owner": "you"}),
    ("Add a task to document the Codex integration.", {}),
    ("Add a task to write the tests.", {}),
]


@pytest.mark.parametrize(("text", "content"), DETAILS)
def test_details_are_kept_as_they_were_said(text: str, content: dict[str, str]) -> None:
    assert only(heard(text)).content == content


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Let's use SQLite because it's small.", "Use SQLite"),
        ("Add a task to rotate the keys, it's urgent.", "Rotate the keys"),
        ("I think, um, I've, uh, decided to, you know, walk more, I guess.", "Walk more"),
        ("Maybe we could, like, sort of, I mean, group them by week or something.", "Group them by week"),
        ("What if we, what if we grouped them by week?", "Grouped them by week"),
        ("Let's, let's go with the the blue one, okay?", "The blue one"),
        ("Let’s go with “Leafy” as the name.", "Leafy as the name"),
        ("“Let’s use SQLite,” please.", "Use SQLite"),
    ],
)
def test_titles_are_cleaned(text: str, title: str) -> None:
    assert only(heard(text)).title == title


def test_a_long_title_is_cut_at_a_word() -> None:
    title = only(heard("Add a task to " + "water the plants " * 20)).title
    assert len(title) <= 100
    assert title.endswith(("water", "the", "plants"))
    assert len(headline("x" * 500)) == 100


def test_tags_are_the_words_that_carry_meaning() -> None:
    assert tags_of("Look up the carbon interface API") == ("look", "carbon", "interface", "api")
    assert tags_of("It is what it is") == ()


def test_sentences_are_found_with_their_spans() -> None:
    text = '  He said "no way!" Then, e.g. on 3.11, it broke... again. Mr. Li left…\n\nBye '
    assert [text[start:end] for start, end in sentences(text)] == [
        'He said "no way!"',
        "Then, e.g. on 3.11, it broke... again.",
        "Mr. Li left…",
        "Bye",
    ]


# A walk with the dog -----------------------------------------------------------------------------------------

WALK: list[tuple[Role, str]] = [
    ("user", "Hey, can you hear me? I'm out with the dog, so, um, it might be a bit windy."),
    ("assistant", "I can hear you fine. What would you like to work on?"),
    ("user", "Okay so, just so you know, we're a team of three and the app is, um, it's mostly for families."),
    ("assistant", "Thanks, that helps. What is the next feature?"),
    (
        "user",
        "We're working on a carbon tracking feature. Like, it should, you know, show what a week costs you in CO2.",
    ),
    ("assistant", "Nice. Do you have something in mind for the display?"),
    ("user", "Yeah so, um, what if we, what if we showed it as a tree that, uh, loses leaves?"),
    ("assistant", "That is a lovely image. Would it grow back?"),
    ("user", "Ha, yeah. Biscuit, leave it! Sorry, the dog found a sandwich."),
    ("assistant", "No problem at all."),
    ("user", "Where was I. Oh right. Maybe we could, uh, compare it with your neighbours, because people love that."),
    ("assistant", "Comparisons do motivate. Should that be opt-in?"),
    ("user", "Yes. I never want to share anything by default."),
    ("assistant", "Understood. Opt-in it is."),
    ("user", "So for the data I looked at, um, Carbon Interface and, uh, Climatiq. Which one has train data?"),
    ("assistant", "Climatiq covers rail in Europe. Carbon Interface does not."),
    ("user", "Okay. Let's use Carbon Interface, no wait, Climatiq, because we need trains."),
    ("assistant", "Climatiq, noted. Anything else on that?"),
    ("user", "Yeah, add an action item. Look up the Climatiq prices before the demo."),
    ("assistant", "Got it, I've added an action item: look up the Climatiq prices before the demo."),
    ("user", "And I'm a bit worried that they'll cut the free tier. That happened to us with maps."),
    ("assistant", "A cache would soften that."),
    ("user", "Good point. We haven't decided where to store it though. I mean, SQLite would do, right?"),
    ("assistant", "SQLite would do for a prototype."),
    ("user", "Then I've decided to go with SQLite for the prototype instead of Postgres, so that it runs on a phone."),
    ("assistant", "So you've decided on SQLite. Action item: set up a SQLite schema for footprints."),
    (
        "user",
        "Yes, and add a task for Codex: write the importer for the train data. Oh, and remind me to buy dog food.",
    ),
    ("assistant", "Done, both are on the list."),
    ("user", "Add a task to print the badges. Mm, actually, scratch that. It turns out that Ben has them already."),
    ("assistant", "Removed. Enjoy the walk!"),
]

REMEMBERED = [
    (2, "context", "We're a team of three and the app is it's mostly for families", {}),
    (4, "context", "We're working on a carbon tracking feature", {}),
    (6, "idea", "Showed it as a tree that loses leaves", {}),
    (10, "idea", "Compare it with your neighbours", {"rationale": "people love that"}),
    (12, "preference", "Never want to share anything by default", {}),
    (14, "question", "Which one has train data", {}),
    (16, "decision", "Use Climatiq", {"rationale": "we need trains"}),
    (18, "action_item", "Look up the Climatiq prices before the demo", {"due": "before the demo"}),
    (20, "risk", "They'll cut the free tier", {}),
    (
        24,
        "decision",
        "Go with SQLite for the prototype instead of Postgres",
        {"rationale": "it runs on a phone", "instead_of": "Postgres"},
    ),
    (25, "action_item", "Set up a SQLite schema for footprints", {}),
    (26, "action_item", "Write the importer for the train data", {"agent": "codex"}),
    (26, "action_item", "Buy dog food", {}),
    (28, "fact", "Ben has them already", {}),
]


def test_what_was_compared_is_listed_where_there_was_more_than_one() -> None:
    (draft,) = extract([Turn("Ann", "We picked SQLite over Postgres or Mongo.", "user")])
    assert draft.content["alternatives"] == ["Postgres", "Mongo"]


def test_a_walk_with_the_dog_is_remembered() -> None:
    drafts = talk(*WALK)
    assert [(draft.turn, draft.type, draft.title, draft.content) for draft in drafts] == REMEMBERED


# Anything at all ---------------------------------------------------------------------------------------------

FRAGMENTS = [row[0] for row in OUTRIGHT + GUESSED] + NOTHING + [row[0] for row in CORRECTED + DETAILS]
FRAGMENTS += ["Scratch that.", "No, wait.", "Add a task.", "Add that to my list.", "um", "you know", "\n", "\x00", "’"]
ROLES: list[Role] = ["user", "assistant", "other", "summary"]
anything = st.text(max_size=200)
speech = st.lists(st.sampled_from(FRAGMENTS), max_size=6).map(" ".join)
turns_of = st.lists(
    st.builds(Turn, st.sampled_from(["Ann", "Ben"]), st.one_of(anything, speech), st.sampled_from(ROLES)), max_size=6
)


def assert_sound(turns: list[Turn]) -> None:
    drafts = extract(turns)
    assert_cites(drafts, turns)
    for draft in drafts:
        assert draft.title.strip()
        assert len(draft.title) <= 100
        assert len(draft.title.splitlines()) == 1
        assert 0 <= draft.confidence <= 1
        assert len(draft.tags) <= 4
        assert draft.type in MEMORY_TYPES
        assert all(isinstance(value, str | list) and value for value in draft.content.values())


@settings(max_examples=300, deadline=None)
@given(turns_of)
def test_whatever_is_said_is_quoted_truly(turns: list[Turn]) -> None:
    assert_sound(turns)


@given(anything)
def test_sentences_are_in_order_and_apart(text: str) -> None:
    end = 0
    for start, stop in sentences(text):
        assert end <= start < stop
        assert text[start:stop] == text[start:stop].strip()
        end = stop
    said = {letter for start, stop in sentences(text) for letter in text[start:stop]}
    assert said >= set(text) & set(string.digits)


MEGABYTE = 1_000_000
PATHOLOGICAL = {
    "one word": "a" * MEGABYTE,
    "um": "um " * 200_000,
    "a trigger and um": "add a task " + "um " * 200_000,
    "bangs": "!" * MEGABYTE + "x",
    "bangs and spaces": "! " * (MEGABYTE // 2),
    "lines": "\n" * MEGABYTE,
    "lines and spaces": " \n" * (MEGABYTE // 2) + "x",
    "spaces": "x" + " " * MEGABYTE + "x",
    "commas": "let's use " + "," * MEGABYTE,
    "commands": "Add a task. " * 10_000,
    "commands in one breath": "remind me to call Bob, " * 10_000,
    "corrections": "Let's use A. " + "No wait, B. " * 10_000,
    "corrections in one breath": "let's use a no wait " * 20_000,
    "pointing back": "Add that to my list. " * 10_000,
    "unmarked": "and i've decided to use it and we need to " * 20_000,
    "adverbs": "we " + "really " * 150_000 + "decided",
    "stutter": "we " * 300_000 + "decided to go",
    "no spaces": "add,a,task," * 90_000,
    "brackets": "decided to (" * 80_000,
    "quotes": "\"'" * (MEGABYTE // 2) + "?",
}


@pytest.mark.parametrize("text", PATHOLOGICAL.values(), ids=PATHOLOGICAL)
def test_a_megabyte_of_nonsense_is_heard_to_the_end(text: str) -> None:
    assert_sound(user(text))


def test_an_assistant_that_records_a_megabyte_is_heard_to_the_end() -> None:
    assert_sound([Turn("Pilot", "\n".join(f"Action item: x{n}." for n in range(5_000)), "assistant")])


def test_no_pattern_needs_a_newer_python_than_we_promise() -> None:
    """Possessive groups are matched wrongly before 3.11.5, and Debian 12 has 3.11.2."""
    modules = (Path(__file__).parents[2] / "processors" / "extracting").glob("*.py")
    source = "\n".join(module.read_text("utf-8") for module in modules)
    code = "\n".join(line for line in source.splitlines() if not line.startswith("#"))
    assert not [possessive for possessive in (")*+", ")++", ")?+", "}+") if possessive in code]
