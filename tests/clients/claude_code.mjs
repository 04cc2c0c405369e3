// Claude Code as a client: `claude_code.mjs URL TOKEN TOOL MESSAGE [PREFIX...]`; see typescript.mjs for what it does and
// prints. The client is the real one; what takes an account is its model. So the model is played here, on loopback: it says
// which tools to call, and what Claude Code tells it of tools and results is what this program reports. Whatever Claude Code
// asks of anybody else goes to a proxy that refuses it, and fails the run. HOME must be a folder of its own.
import { execFile } from 'node:child_process';
import http from 'node:http';
import { promisify } from 'node:util';

const [url, token, tool, message, ...prefixes] = process.argv.slice(2);
const SERVER = 'mcp__gateway__';
// How often a change of the list is waited for, and how long each time.
const TURNS = 60;
const TURN_MS = 500;

const report = {};
// What was asked for beside messages of the model.
const elsewhere = [];

// What the model does: yields a tool and its arguments, and is told the result and the tools that are offered by then.
function* conversation({ tools }) {
  report.tools = tools;
  report.text = (yield [tool, { message }]).text;
  const unknown = yield ['no_such_tool_anywhere', {}];
  report.unknown = { kind: unknown.isError ? 'refused by itself' : 'success', message: unknown.text };
  report.fixtures = [];
  for (const prefix of prefixes) {
    const { text } = yield [`${prefix}echo`, { message }];
    const failing = yield [`${prefix}test_error_handling`, {}];
    report.fixtures.push({ text, failing: failing.isError ? failing.text : null });
  }
  if (prefixes.length === 0) return;
  yield [`${prefixes[0]}test_trigger_tool_change`, {}];
  for (let turn = 0; turn < TURNS && !report.changed; turn += 1) {
    const told = yield [`${prefixes[0]}sleep`, { ms: TURN_MS }];
    report.changed = told.tools.length !== tools.length;
  }
}

const listed = (body) => (body.tools ?? []).map(({ name }) => name).filter((name) => name.startsWith(SERVER));
const text = (content) => (typeof content === 'string' ? content : content.map((block) => block.text).join(''));

let acts;
let calls = 0;

// The next thing that the model says to a request.
function say(body) {
  const told = { tools: listed(body).map((name) => name.slice(SERVER.length)) };
  const blocks = body.messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
  const results = blocks.filter(({ type }) => type === 'tool_result');
  const last = results.at(-1);
  if (last) Object.assign(told, { text: text(last.content), isError: last.is_error === true });
  if (results.length !== calls || (last && last.tool_use_id !== `toolu_${calls}`)) {
    throw new Error(`${calls} calls and these results: ${JSON.stringify(results)}`);
  }
  if (acts === undefined && told.tools.length === 0) throw new Error('no tool of the gateway is offered to the model');
  acts ??= conversation(told);
  const next = acts.next(told);
  if (next.done) return { type: 'text', text: 'Done.' };
  const [name, input] = next.value;
  calls += 1;
  return { type: 'tool_use', id: `toolu_${calls}`, name: `${SERVER}${name}`, input };
}

// One message in the form in which the Messages API streams it.
function streamed(block, { model }) {
  const [empty, delta, stop_reason] =
    block.type === 'text'
      ? [{ ...block, text: '' }, { type: 'text_delta', text: block.text }, 'end_turn']
      : [{ ...block, input: {} }, { type: 'input_json_delta', partial_json: JSON.stringify(block.input) }, 'tool_use'];
  const usage = { input_tokens: 1, output_tokens: 1 };
  const about = { id: `msg_${calls}`, type: 'message', role: 'assistant', model, content: [], stop_reason: null, usage };
  const events = [
    { type: 'message_start', message: about },
    { type: 'content_block_start', index: 0, content_block: empty },
    { type: 'content_block_delta', index: 0, delta },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage },
    { type: 'message_stop' },
  ];
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
}

async function model(request, response) {
  try {
    let body = '';
    for await (const piece of request) body += piece;
    const path = new URL(request.url, 'http://model').pathname;
    if (request.method !== 'POST' || path !== '/v1/messages') throw new Error(`${request.method} ${request.url}`);
    const asked = JSON.parse(body);
    const answer = streamed(say(asked), asked);
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(answer);
  } catch (error) {
    elsewhere.push(error.message);
    const refusal = { type: 'error', error: { type: 'invalid_request_error', message: error.message } };
    response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify(refusal));
  }
}

async function listen(server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

const outside = http.createServer((request, response) => {
  elsewhere.push(request.url);
  response.writeHead(403).end();
});
outside.on('connect', (request, socket) => {
  elsewhere.push(request.url);
  socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
});

try {
  const [api, proxy] = [await listen(http.createServer(model)), await listen(outside)];
  const mine = ([name]) => !/^(CLAUDE|ANTHROPIC)|proxy$/i.test(name);
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(mine)),
    ANTHROPIC_BASE_URL: api,
    ANTHROPIC_API_KEY: 'of-nobody',
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    NO_PROXY: '127.0.0.1',
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    // All tools are told to the model at once, not looked for when it wants one.
    ENABLE_TOOL_SEARCH: 'false',
  };
  const options = { env, cwd: process.env.HOME, timeout: 80_000, maxBuffer: 1 << 26 };
  const claude = async (...line) => {
    const running = promisify(execFile)(`${process.env.CLIENTS}/node_modules/.bin/claude`, line, options);
    running.child.stdin.end();
    return (await running).stdout;
  };
  const header = `Authorization: Bearer ${token}`;
  await claude('mcp', 'add', '--scope', 'user', '--transport', 'http', 'gateway', url, '--header', header);
  const row = (await claude('mcp', 'list')).split('\n').find((line) => line.startsWith('gateway:')) ?? 'it is not listed';
  if (!row.endsWith('Connected') || row.includes('Failed')) throw new Error(row);
  report.connected = row;
  const said = JSON.parse(await claude('-p', 'Do it.', '--allowedTools', 'mcp__gateway', '--output-format', 'json'));
  if (said.is_error || said.result !== 'Done.') throw new Error(JSON.stringify(said));
} catch (error) {
  report.failed = error.message;
}
if (elsewhere.length > 0) report.failed = `it asked elsewhere: ${elsewhere.join(', ')} ${report.failed ?? ''}`;
console.log(JSON.stringify(report));
process.exit(report.failed ? 1 : 0);
