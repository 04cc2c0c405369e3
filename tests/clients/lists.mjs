// A TypeScript SDK as a client that lists everything: `lists.mjs v1|v2 URL TOKEN`. Prints one JSON object.
import { createRequire } from 'node:module';

const [generation, url, token] = process.argv.slice(2);
const load = createRequire(`${process.env.CLIENTS}/`);
const identity = { name: `typescript-${generation}`, version: '1.0.0' };

function sdk() {
  if (generation === 'v1') {
    const { Client } = load('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = load('@modelcontextprotocol/sdk/client/streamableHttp.js');
    return { client: new Client(identity), StreamableHTTPClientTransport };
  }
  const { Client, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');
  return { client: new Client(identity, { versionNegotiation: { mode: 'auto' } }), StreamableHTTPClientTransport };
}

const report = {};
try {
  const { client, StreamableHTTPClientTransport } = sdk();
  const headers = { Authorization: `Bearer ${token}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
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
