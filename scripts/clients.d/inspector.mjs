// The Inspector's command line: one process, and so one session, per call. Progress, cancelling and the order
// of two calls are out of its reach (the table's `without` says so); its load mode is used for concurrency.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listsTheTools, runRows, subjectFromArguments } from './checks.mjs';
import { FEATURES } from './features.mjs';

const CALL_LIMIT_MS = 60_000;
const TRANSFERS = 40;
const OPENING_BALANCE = 1_000;
const INSPECTOR = fileURLToPath(new URL('../node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', import.meta.url));
const LEDGER = JSON.parse(readFileSync(new URL('ledger.json', import.meta.url), 'utf8'));

const subject = subjectFromArguments();
const http = subject.transport === 'http';
const era = subject.revision >= '2026-07-28' ? 'modern' : 'legacy';
// It writes to its home folder, which must not be the user's.
const home = mkdtempSync(join(tmpdir(), 'inspector-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true }));

/** Runs the Inspector once; resolves to its exit code, the parsed result and what it said on stderr. */
function inspect(...options) {
  const target = http
    ? ['--transport', 'http', '--server-url', subject.url.href]
    : ['--transport', 'stdio', '--', subject.command, ...subject.args];
  const child = spawn(process.execPath,
    [INSPECTOR, '--cli', '--format', 'json', '--protocol-era', era, ...options, ...target],
    { env: { ...process.env, HOME: home }, stdio: ['ignore', 'pipe', 'pipe'], timeout: CALL_LIMIT_MS });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', chunk => { stdout += chunk; });
  child.stderr.setEncoding('utf8').on('data', chunk => { stderr += chunk; });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (signal) reject(new Error(`inspector ${options.join(' ').slice(0, 200)}: no end in ${CALL_LIMIT_MS} ms\n${stderr}`));
      else resolve({ code, stdout, stderr });
    });
  });
}

async function result(...options) {
  const { code, stdout, stderr } = await inspect(...options);
  assert.equal(code, 0, `exit ${code}: ${stdout.slice(0, 500)} ${stderr}`);
  return JSON.parse(stdout).result;
}

function toolOptions(tool, args, ...more) {
  return ['--method', 'tools/call', '--tool-name', tool, '--tool-args-json', JSON.stringify(args), ...more];
}

async function echo(message) {
  const { content } = await result(...toolOptions('echo', { text: message }));
  assert.equal(content[0].text, message);
}

async function refuses(tool, args) {
  const { code, stdout } = await inspect(...toolOptions(tool, args));
  assert.notEqual(code, 0, `${tool}(${JSON.stringify(args)}) was accepted: ${stdout}`);
  assert.notEqual(code, null);
}

async function load(tool, args, requests) {
  const summary = await result(...toolOptions(tool, args, '--load', '--load-concurrency', '8', '--load-requests', String(requests)));
  assert.equal(summary.ok, requests, JSON.stringify(summary));
}

async function ledger(tool, args, field) {
  const { structuredContent } = await result(...toolOptions(tool, args));
  assert.notEqual(structuredContent?.[LEDGER[field]], undefined, `${tool} has no ${LEDGER[field]}: ${JSON.stringify(structuredContent)}`);
  return structuredContent[LEDGER[field]];
}

async function transfersKeepTheTotal() {
  const open = owner => ledger('open_account', { owner, balance: OPENING_BALANCE }, 'account');
  const [first, second] = [await open('first'), await open('second')];
  const before = await ledger('audit', {}, 'total');
  const move = (from, to) => load('transfer', { from, to, amount: 3, pause_ms: 5 }, TRANSFERS);
  await Promise.all([move(first, second), move(second, first)]);
  assert.equal(await ledger('audit', {}, 'total'), before, 'audit total changed');
  assert.equal(await ledger('balance', { account: first }, 'balance'), OPENING_BALANCE);
}

const UNREACHABLE = [
  'ping', 'echo overtakes slow, same session', 'echo overtakes slow, other session', 'progress', 'cancel, go on', 'close',
];

