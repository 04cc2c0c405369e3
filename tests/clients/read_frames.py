"""Prints how the JSON parser of Python reads frames: one line of hexadecimal digits per frame, one line of JSON per answer."""

import json
import sys


def keys(value):
    return sorted(value) if isinstance(value, dict) else None


for line in sys.stdin:
    frame = json.loads(bytes.fromhex(line.strip()))
    params = frame.get("params")
    params = params if isinstance(params, dict) else {}
    members = {name: params.get(name) for name in ("name", "uri")}
    members |= {"id": frame.get("id"), "method": frame.get("method")}
    members |= {"keys": keys(frame), "params": keys(params), "arguments": keys(params.get("arguments"))}
    print(json.dumps(members))
