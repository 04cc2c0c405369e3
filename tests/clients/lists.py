"""A Python client that lists everything: `lists.py sdk1|sdk2|fastmcp|langchain|mcp_use MODE URL TOKEN`. Prints one
JSON object, with the lists that the client has.

MODE is the era of the clients that speak both: `auto` or `legacy`.
"""

import asyncio
import json
import logging
import os
import sys


async def everything(client):
    tools = await client.list_tools()
    prompts = await client.list_prompts()
    resources = await client.list_resources()
    templates = await client.list_resource_templates()
    template = lambda it: getattr(it, "uri_template", None) or it.uriTemplate
    # FastMCP returns the lists, the SDK their results.
    templates = getattr(templates, "resource_templates", None) or getattr(templates, "resourceTemplates", templates)
    return {
        "tools": [listed.name for listed in getattr(tools, "tools", tools)],
        "prompts": [listed.name for listed in getattr(prompts, "prompts", prompts)],
        "resources": [str(listed.uri) for listed in getattr(resources, "resources", resources)],
        "templates": [template(listed) for listed in templates],
    }


async def sdk1(mode, url, token):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    headers = {"Authorization": f"Bearer {token}"}
    async with streamablehttp_client(url, headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            return await everything(session)


async def sdk2(mode, url, token):
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    headers = {"Authorization": f"Bearer {token}"}
    async with create_mcp_http_client(headers=headers) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            return await everything(client)


async def fastmcp(mode, url, token):
    from fastmcp import Client

    async with Client(url, auth=token, mode=mode) as client:
        return await everything(client)


async def langchain(mode, url, token):
    from langchain_mcp_adapters.client import MultiServerMCPClient

    headers = {"Authorization": f"Bearer {token}"}
    client = MultiServerMCPClient({"gateway": {"transport": "streamable_http", "url": url, "headers": headers}})
    return {"tools": [tool.name for tool in await client.get_tools()]}


async def mcp_use(mode, url, token):
    os.environ["MCP_USE_ANONYMIZED_TELEMETRY"] = "false"
    # It logs to standard output.
    logging.disable(logging.CRITICAL)
    from mcp_use import MCPClient
    from mcp_use.agents.adapters.langchain_adapter import LangChainAdapter

    headers = {"Authorization": f"Bearer {token}"}
    client = MCPClient({"mcpServers": {"gateway": {"url": url, "headers": headers}}})
    session = await client.create_session("gateway")
    try:
        # Its agents use the tools in this form.
        await LangChainAdapter().create_tools(client)
        return {
            "tools": [tool.name for tool in await session.list_tools()],
            "prompts": [prompt.name for prompt in await session.list_prompts()],
            "resources": [str(resource.uri) for resource in await session.list_resources()],
        }
    finally:
        await client.close_all_sessions()


def reason(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def main():
    clients = {"sdk1": sdk1, "sdk2": sdk2, "fastmcp": fastmcp, "langchain": langchain, "mcp_use": mcp_use}
    run = clients[sys.argv[1]]
    try:
        report = asyncio.run(asyncio.wait_for(run(*sys.argv[2:5]), 60))
    except BaseException as error:
        report = {"failed": reason(error)}
    print(json.dumps(report))
    sys.exit("failed" in report)


main()
