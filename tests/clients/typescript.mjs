// A TypeScript SDK as a client: `typescript.mjs v1|v2 URL TOKEN TOOL MESSAGE [PREFIX...]`.
// Lists, calls a tool, calls one that does not exist, and then the fixture's tools under each prefix; prints one JSON
// object. Where `run_tool` is listed, each tool is searched for and run with it.
// The packages stand beside the installed tools, not beside this file: CLIENTS says where.
import { createRequire } from 'node:module';

const [generation, url, token, tool, message, ...prefixes] = process.argv.slice(2);
const load = createRequire(`${process.env.CLIENTS}/`);

let tellChanged;
const changed = new Promise((resolve) => {
  tellChanged = () => resolve(true);
});
const late = new Promise((resolve) => setTimeout(() => resolve(false), 30_000).unref());

function sdk() {
  const identity = { name: `typescript-${generation}`, version: '1.0.0' };
  if (generation === 'v1') {
    const { Client } = load('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = load('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const { ToolListChangedNotificationSchema } = load('@modelcontextprotocol/sdk/types.js');
    const client = new Client(identity);
    client.setNotificationHandler(ToolListChangedNotificationSchema, tellChanged);
    return { client, StreamableHTTPClientTransport };
  }
  const { Client, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');
  const listChanged = { tools: { onChanged: tellChanged } };
  const client = new Client(identity, { versionNegotiation: { mode: 'auto' }, listChanged });
  return { client, StreamableHTTPClientTransport };
}

const { client, StreamableHTTPClientTransport } = sdk();
const headers = { Authorization: `Bearer ${token}` };
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });

const report = {};

// By its name; in a progressive gateway by `run_tool`, after a search.
async function call({ name, arguments: given }, ...options) {
  if (!report.tools.includes('run_tool')) return client.callTool({ name, arguments: given }, ...options);
  const found = await client.callTool({ name: 'search_tools', arguments: { query: name } });
  report.found ??= [];
  report.found.push(found.structuredContent.tools[0]?.name === name);
  return client.callTool({ name: 'run_tool', arguments: { name, arguments: given } }, ...options);
}

async function unknown() {
  try {
    const result = await call({ name: 'no_such_tool_anywhere', arguments: {} });
    return { kind: result.isError ? 'tool error' : 'success' };
  } catch (error) {
    return { kind: 'error', code: error.code, message: error.message };
  }
}

// An echo, a tool that fails and one that tells how far it is.
async function fixture(prefix) {
  const steps = [];
  const onprogress = ({ progress }) => steps.push(progress);
  // Between the call and its options the first generation takes a schema.
  const options = generation === 'v1' ? [undefined, { onprogress }] : [{ onprogress }];
  const echo = await call({ name: `${prefix}echo`, arguments: { message } });
  const failing = await call({ name: `${prefix}test_error_handling`, arguments: {} });
  await call({ name: `${prefix}test_tool_with_progress`, arguments: {} }, ...options);
  return { text: echo.content[0].text, failing: failing.isError ? failing.content[0].text : null, progress: steps };
}

try {
  await client.connect(transport);
  report.protocol = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
  report.server = client.getServerVersion()?.name;
  report.tools = (await client.listTools()).tools.map((listed) => listed.name);
  const result = await call({ name: tool, arguments: { message } });
  report.text = result.content[0].text;
  report.unknown = await unknown();
  report.fixtures = [];
  for (const prefix of prefixes) report.fixtures.push(await fixture(prefix));
  // What is found by searching is not listed, and so no list changes with it.
  if (prefixes.length > 0 && !report.tools.includes('run_tool')) {
    await client.callTool({ name: `${prefixes[0]}test_trigger_tool_change`, arguments: {} });
    report.changed = await Promise.race([changed, late]);
  }
  if (transport.sessionId) await transport.terminateSession();
  await client.close();
} catch (error) {
  report.failed = `${error.name}: ${error.message}`;
}
console.log(JSON.stringify(report));
process.exit(report.failed ? 1 : 0);
