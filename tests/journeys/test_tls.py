"""TLS to PostgreSQL and Redis by an authority of one's own: the whole path, and what is refused, in sentences."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from psycopg.conninfo import make_conninfo

from domain.errors import DatabaseUnavailable
from ops.doctor import guarded_many, redis_checks
from store.database import connect
from tests import debian
from tests.conftest import reachable_folder
from tests.journeys.stack import running_up
from tests.journeys.whole_path import walk

pytestmark = pytest.mark.xdist_group("tls")


@dataclass(frozen=True)
class Pki:
    """Files: an authority and a stranger's, a certificate for localhost, and one that has expired."""

    authority: Path
    stranger: Path
    good: debian.Certificate
    expired: debian.Certificate


@pytest.fixture(scope="module")
def pki() -> Iterator[Pki]:
    folder = reachable_folder()
    ours, theirs = trustme.CA(), trustme.CA()

    def issued(name: str, end: datetime | None = None) -> debian.Certificate:
        made = ours.issue_cert("localhost", not_after=end)
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        debian.give_to_server(key)
        return debian.Certificate(chain, key)

    for name, authority in (("ours", ours), ("theirs", theirs)):
        authority.cert_pem.write_to_path(folder / f"{name}.ca")
    yield Pki(folder / "ours.ca", folder / "theirs.ca", issued("good"), issued("old", datetime(2020, 1, 1, tzinfo=UTC)))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def postgres(pki: Pki) -> Iterator[str]:
    """PostgreSQL 15 with the good certificate, by verify-full."""
    with debian.postgres() as url:
        debian.use_certificate(url, pki.good)
        yield make_conninfo(url, host="localhost", sslmode="verify-full", sslrootcert=str(pki.authority))


def test_the_whole_path_over_tls(postgres: str, pki: Pki) -> None:
    with (
        debian.redis(pki.good) as redis_url,
        running_up(DATABASE_URL=postgres, REDIS_URL=f"{redis_url}?ssl_ca_certs={pki.authority}") as up,
    ):
        walk(up)
        with connect(postgres) as conn:
            plain = conn.execute(
                "SELECT count(*) AS n FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)"
                " WHERE a.application_name ~ '^ai-webhook' AND NOT s.ssl"
            ).fetchone()
            assert plain == {"n": 0}


def test_postgresql_with_another_certificate_than_expected_is_refused(postgres: str, pki: Pki) -> None:
    def refusal(**other: str) -> str:
        with pytest.raises(DatabaseUnavailable) as refused:
            connect(make_conninfo(postgres, **other))
        assert refused.value.hint
        return refused.value.message

    assert "for another host" in refusal(host="127.0.0.1")
    assert "of no authority that we trust" in refusal(sslrootcert=str(pki.stranger))
    assert "is not there" in refusal(sslrootcert=str(pki.authority.with_name("none")))
    assert "refuses the password" in refusal(password="wrong")
    with debian.postgres() as url:
        address = {"host": "localhost", "sslmode": "verify-full", "sslrootcert": str(pki.authority)}
        with pytest.raises(DatabaseUnavailable, match="does not speak TLS"):
            connect(make_conninfo(url, **address))
        debian.use_certificate(url, pki.expired)
        with pytest.raises(DatabaseUnavailable, match="or has expired"):
            connect(make_conninfo(url, **address))


def test_redis_with_another_certificate_than_expected_is_refused(pki: Pki) -> None:
    def told(url: str) -> str:
        (check, *_) = guarded_many("redis", lambda: redis_checks(url))
        assert check.state in ("ok", "wrong")
        return check.finding

    with debian.redis(pki.good) as url:
        assert "keeps what it accepts" in told(f"{url}?ssl_ca_certs={pki.authority}")
        other_host = url.replace("localhost", "127.0.0.1")
        assert told(f"{other_host}?ssl_ca_certs={pki.authority}") == (
            "its certificate is for another host than the one in the address"
        )
        assert told(f"{url}?ssl_ca_certs={pki.stranger}") == "its certificate is of no authority that we trust"
        assert told(url) == "its certificate is of no authority that we trust"
    with debian.redis(pki.expired) as url:
        assert told(f"{url}?ssl_ca_certs={pki.authority}") == "its certificate has expired"
