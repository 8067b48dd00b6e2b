# SPDX-License-Identifier: Apache-2.0
import time


def handle(event, context):
    """Sends a few server-sent events, each as soon as it happens."""

    def events():
        for number in range(1, 4):
            yield f"data: tick {number}\n\n"
            time.sleep(0.2)

    return {"headers": {"Content-Type": "text/event-stream"}, "body": events()}
