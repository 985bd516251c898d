"""Forgetting a session: what would go is shown first; then a second click lets it go."""

from starlette.responses import Response

from access.console.visit import Visit
from access.links import forget_link, session_link


def ask(visit: Visit) -> Response:
    session_id = visit.at()
    counted = visit.act("forget_session", session_id=session_id, dry_run=True)
    parts = [(name, counted[name]) for name in ("turns", "memories", "tasks", "artifacts", "deliveries")]
    link, back = forget_link(session_id), session_link(session_id)
    return visit.show(session_id=session_id, parts=parts, link=link, back=back)


def forget(visit: Visit) -> Response:
    visit.act("forget_session", session_id=visit.at())
    return visit.go("/sessions", "The conversation is forgotten. What still waits of it goes within seconds.")
