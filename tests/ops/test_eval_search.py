"""`ai-webhook eval search`: questions about conversations in a file, answered by the service's own search."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

import ops.__main__  # noqa: F401 - registers the commands
from ops.cli import app

SAID = ["Good morning.", "We take the Carbon Interface.", "And lunch?", "At one, in the canteen."]
LONG = "word " * 30_000 + "and at last the needle."
TALK = {
    "conversation": "walk",
    "turns": [{"id": f"D1:{n}", "speaker": "Ada", "text": text} for n, text in enumerate([*SAID, LONG, "Bye now."])],
    "questions": [
        {"q": "Which interface do we take?"},
        {"q": "In which canteen?"},
        {"q": "Who said bye now?"},
    ],
}
TALK["turns"][0]["photo"] = "a zebra"  # type: ignore[index]
TALK["questions"].append({"q": "Is there a zebra?"})  # type: ignore[attr-defined]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["eval", "search", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize("unit", ["turn", "window"])
def test_every_question_gets_its_ranked_turns(tmp_path: Path, unit: str) -> None:
    file, output = tmp_path / "dev.json", tmp_path / "run.jsonl"
    file.write_bytes(orjson.dumps([TALK]))
    code, told = run(str(file), "--unit", unit, "-o", str(output), "--json")
    assert code == 0, told
    rows = [orjson.loads(line) for line in output.read_bytes().splitlines()]
    assert [(row["conversation"], row["question"]) for row in rows] == [("walk", n) for n in range(4)]
    for row, answer in zip(rows, ["D1:1", "D1:3", "D1:5", "D1:0"], strict=True):
        first = row["ranked"][0]
        assert answer == first if unit == "turn" else answer in first


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no JSON"),
        ("{}", "another form"),
        ('[{"conversation": 3}]', "another form"),
        ('[{"conversation": "a", "turns": [{"text": "x"}]}]', "another form"),
        ('[{"conversation": "a", "questions": ["what?"]}]', "another form"),
    ],
)
def test_a_file_of_another_form_is_refused_with_the_form_that_is_wanted(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "dev.json"
    file.write_text(text)
    result = CliRunner().invoke(app, ["eval", "search", str(file), "-o", str(tmp_path / "run.jsonl")])
    assert result.exit_code != 0
    assert complaint in str(result.exception) or complaint in result.output
    assert not (tmp_path / "run.jsonl").exists()
