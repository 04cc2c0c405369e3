"""openai-agents as a client: `openai_agents.py URL TOKEN TOOL MESSAGE [PREFIX...]`; see python2.py for what it does and
prints. No model is asked.
"""

import asyncio
import json
import sys

from agents.mcp import MCPServerStreamableHttp
from mcp.client.subscriptions import listen
from mcp.shared.exceptions import MCPError

# Everything the server says unasked: (progress token, how far).
heard = []


async def hear(message):
    if getattr(message, "method", None) == "notifications/progress":
        heard.append((message.params.progress_token, message.params.progress))


async def unknown(server):
    try:
        result = await server.call_tool("no_such_tool_anywhere", {})
    except MCPError as error:
        return {"kind": "error", "code": error.error.code, "message": error.error.message}
    return {"kind": "tool error" if result.is_error else "success"}


async def fixture(server, prefix, message):
    echo = await server.call_tool(f"{prefix}echo", {"message": message})
    failing = await server.call_tool(f"{prefix}test_error_handling", {})
    # It has no callback for progress, but it asks for it and hears it when told to.
    token = f"progress of {prefix}"
    await server.call_tool(f"{prefix}test_tool_with_progress", {}, {"progressToken": token})
    return {
        "text": echo.content[0].text,
        "failing": failing.content[0].text if failing.is_error else None,
        "progress": [done for told, done in heard if told == token],
    }


async def changed(server, prefix):
    """Whether it hears that the list of tools has changed."""
    # It has no method for it; the SDK's own works on its session.
    async with listen(server.session, tools_list_changed=True) as events:
        await server.call_tool(f"{prefix}test_trigger_tool_change", {})
        async for _event in events:
            return True
    return False


async def run(url, token, tool, message, *prefixes):
    params = {"url": url, "headers": {"Authorization": f"Bearer {token}"}}
    server = MCPServerStreamableHttp(params, client_session_timeout_seconds=30, message_handler=hear)
    async with server:
        report = {"protocol": server.session.protocol_version}
        report["tools"] = [listed.name for listed in await server.list_tools()]
        report["text"] = (await server.call_tool(tool, {"message": message})).content[0].text
        report["unknown"] = await unknown(server)
        report["fixtures"] = [await fixture(server, prefix, message) for prefix in prefixes]
        if prefixes:
            report["changed"] = await changed(server, prefixes[0])
        return report


def main():
    try:
        report = asyncio.run(asyncio.wait_for(run(*sys.argv[1:]), 60))
    except BaseException as error:
        report = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(report))
    sys.exit("failed" in report)


main()