/** What `freehold serve` is asked. */
const OF_FREEHOLD = [
  ['connect', true, async () => {
    const answer = await result('--method', 'initialize');
    assert.equal(answer.protocolVersion, subject.revision);
    assert.equal(answer.serverInfo.name, 'freehold');
  }],
  ['tools/list', true, async () => listsTheTools((await result('--method', 'tools/list')).tools)],
  ['tools/list, portable schemas', true, () => result('--method', 'tools/list', '--strict')],
  ['echo unicode', true, () => echo('naïve 日本語 עברית 🦀👩‍👩‍👧 \u0000\u001f\u2028 "quoted" \\ \n\t')],
  ['echo 64 KiB', true, async () => { await echo('x'.repeat(65_536)); await echo('é'.repeat(32_768)); }],
  ['echo, 100 calls of 8 at a time', true, () => load('echo', { text: 'load' }, 100)],
  ['slow', true, () => result(...toolOptions('slow', { ms: 1_000 }))],
  ['unknown tool', true, () => refuses('no_such_tool', {})],
  ['bad arguments', true, async () => { await refuses('echo', {}); await refuses('slow', { ms: 'soon' }); }],
  // Over stdio every call has a server of its own, so no account outlives its call.
  ['transfers keep the total', http, transfersKeepTheTotal],
  ...UNREACHABLE.map(name => [name, false]),
];

async function content() {
  const call = tool => result(...toolOptions(tool, {}));
  assert.equal((await call('test_image_content')).content[0].mimeType, 'image/png');
  assert.equal((await call('test_audio_content')).content[0].mimeType, 'audio/wav');
  assert.ok((await call('test_embedded_resource')).content[0].resource.text);
}

async function resources() {
  const uris = (await result('--method', 'resources/list')).resources.map(({ uri }) => uri);
  assert.ok(uris.includes('test://static-text') && uris.includes('test://static-binary'), uris.join());
  const read = async uri => (await result('--method', 'resources/read', '--uri', uri)).contents[0];
  assert.ok((await read('test://static-text')).text);
  assert.equal(Buffer.from((await read('test://static-binary')).blob, 'base64').subarray(1, 4).toString(), 'PNG');
  assert.match((await read('test://template/123/data')).text, /123/);
  const { resourceTemplates } = await result('--method', 'resources/templates/list');
  assert.ok(resourceTemplates.some(({ uriTemplate }) => uriTemplate === 'test://template/{id}/data'));
  assert.notEqual((await inspect('--method', 'resources/read', '--uri', 'test://nobody')).code, 0);
}

async function prompts() {
  const names = (await result('--method', 'prompts/list')).prompts.map(({ name }) => name);
  assert.ok(names.includes('test_simple_prompt') && names.includes('test_prompt_with_arguments'), names.join());
  const { messages } = await result('--method', 'prompts/get', '--prompt-name', 'test_prompt_with_arguments',
    '--prompt-args', 'arg1=hello', 'arg2=world');
  assert.match(messages[0].content.text, /hello.*world/);
  assert.notEqual((await inspect('--method', 'prompts/get', '--prompt-name', 'no_such_prompt')).code, 0);
}

const has = feature => FEATURES[subject.revision].includes(feature);
const OUT_OF_REACH = ['progress', 'sampling', 'elicitation', 'roots', 'list changed', 'resource updates', 'completion', 'pagination', 'tasks'];

/** What `examples/everything` is asked. */
const OF_EVERYTHING = [
  ['content', true, content],
  ['errors of tools', true, () => refuses('test_error_handling', {})],
  ['tools/list, portable schemas', true, () => result('--method', 'tools/list', '--strict')],
  ['logging', has('logging') && era === 'legacy', () => result('--method', 'logging/setLevel', '--log-level', 'debug')],
  ['resources', has('resources'), resources],
  ['prompts', has('prompts'), prompts],
  ...OUT_OF_REACH.map(name => [name, false]),
];

await runRows({ client: 'inspector cli 2', ...subject }, subject.server === 'freehold' ? OF_FREEHOLD : OF_EVERYTHING);
