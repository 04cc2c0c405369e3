"""langchain-mcp-adapters as a client: `langchain_adapters.py URL TOKEN TOOL MESSAGE [PREFIX...]`; see python2.py for what
it does and prints. Every call is a session of its own, but for what needs one that stays.
"""

import asyncio
import json
import sys

from langchain_core.tools import ToolException
from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp.shared.exceptions import McpError
from mcp.types import ServerNotification, ToolListChangedNotification

# How far, by tool.
heard = []


async def progress(done, total, words, context):
    heard.append((context.tool_name, done))


async def unknown(client):
    # Its tools are made of what is listed, so one that is not is asked for through its session.
    async with client.session("gateway") as session:
        try:
            result = await session.call_tool("no_such_tool_anywhere", {})
        except McpError as error:
            return {"kind": "error", "code": error.error.code, "message": error.error.message}
        return {"kind": "tool error" if result.isError else "success"}


async def failing(tool):
    try:
        await tool.ainvoke({})
    except ToolException as error:
        return str(error)
    return None


async def fixture(tools, prefix, message):
    echo = await tools[f"{prefix}echo"].ainvoke({"message": message})
    failed = await failing(tools[f"{prefix}test_error_handling"])
    name = f"{prefix}test_tool_with_progress"
    await tools[name].ainvoke({})
    return {"text": echo[0]["text"], "failing": failed, "progress": [done for tool, done in heard if tool == name]}


async def changed(connection, prefix):
    """Whether it hears in a session of its own that the list of tools has changed."""
    told = asyncio.Event()

    async def hear(message):
        if isinstance(message, ServerNotification) and isinstance(message.root, ToolListChangedNotification):
            told.set()

    client = MultiServerMCPClient({"gateway": {**connection, "session_kwargs": {"message_handler": hear}}})
    async with client.session("gateway") as session:
        tools = {listed.name: listed for listed in await load_mcp_tools(session)}
        await tools[f"{prefix}test_trigger_tool_change"].ainvoke({})
        await asyncio.wait_for(told.wait(), 30)
    return True


async def run(url, token, tool, message, *prefixes):
    headers = {"Authorization": f"Bearer {token}"}
    connection = {"transport": "streamable_http", "url": url, "headers": headers}
    callbacks = Callbacks(on_progress=progress)
    client = MultiServerMCPClient({"gateway": connection}, callbacks=callbacks, handle_tool_errors=False)
    tools = {listed.name: listed for listed in await client.get_tools()}
    report = {"tools": list(tools)}
    report["text"] = (await tools[tool].ainvoke({"message": message}))[0]["text"]
    report["unknown"] = await unknown(client)
    report["fixtures"] = [await fixture(tools, prefix, message) for prefix in prefixes]
    if prefixes:
        report["changed"] = await changed(connection, prefixes[0])
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
