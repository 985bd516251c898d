"""GitHub: its own events, in which nothing is spoken, but an exported task may be closed; and transcripts of senders
that sign as GitHub does.

The event is named by the header X-GitHub-Event, which the endpoint keeps as the delivery's event, alone or followed
by the action (`issues.opened`). The body is our own transcript form, or GitHub's, as JSON or as a form.
"""

from domain.delivery import Delivery, Reading
from domain.errors import UnknownEvent
from domain.outgoing import ExternalChange, github_id, github_state
from processors.readers import generic
from processors.readers.dialogue import words
from processors.readers.payload import Fields, parse_object, wrong_type

FORM = "application/x-www-form-urlencoded"
MOVES = frozenset({"issues.closed", "issues.reopened"})
GENERIC = frozenset({"turns", "text", "transcript", "summary", "extracted_items", "memories", "tasks"})
SILENT = words(
    """ping branch_protection_configuration branch_protection_rule check_run check_suite code_scanning_alert
    commit_comment create custom_property custom_property_values delete dependabot_alert deploy_key deployment
    deployment_protection_rule deployment_review deployment_status discussion discussion_comment fork
    github_app_authorization gollum installation installation_repositories installation_target issue_comment
    issue_dependencies issues label marketplace_purchase member membership merge_group meta milestone org_block
    organization package page_build personal_access_token_request project project_card project_column projects_v2
    projects_v2_item projects_v2_status_update public pull_request pull_request_review pull_request_review_comment
    pull_request_review_thread push registry_package release repository repository_advisory repository_dispatch
    repository_import repository_ruleset repository_vulnerability_alert secret_scanning_alert
    secret_scanning_alert_location secret_scanning_scan security_advisory security_and_analysis sponsorship star
    status sub_issues team team_add watch workflow_dispatch workflow_job workflow_run"""
)


def read(delivery: Delivery) -> Reading | ExternalChange | None:
    """None for GitHub's events but those that close or reopen an issue; a reading for a transcript in our own form.

    Raises UnknownEvent, and what `generic` raises.
    """
    known = delivery.event.partition(".")[0] in SILENT
    if delivery.content_type.partition(";")[0].strip().lower() == FORM:
        if known:
            return None
        raise UnknownEvent(delivery.source)
    body = parse_object(delivery.body)
    if not GENERIC.isdisjoint(body.values):
        return generic.read(delivery)
    if delivery.event in MOVES:
        return change(body)
    if known or is_ping(body):
        return None
    raise UnknownEvent(delivery.source)


def is_ping(body: Fields) -> bool:
    """The test that GitHub sends when a webhook is made, for who replays it without its header."""
    return body.get("zen") is not None and body.get("hook_id") is not None


def change(body: Fields) -> ExternalChange:
    """What somebody did to an issue; whether it is a task of ours is told by the store."""
    issue, repository, sender = (body.object(name) for name in ("issue", "repository", "sender"))
    number = issue.required("number")
    if not isinstance(number, int) or isinstance(number, bool):
        raise wrong_type(issue.at("number"), number, "a whole number")
    return ExternalChange(
        kind="github",
        id=github_id(repository.required_text("full_name"), number),
        state=github_state(issue.required_text("state"), issue.text("state_reason")),
        updated_at=issue.instant("updated_at"),
        person=f"github:{sender.required_text('login')}"[:200],
    )
