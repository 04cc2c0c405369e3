"""FastMCP as a client: `fastmcp4.py auto|legacy URL TOKEN TOOL MESSAGE [PREFIX...]`; see python2.py for what it does and
prints.
"""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.messages import MessageHandler
from fastmcp.exceptions import ToolError
from mcp.client.subscriptions import listen
from mcp.shared.exceptions import MCPError


async def unknown(client):
    try:
        await client.call_tool("no_such_tool_anywhere", {})
    except MCPError as error:
        return {"kind": "error", "code": error.error.code, "message": error.error.message}
    except ToolError as error:
        return {"kind": "tool error", "message": str(error)}
    return {"kind": "success"}


async def failing(client, name):
    try:
        await client.call_tool(name, {})
    except ToolError as error:
        return str(error)
    return None


async def fixture(client, prefix, message):
    steps = []

    async def progress(done, total, words):
        steps.append(done)

    echo = await client.call_tool(f"{prefix}echo", {"message": message})
    failed = await failing(client, f"{prefix}test_error_handling")
    await client.call_tool(f"{prefix}test_tool_with_progress", {}, progress_handler=progress)
    return {"text": echo.content[0].text, "failing": failed, "progress": steps}


class Hearing(MessageHandler):
    """What a legacy server says unasked."""

    def __init__(self):
        super().__init__()
        self.changed = asyncio.Event()

    async def on_tool_list_changed(self, message):
        self.changed.set()


async def changed(client, hearing, prefix):
    """Whether it hears, in the way of its era, that the list of tools has changed."""
    name = f"{prefix}test_trigger_tool_change"
    if client.protocol_version == "2026-07-28":
        # It has no method for it; the SDK's own works on its session.
        async with listen(client.session, tools_list_changed=True) as events:
            await client.call_tool(name, {})
            async for _event in events:
                return True
        return False
    await client.call_tool(name, {})
    await asyncio.wait_for(hearing.changed.wait(), 30)
    return True


async def run(mode, url, token, tool, message, *prefixes):
    hearing = Hearing()
    async with Client(url, auth=token, mode=mode, message_handler=hearing) as client:
        report = {"protocol": client.protocol_version}
        report["tools"] = [listed.name for listed in await client.list_tools()]
        report["text"] = (await client.call_tool(tool, {"message": message})).content[0].text
        report["unknown"] = await unknown(client)
        report["fixtures"] = [await fixture(client, prefix, message) for prefix in prefixes]
        if prefixes:
            report["changed"] = await changed(client, hearing, prefixes[0])
        return report


def main():
    try:
        report = asyncio.run(asyncio.wait_for(run(*sys.argv[1:]), 60))
    except BaseException as error:
        report = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(report))
    sys.exit("failed" in report)


main()
