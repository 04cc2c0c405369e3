// The Inspector's command line as a client: `inspector.mjs legacy|modern URL TOKEN TOOL MESSAGE [PREFIX...]`.
// See typescript.mjs for what it does and prints. Every step is a process and a connection of its own.
import { execFile } from 'node:child_process';

const [era, url, token, tool, message, ...prefixes] = process.argv.slice(2);
const program = `${process.env.CLIENTS}/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js`;
const connection = ['--server-url', url, '--transport', 'http', '--protocol-era', era];
const always = [...connection, '--header', `Authorization: Bearer ${token}`, '--format', 'json', '--quiet'];

// Both streams carry one JSON object in a line each: the result, and what went wrong.
function inspect(...asked) {
  return new Promise((resolve) => {
    const line = ['--cli', ...always, '--method', ...asked];
    execFile(process.execPath, [program, ...line], { timeout: 60_000, maxBuffer: 1 << 26 }, (_, out, err) => {
      const parse = (text) => {
        const found = text.split('\n').find((row) => row.startsWith('{'));
        return found ? JSON.parse(found) : {};
      };
      resolve({ ...parse(err), ...parse(out) });
    });
  });
}

function result({ result, error }) {
  if (!result) throw new Error(JSON.stringify(error));
  return result;
}

async function unknown() {
  const { result, error } = await inspect('tools/call', '--tool-name', 'no_such_tool_anywhere');
  return result ? { kind: 'success' } : { kind: 'refused by itself', code: error.code, message: error.message };
}

async function echo(name) {
  const call = ['tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify({ message })];
  return result(await inspect(...call)).content[0].text;
}

async function fixture(prefix) {
  const failing = result(await inspect('tools/call', '--tool-name', `${prefix}test_error_handling`));
  return { text: await echo(`${prefix}echo`), failing: failing.isError ? failing.content[0].text : null };
}

const report = {};
try {
  report.tools = result(await inspect('tools/list')).tools.map((listed) => listed.name);
  report.text = await echo(tool);
  report.unknown = await unknown();
  report.fixtures = [];
  for (const prefix of prefixes) report.fixtures.push(await fixture(prefix));
} catch (error) {
  report.failed = error.message;
}
console.log(JSON.stringify(report));
process.exit(report.failed ? 1 : 0);
