"""The official conformance suite's client, with Toolgate between: `conformance_driver.py URL-OF-THE-SUITE`.

Puts the suite's server behind a gateway of a running Toolgate by its command line (TOOLGATE names the binary,
TOOLGATE_ADDR and TOOLGATE_TOKEN its admin API, TOOLGATE_ENDPOINT where it serves MCP), and is then the agent: Python
`mcp` lists everything and uses everything that is listed.
"""

import os

SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"]
VERSION = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
# Said before anything large is loaded: the suite starts all its scenarios at once.
if SCENARIO.startswith("auth/"):
    raise SystemExit("the gateway does not log in at servers yet")

import asyncio
import json
import subprocess
import sys

from mcp import types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError

CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
# A value for a required argument.
SAMPLES = {"string": "text", "number": 2, "integer": 2, "boolean": True, "array": [], "object": {}, "null": None}


def toolgate(*arguments):
    """Runs the command line; what it printed."""
    done = subprocess.run([os.environ["TOOLGATE"], *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"toolgate {arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def expose(name, url):
    """Puts the server behind a gateway of its own; the gateway's URL and a token for it."""
    toolgate("server", "add", name, "--url", url)
    toolgate("gateway", "create", name, "--server", name, "--prefix", "single")
    made = json.loads(toolgate("token", "create", name, "--gateway", name, "-o", "json"))
    return f"{os.environ['TOOLGATE_ENDPOINT']}/v1/mcp/{name}", made["token"]


async def elicit(context, params):
    """Accepts, with the default of every field that has one and something for the others."""
    content = {}
    for name, field in params.requested_schema.get("properties", {}).items():
        content[name] = field.get("default", SAMPLES.get(field.get("type")))
    return types.ElicitResult(action="accept", content=content)


def bare(tool, tools):
    """Arguments that a tool can be called with."""
    if tool.name == "json_schema_echo":
        # It wants to see what arrived of another tool's schema.
        return {"schema": next(other.input_schema for other in tools if other.name == "json_schema_2020_12_tool")}
    schema = tool.input_schema
    properties = schema.get("properties", {})
    return {name: SAMPLES.get(properties[name].get("type")) for name in schema.get("required", [])}


async def tried(what, call):
    """An error is an answer too: the suite judges what it was sent."""
    try:
        return await call
    except MCPError as error:
        print(f"{what}: {error}", file=sys.stderr)
        return None


async def use(client):
    """Lists everything and uses what is listed."""
    tools = (await client.list_tools()).tools
    print("tools:", [tool.name for tool in tools], file=sys.stderr)
    asked = CONTEXT.get("toolCalls") or [{"name": tool.name, "arguments": bare(tool, tools)} for tool in tools]
    for call in asked:
        await tried(call["name"], client.call_tool(call["name"], call["arguments"]))
    if client.server_capabilities.resources is not None:
        for resource in (await client.list_resources()).resources:
            await tried(resource.uri, client.read_resource(resource.uri))
    if client.server_capabilities.prompts is not None:
        for prompt in (await client.list_prompts()).prompts:
            await tried(prompt.name, client.get_prompt(prompt.name, {}))


async def act(url, token):
    headers = {"Authorization": f"Bearer {token}"}
    mode = "legacy" if VERSION < "2026" else VERSION
    async with create_mcp_http_client(headers=headers) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, elicitation_callback=elicit) as client:
            await use(client)


def main():
    name = f"suite-{os.getpid()}"
    url, token = expose(name, sys.argv[1])
    try:
        asyncio.run(asyncio.wait_for(act(url, token), 25))
    finally:
        # The suite waits until nobody is connected to its server any more.
        toolgate("delete", "gateway", name)
        toolgate("delete", "server", name)


main()
