"""The OpenAPI schema by which a custom GPT learns to post here, and the check that tells it what it forgot.

A model writes these bodies: they are short, little is required, and what is wrong is told in a sentence. ChatGPT cuts
descriptions of operations at 300 characters and of parameters at 700, and calls at 100,000.
"""

from collections.abc import Mapping
from typing import Any

from domain.errors import InvalidRequest

Json = dict[str, Any]

TEXT_CHARS = 95_000
SESSION: Json = {
    "type": "string",
    "maxLength": 200,
    "description": "Name of the conversation or project, such as kitchen-plan. Use the same one to add to it later.",
}


def text(description: str, most: int = 5_000) -> Json:
    return {"type": "string", "minLength": 1, "maxLength": most, "description": description}


# Each operation: what it is for, its fields, and those that it needs.
OPERATIONS: Mapping[str, tuple[str, Json, tuple[str, ...]]] = {
    "save_conversation": (
        "Save a conversation, or the part since the last save. Decisions, ideas, questions and action items are found"
        " in it. Do not shorten or rephrase what was said. Send a long one in parts with the same session.",
        {
            "text": text(
                "What was said, word for word, one line for each turn, such as `User: Let's take the blue tiles.` and"
                " `Assistant: Noted.`",
                TEXT_CHARS,
            ),
            "title": text("A short title.", 200),
            "summary": text("Your own summary, if you made one."),
            "session": SESSION,
        },
        ("text",),
    ),
    "remember": (
        "Remember one thing the user wants kept: a decision, idea, question, fact, note, preference or risk."
        " For something to be done use add_task.",
        {
            "text": text("What to remember, in one or two sentences."),
            "type": {
                "type": "string",
                "enum": ["decision", "idea", "question", "fact", "note", "preference", "risk"],
                "description": "What it is; note if nothing else fits.",
            },
            "session": SESSION,
        },
        ("text",),
    ),
    "add_task": (
        "Add a task that an agent or a person will do later. It is not done at once.",
        {
            "title": text("What is to be done, in one sentence.", 200),
            "details": text("What whoever does it has to know.", 20_000),
            "priority": {"type": "string", "enum": ["high", "medium", "low"], "description": "medium if not said."},
            "agent": text("Who shall do it, if the user says so, such as claude_code or researcher.", 100),
            "session": SESSION,
        },
        ("title",),
    ),
    "what_was_decided": (
        "Look up decisions that were saved earlier. Answers with a sentence to say and the decisions themselves.",
        {
            "question": text("What the decisions are about, in a few words. Leave it out for the latest ones.", 1_000),
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": 20,
                "description": "How many at most; 10 if not said.",
            },
            "session": SESSION,
        },
        (),
    ),
}


def check_fields(operation: str, value: Any) -> None:
    """Raises InvalidRequest for a body that says too little or puts it wrongly, in words a model can act on."""
    _, fields, required = OPERATIONS[operation]
    for name in required:
        if not (isinstance(value.get(name), str) and value[name].strip()):
            raise InvalidRequest(f"`{name}` is missing or empty.", hint=fields[name]["description"])
    for name, rules in fields.items():
        given = value.get(name)
        if given is None:
            continue
        if isinstance(given, bool) or not isinstance(given, int if rules["type"] == "integer" else str):
            raise InvalidRequest(f"`{name}` is no {rules['type']}.", hint=rules["description"])
        if "enum" in rules and given not in rules["enum"]:
            raise InvalidRequest(
                f"`{name}` is none of {', '.join(rules['enum'])}.", hint="Choose one, or leave it out."
            )


def openapi(server: str) -> Json:
    """The schema to import into a custom GPT; `server` is the address that it will call."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AI Webhook",
            "version": "1.0.0",
            "description": "Keeps conversations, what was decided in them, and tasks that come of them.",
        },
        "servers": [{"url": server}],
        "paths": {f"/webhook/chatgpt/{name}": {"post": operation(name)} for name in OPERATIONS},
        "components": {
            "schemas": {"Accepted": ACCEPTED, "Answer": ANSWER, "Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def operation(name: str) -> Json:
    description, fields, required = OPERATIONS[name]
    schema: Json = {"type": "object", "properties": fields, "additionalProperties": False}
    if required:
        schema["required"] = list(required)
    asks = name == "what_was_decided"
    return {
        "operationId": name,
        "summary": name.replace("_", " ").capitalize(),
        "description": description,
        "x-openai-isConsequential": False,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": answered("What was found." if asks else "Saved.", "Answer" if asks else "Accepted"),
            **({"202": answered("Accepted; the answer takes longer. Ask again.", "Accepted")} if asks else {}),
            "422": answered("Something is missing or wrong; the message says what.", "Error"),
            "default": answered("It did not work; the message says why.", "Error"),
        },
    }


def answered(description: str, schema: str) -> Json:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


ACCEPTED: Json = {
    "type": "object",
    "properties": {
        "status": {
            "type": "string",
            "enum": ["accepted", "duplicate"],
            "description": "duplicate: it was there already",
        },
        "delivery": {"type": "string"},
    },
}
ANSWER: Json = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["success", "error"]},
        "message": {"type": "string", "description": "A sentence to say."},
        "data": {"type": "object", "properties": {}, "additionalProperties": True},
    },
}
ERROR: Json = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "hint": {"type": "string"}},
        }
    },
}
