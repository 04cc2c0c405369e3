// A TypeScript SDK as a client that lists everything: `lists.mjs v1|v2|remote URL TOKEN`. Prints one JSON object. `remote`
// is version 1 over stdio, with mcp-remote between it and the URL.
import { createRequire } from 'node:module';

const [generation, url, token] = process.argv.slice(2);
const load = createRequire(`${process.env.CLIENTS}/`);
const identity = { name: `typescript-${generation}`, version: '1.0.0' };

function sdk() {
  if (generation !== 'v2') {
    const { Client } = load('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = load('@modelcontextprotocol/sdk/client/streamableHttp.js');
    return { client: new Client(identity), StreamableHTTPClientTransport };
  }
  const { Client, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');
  return { client: new Client(identity, { versionNegotiation: { mode: 'auto' } }), StreamableHTTPClientTransport };
}

function transport(StreamableHTTPClientTransport) {
  if (generation !== 'remote') {
    const headers = { Authorization: `Bearer ${token}` };
    return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  }
  const { StdioClientTransport } = load('@modelcontextprotocol/sdk/client/stdio.js');
  const program = `${process.env.CLIENTS}/node_modules/mcp-remote/dist/proxy.js`;
  const args = [program, url, '--allow-http', '--transport', 'http-only', '--header', 'Authorization:${BEARER}'];
  const env = { HOME: process.env.HOME, PATH: process.env.PATH ?? '', BEARER: `Bearer ${token}` };
  return new StdioClientTransport({ command: process.execPath, args, env });
}

const report = {};
try {
  const { client, StreamableHTTPClientTransport } = sdk();
  await client.connect(transport(StreamableHTTPClientTransport));
  report.tools = (await client.listTools()).tools.map((listed) => listed.name);
  report.prompts = (await client.listPrompts()).prompts.map((listed) => listed.name);
  report.resources = (await client.listResources()).resources.map((listed) => listed.uri);
  report.templates = (await client.listResourceTemplates()).resourceTemplates.map((listed) => listed.uriTemplate);
  await client.close();
} catch (error) {
  report.failed = `${error.name}: ${error.message}`;
}
console.log(JSON.stringify(report));
process.exit(report.failed ? 1 : 0);
