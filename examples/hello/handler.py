# SPDX-License-Identifier: Apache-2.0
def handle(event, context):
    """Greets whom the query names."""
    name = event.query.get("name", "world")
    return {"statusCode": 200, "body": f"Hello, {name}!\n"}
