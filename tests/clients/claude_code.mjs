// Claude Code as a client: `claude_code.mjs URL TOKEN`. Without an account it does one thing: `claude mcp list` connects
// to what was added and says whether that works. HOME must be a folder of its own.
import { execFileSync } from 'node:child_process';

const [url, token] = process.argv.slice(2);
const mine = ([name]) => !/^(CLAUDE|ANTHROPIC)/.test(name);
const quiet = { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1' };
const env = { ...Object.fromEntries(Object.entries(process.env).filter(mine)), ...quiet };
const options = { env, cwd: process.env.HOME, timeout: 60_000, encoding: 'utf8' };
const claude = (...line) => execFileSync(`${process.env.CLIENTS}/node_modules/.bin/claude`, line, options);

const report = {};
try {
  const header = `Authorization: Bearer ${token}`;
  claude('mcp', 'add', '--scope', 'user', '--transport', 'http', 'gateway', url, '--header', header);
  const line = claude('mcp', 'list').split('\n').find((row) => row.startsWith('gateway:')) ?? 'it is not listed';
  if (!line.endsWith('Connected') || line.includes('Failed')) throw new Error(line);
  report.connected = line;
} catch (error) {
  report.failed = error.message;
}
console.log(JSON.stringify(report));
process.exit(report.failed ? 1 : 0);
