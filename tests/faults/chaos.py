"""`scripts/chaos`: faults at random on one stack under load, for an hour; a table of what came of them at its end."""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from tests.faults.catalogue import FAULTS
from tests.faults.reliability import table, write
from tests.faults.stand import Stand
from tests.faults.suffering import Suffered, suffer


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long faults go on striking (60)")
    parser.add_argument("--seed", type=int, help="of an earlier run, for the same faults in the same order")
    parser.add_argument("--each", action="store_true", help="every fault once, in order, instead")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; may be given again")
    parser.add_argument("--write", action="store_true", help="put the times into docs/reliability.md")
    parser.add_argument("--json", action="store_true", help="print what came of each as JSON lines, and no table")
    return parser.parse_args()


def chosen(asked: argparse.Namespace, names: list[str]) -> Iterator[str]:
    if asked.each:
        yield from names
        return
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", file=sys.stderr, flush=True)
    chance = random.Random(seed)
    end = time.monotonic() + 60 * asked.minutes
    while time.monotonic() < end:
        yield chance.choice(names)


def main() -> int:
    asked = arguments()
    missing = {name: lack for name, fault in FAULTS.items() if (lack := fault.missing())}
    for name, lack in missing.items():
        print(f"{name} is left out: {lack}", file=sys.stderr)
    names = [name for name in asked.fault or FAULTS if name not in missing]
    results: list[Suffered] = []
    broken: list[str] = []
    stand = Stand()
    try:
        for number, name in enumerate(chosen(asked, names)):
            try:
                result = suffer(stand, FAULTS[name], f"{name}-{number}")
            except AssertionError as error:
                broken.append(f"{name} broke an invariant: {str(error)[:2000]}")
                print(broken[-1], file=sys.stderr, flush=True)
                continue
            results.append(result)
            if asked.json:
                print(json.dumps(asdict(result)), flush=True)
            else:
                print(f"{name}: {result.seconds} s, {result.accepted} accepted, {result.refused}", flush=True)
    finally:
        stand.close()
    times = {name: told([r.seconds for r in results if r.fault == name]) for name in {r.fault for r in results}}
    if not asked.json:
        print("\n" + table(times, [name for name in FAULTS if name in times]))
    if asked.write:
        write(times)
    return 1 if broken else 0


def told(seconds: list[float]) -> str:
    """The median, and the longest when there are several."""
    middle = f"{statistics.median(seconds):.1f} s"
    return middle if len(seconds) == 1 else f"{middle} (longest {max(seconds):.1f} s of {len(seconds)})"


if __name__ == "__main__":
    sys.exit(main())
