"""The Python SDK, second generation: `python2.py auto|legacy|2026-07-28 URL TOKEN TOOL MESSAGE [PREFIX...]`.

Lists, calls a tool, calls one that does not exist, and then the fixture's tools under each prefix; prints one JSON
object. Where `run_tool` is listed, each tool is searched for and run with it.
"""

import asyncio
import json
import sys

from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError


class Progressive:
    """The tools that a progressive gateway does not list."""

    def __init__(self, client):
        self.client = client
        self.found = []

    async def call_tool(self, name, arguments, **more):
        found = await self.client.call_tool("search_tools", {"query": name})
        names = [tool["name"] for tool in found.structured_content["tools"]]
        self.found.append(names[:1] == [name])
        running = {"name": name, "arguments": arguments}
        return await self.client.call_tool("run_tool", running, **more)


async def unknown(client):
    try:
        result = await client.call_tool("no_such_tool_anywhere", {})
    except MCPError as error:
        return {"kind": "error", "code": error.error.code, "message": error.error.message}
    return {"kind": "tool error" if result.is_error else "success"}


async def fixture(client, prefix, message):
    """An echo, a tool that fails and one that tells how far it is."""
    steps = []

    async def progress(done, total, words):
        steps.append(done)

    echo = await client.call_tool(f"{prefix}echo", {"message": message})
    failing = await client.call_tool(f"{prefix}test_error_handling", {})
    await client.call_tool(f"{prefix}test_tool_with_progress", {}, progress_callback=progress)
    return {
        "text": echo.content[0].text,
        "failing": failing.content[0].text if failing.is_error else None,
        "progress": steps,
    }


async def changed(client, heard, prefix):
    """Whether it hears, in the way of its era, that the list of tools has changed."""
    name = f"{prefix}test_trigger_tool_change"
    if client.protocol_version == "2026-07-28":
        async with client.listen(tools_list_changed=True) as events:
            await client.call_tool(name, {})
            async for _event in events:
                return True
        return False
    await client.call_tool(name, {})
    await asyncio.wait_for(heard.wait(), 30)
    return True


async def run(mode, url, token, tool, message, *prefixes):
    headers = {"Authorization": f"Bearer {token}"}
    heard = asyncio.Event()

    async def listen(message):
        if getattr(message, "method", None) == "notifications/tools/list_changed":
            heard.set()

    async with create_mcp_http_client(headers=headers) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, message_handler=listen) as client:
            report = {"protocol": client.protocol_version}
            report["tools"] = [listed.name for listed in (await client.list_tools()).tools]
            caller = Progressive(client) if "run_tool" in report["tools"] else client
            result = await caller.call_tool(tool, {"message": message})
            report["text"] = result.content[0].text
            report["unknown"] = await unknown(caller)
            report["fixtures"] = [await fixture(caller, prefix, message) for prefix in prefixes]
            report["found"] = getattr(caller, "found", None)
            # What is found by searching is not listed, and so no list changes with it.
            if prefixes and caller is client:
                report["changed"] = await changed(client, heard, prefixes[0])
            return report


def reason(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def main():
    try:
        report = asyncio.run(asyncio.wait_for(run(*sys.argv[1:]), 60))
    except BaseException as error:
        report = {"failed": reason(error)}
    print(json.dumps(report))
    sys.exit("failed" in report)


main()
