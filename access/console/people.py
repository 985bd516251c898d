"""People: who may log in, as what; and the links by which they come in."""

from starlette.responses import Response

from access.console.visit import Visit
from domain.errors import InvalidRequest
from domain.person import ROLES


def show(visit: Visit) -> Response:
    return tell(visit)


def tell(visit: Visit, status: int = 200, *, link: object = None, problem: object = None) -> Response:
    server = f"{'https' if visit.secure else 'http'}://{visit.request.headers.get('host', '')}"
    people = visit.act("list_people")["items"]
    return visit.show(status, people=people, roles=ROLES, link=link, server=server, problem=problem)


def change(visit: Visit) -> Response:
    name, what = visit.form.get("name", ""), visit.form.get("do")
    try:
        if what == "link":
            return tell(visit, link=visit.act("create_login_link", role=visit.form.get("role", "viewer")))
        if what == "password":
            return tell(visit, link=visit.act("create_login_link", person=name))
        if what == "role":
            visit.act("update_person", name=name, role=visit.form.get("role"))
        else:
            visit.act("update_person", name=name, disabled={"disable": True, "enable": False}.get(what or ""))
    except InvalidRequest as problem:
        return tell(visit, problem.status, problem=problem)
    return visit.go("/people", f"{name} is changed.")
