"""A sender for the test of repeats: posts the same deliveries several times and says what it was told."""

import os
import sys

from access.client import Client
from tests.journeys.load import talk


def main(name: str, deliveries: int, times: int) -> None:
    headers = {"authorization": f"Bearer {os.environ['SENDER_KEY']}", "content-type": "application/json"}
    with Client(os.environ["SENDER_URL"]) as client:
        print("ready", flush=True)
        sys.stdin.readline()  # all begin at once
        for number in range(deliveries):
            delivery_id = f"{name}-{number}"
            body = talk(f"{name}-{number % 5}", delivery_id)
            for _ in range(times):
                told = client.deliver("generic", body, {**headers, "idempotency-key": delivery_id})
                print(told["delivery"], told["status"], flush=True)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
