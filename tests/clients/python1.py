"""The Python SDK, first generation, strictly legacy: `python1.py URL TOKEN TOOL MESSAGE`.

Lists, calls a tool, calls one that does not exist; prints one JSON object.
"""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.exceptions import McpError


async def unknown(session):
    try:
        result = await session.call_tool("no_such_tool_anywhere", {})
    except McpError as error:
        return {"kind": "error", "code": error.error.code, "message": error.error.message}
    return {"kind": "tool error" if result.isError else "success"}


async def run(url, token, tool, message):
    headers = {"Authorization": f"Bearer {token}"}
    async with streamablehttp_client(url, headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            greeting = await session.initialize()
            report = {"protocol": greeting.protocolVersion, "server": greeting.serverInfo.name}
            report["tools"] = [listed.name for listed in (await session.list_tools()).tools]
            result = await session.call_tool(tool, {"message": message})
            report["text"] = result.content[0].text
            report["unknown"] = await unknown(session)
            return report


def reason(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def main():
    try:
        report = asyncio.run(asyncio.wait_for(run(*sys.argv[1:5]), 60))
    except BaseException as error:
        report = {"failed": reason(error)}
    print(json.dumps(report))
    sys.exit("failed" in report)


main()
