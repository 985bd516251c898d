"""Other systems that are measured beside ours: one file a peer. Nothing here knows our code.

For claims a rival is a schema to install, jobs to fill it with, and the statements by which its worker fetches one job
and finishes it, as a pgbench script. The database does the work in each case and pgbench is the client of all, so that
what is compared is the queue and not the language of its worker. The packages come with `pip install '.[bench]'`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rival:
    """`fill` takes the number of jobs as `%(pending)s`; `script` brings one job from waiting to finished."""

    name: str
    schema: str
    fill: str
    tables: str
    script: str
