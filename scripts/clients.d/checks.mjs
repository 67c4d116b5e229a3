// What every scripted client checks of `freehold serve`, written once for both TypeScript generations, and what features.mjs
// shares with it. A client file brings `connect()`, which returns a session: revision, serverName(), ping(), listTools(), call(), close(), ended().
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const WAIT_LIMIT_MS = 60_000;
const SLOW_MS = 3_000;
const ABANDONED_MS = 20_000;
const TRANSFERS = 32;
const OPENING_BALANCE = 1_000;
const TOOLS = ['echo', 'slow', 'open_account', 'deposit', 'transfer', 'balance', 'audit'];
const LEDGER = JSON.parse(readFileSync(new URL('ledger.json', import.meta.url), 'utf8'));

/** Fails, and only fails, when `promise` takes longer than the limit. */
export function within(promise, what) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer in ${WAIT_LIMIT_MS} ms`)), WAIT_LIMIT_MS);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

export function text(result) {
  assert.ok(!result.isError, `tool error: ${JSON.stringify(result.content)}`);
  return result.content.filter(block => block.type === 'text').map(block => block.text).join('');
}

async function echo(session, message) {
  const answer = text(await within(session.call('echo', { text: message }), 'echo'));
  assert.equal(answer, message);
}

/** A started `slow` call: `begun` settles with its first progress notification, so that it surely runs. */
function startSlow(session, ms, signal) {
  const slow = { settled: false, progress: [] };
  let begin;
  slow.begun = new Promise(resolve => { begin = resolve; });
  slow.done = session.call('slow', { ms }, {
    signal,
    onprogress: progress => { slow.progress.push(progress); begin(); },
  }).finally(() => { slow.settled = true; });
  slow.done.catch(() => {});
  // A call that fails before any progress must not look like silence.
  slow.begun = within(Promise.race([slow.begun, slow.done]), 'first progress of slow');
  return slow;
}

async function echoOvertakes(slowSession, echoSession) {
  const slow = startSlow(slowSession, SLOW_MS);
  await slow.begun;
  await echo(echoSession, 'overtakes');
  assert.equal(slow.settled, false, 'echo came back after slow');
  text(await within(slow.done, 'slow'));
}

/** An error may be a JSON-RPC error or a tool result with isError; which one is the revision's choice. */
async function refuses(session, tool, args) {
  const outcome = await within(session.call(tool, args).then(result => ({ result }), error => ({ error })), tool);
  assert.ok(outcome.error || outcome.result.isError, `${tool}(${JSON.stringify(args)}) was accepted`);
}

async function ledger(session, tool, args, field) {
  const result = await within(session.call(tool, args), tool);
  text(result);
  const value = result.structuredContent?.[LEDGER[field]];
  assert.notEqual(value, undefined, `${tool} has no ${LEDGER[field]} in ${JSON.stringify(result.structuredContent)}`);
  return value;
}

async function transfersKeepTheTotal(session) {
  const open = owner => ledger(session, 'open_account', { owner, balance: OPENING_BALANCE }, 'account');
  const [first, second] = [await open('first'), await open('second')];
  await session.call('deposit', { account: first, amount: 5 });
  const before = await ledger(session, 'audit', {}, 'total');
  const results = await within(Promise.all(Array.from({ length: TRANSFERS }, (_, index) => {
    const [from, to] = index % 2 === 0 ? [first, second] : [second, first];
    return session.call('transfer', { from, to, amount: 1 + (index % 7), pause_ms: 5 });
  })), 'transfers');
  results.forEach(text);
  assert.equal(await ledger(session, 'audit', {}, 'total'), before, 'audit total changed');
  const balances = await Promise.all([first, second].map(account => ledger(session, 'balance', { account }, 'balance')));
  assert.equal(balances[0] + balances[1], 2 * OPENING_BALANCE + 5);
  await refuses(session, 'transfer', { from: first, to: second, amount: 10 * OPENING_BALANCE });
}

async function cancelAndGoOn(session) {
  const abort = new AbortController();
  const slow = startSlow(session, ABANDONED_MS, abort.signal);
  await slow.begun;
  abort.abort('no longer wanted');
  await assert.rejects(within(slow.done, 'cancelled slow'));
  await echo(session, 'after a cancel');
}

export function listsTheTools(tools) {
  const byName = new Map(tools.map(tool => [tool.name, tool]));
  for (const name of TOOLS) {
    assert.ok(byName.has(name), `no tool ${name}`);
    assert.equal(byName.get(name).inputSchema?.type, 'object', `${name} has no object schema`);
  }
  assert.ok(byName.get('echo').inputSchema.properties?.text, 'echo has no text in its schema');
  assert.ok(byName.get('audit').outputSchema, 'audit has no output schema');
}

function progressIsOrdered(notifications) {
  assert.ok(notifications.length >= 2, `${notifications.length} progress notifications in ${SLOW_MS} ms`);
  notifications.forEach(({ progress, total }, index) => {
    assert.ok(index === 0 || progress > notifications[index - 1].progress, 'progress does not increase');
    assert.ok(total === undefined || progress <= total, 'progress exceeds its total');
  });
}

/** What a client prints as a warning during the whole run is a finding about the server. */
export function collectWarnings() {
  const warnings = [];
  for (const level of ['warn', 'error']) {
    console[level] = (...words) => { warnings.push(words.map(String).join(' ')); };
  }
  process.on('warning', warning => warnings.push(String(warning)));
  return warnings;
}

function checksOf({ transport, revision, connect }, warnings) {
  let main;
  let other;
  const http = transport === 'http';
  const sessions = revision < '2026-07-28';
  return [
    ['connect', true, async () => {
      main = await within(connect(), 'connect');
      assert.equal(main.revision, revision);
    }],
    ['server name', true, async () => assert.equal(main.serverName(), 'freehold')],
    ['ping', sessions, () => within(main.ping(), 'ping')],
    ['tools/list', true, async () => listsTheTools(await within(main.listTools(), 'tools/list'))],
    ['echo unicode', true, () => echo(main, 'naïve 日本語 עברית 🦀👩‍👩‍👧 \u0000\u001f\u2028 "quoted" \\ \n\t')],
    ['echo 64 KiB', true, async () => { await echo(main, 'x'.repeat(65_536)); await echo(main, 'é'.repeat(32_768)); }],
    ['echo empty', true, () => echo(main, '')],
    ['echo overtakes slow, same session', true, () => echoOvertakes(main, main)],
    ['echo overtakes slow, other session', http, async () => {
      other = await within(connect(), 'second connect');
      await echoOvertakes(main, other);
    }],
    ['progress', true, async () => {
      const slow = startSlow(main, SLOW_MS);
      text(await within(slow.done, 'slow'));
      progressIsOrdered(slow.progress);
    }],
    ['cancel, go on', true, () => cancelAndGoOn(main)],
    ['unknown tool', true, () => refuses(main, 'no_such_tool', {})],
    ['bad arguments', true, async () => {
      await refuses(main, 'echo', {});
      await refuses(main, 'echo', { text: 42 });
      await refuses(main, 'slow', { ms: 'soon' });
      await echo(main, 'after errors');
    }],
    ['transfers keep the total', true, () => transfersKeepTheTotal(main)],
    ['close', true, async () => {
      for (const session of [main, other].filter(Boolean)) {
        await within(session.close(), 'close');
        await within(session.ended(), 'end of the server process');
        assert.deepEqual([...session.errors, ...session.order.late], []);
      }
    }],
    ['no warning from the client', true, async () => assert.deepEqual(warnings, [])],
  ];
}

/** Runs rows of [name, applies, check]: one line each on stderr, one JSON line on stdout for the table. */
export async function runRows({ client, transport, revision, server }, rows) {
  const log = line => process.stderr.write(`${line}\n`);
  const tally = { client, transport, revision, server, passed: 0, total: 0, failed: [], without: [] };
  for (const [name, applies, check] of rows) {
    if (!applies) {
      tally.without.push(name);
      log(`  n/a   ${name}`);
      continue;
    }
    tally.total += 1;
    try {
      await check();
      tally.passed += 1;
      log(`  ok    ${name}`);
    } catch (error) {
      tally.failed.push(name);
      log(`  FAIL  ${name}: ${error?.stack ?? error}`);
      if (name === 'connect') break;
    }
  }
  process.stdout.write(`${JSON.stringify(tally)}\n`);
  process.exit(tally.failed.length > 0 ? 1 : 0);
}

/** The checks of a client library. */
export function run(subject) {
  return runRows({ ...subject, server: 'freehold' }, checksOf(subject, collectWarnings()));
}

/** `--server (freehold|everything) --revision R (--http URL | --stdio COMMAND...)` of a client file. */
export function subjectFromArguments() {
  const [server, name, flag, revision, transport, ...rest] = process.argv.slice(2);
  assert.ok(server === '--server' && ['freehold', 'everything'].includes(name) && flag === '--revision'
    && ['--http', '--stdio'].includes(transport) && rest.length > 0,
  'usage: FILE --server (freehold|everything) --revision REVISION (--http URL | --stdio COMMAND...)');
  return transport === '--http'
    ? { server: name, revision, transport: 'http', url: new URL(rest[0]) }
    : { server: name, revision, transport: 'stdio', command: rest[0], args: rest.slice(1) };
}

/**
 * Watches a connected transport: `late` collects progress that came after the answer of its request. Both
 * TypeScript clients deliver notifications a microtask later than answers, so when the last progress and the
 * answer arrive in one chunk they report an unknown token although the server kept the order; `blames` tells
 * the errors that are about the server.
 */
export function watchProgressOrder(transport) {
  const answered = new Set();
  const late = [];
  const deliver = transport.onmessage;
  transport.onmessage = (message, ...extra) => {
    if (message.method === 'notifications/progress') {
      if (answered.has(message.params.progressToken)) late.push(`late progress: ${JSON.stringify(message.params)}`);
    } else if (message.method === undefined) {
      // Both clients use the request id as progress token.
      answered.add(message.id);
    }
    deliver(message, ...extra);
  };
  return { late, blames: error => !/progress notification for an unknown token/.test(String(error)) };
}

/** Settles when no process has this pid any more. */
export async function processEnded(pid) {
  const exists = () => { try { process.kill(pid, 0); return true; } catch { return false; } };
  while (exists()) await new Promise(resolve => setTimeout(resolve, 20));
}
