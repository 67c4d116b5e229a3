// TypeScript SDK 1.x: the session era only.
import assert from 'node:assert/strict';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CallToolResultSchema, CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema, ListToolsResultSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { collectWarnings, processEnded, run, subjectFromArguments, text, watchProgressOrder, within } from './checks.mjs';
import { Notices, runFeatures } from './features.mjs';

const subject = subjectFromArguments();

/** 1.x keeps the negotiated revision to itself, except that it tells its transport. */
function spyRevision(transport) {
  const spied = { revision: undefined };
  const tell = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = revision => { spied.revision = revision; tell?.(revision); };
  return spied;
}

function clientOf(person) {
  const implementation = { name: 'freehold-clients', version: '1.0.0' };
  if (!person) return new Client(implementation);
  const client = new Client(implementation, { capabilities: { sampling: {}, elicitation: { form: {} }, roots: {} } });
  client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => person.sample(params));
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => person.elicit(params));
  client.setRequestHandler(ListRootsRequestSchema, () => person.roots());
  return client;
}

/** 1.x gives one page at a time. */
async function allTools(client) {
  const all = [];
  let cursor;
  do {
    const { tools, nextCursor } = await client.listTools({ cursor });
    all.push(...tools);
    cursor = nextCursor;
  } while (cursor !== undefined);
  return all;
}

async function connect(person) {
  const http = subject.transport === 'http';
  const errors = [];
  const transport = http
    ? new StreamableHTTPClientTransport(subject.url)
    : new StdioClientTransport({ command: subject.command, args: subject.args, stderr: 'inherit' });
  const spied = spyRevision(transport);
  const client = clientOf(person);
  const notices = new Notices();
  client.fallbackNotificationHandler = async ({ method, params }) => notices.tell(method, params);
  let order;
  let closing = false;
  client.onerror = error => { if (!closing && (order?.blames(error) ?? true)) errors.push(String(error)); };
  await client.connect(transport);
  order = watchProgressOrder(transport);
  const { pid } = transport;
  return {
    errors,
    order,
    revision: spied.revision,
    serverName: () => client.getServerVersion()?.name,
    capabilities: () => client.getServerCapabilities(),
    ping: () => client.ping(),
    listTools: () => allTools(client),
    call: (name, args, { meta, ...options } = {}) => client.callTool({ name, arguments: args, _meta: meta }, undefined, options),
    page: (method, cursor) => client.request({ method, params: { cursor } }, ListToolsResultSchema),
    setLevel: level => client.setLoggingLevel(level),
    listResources: async () => (await client.listResources()).resources,
    listTemplates: async () => (await client.listResourceTemplates()).resourceTemplates,
    readResource: uri => client.readResource({ uri }),
    subscribe: uri => client.subscribeResource({ uri }),
    unsubscribe: uri => client.unsubscribeResource({ uri }),
    listPrompts: async () => (await client.listPrompts()).prompts,
    getPrompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: params => client.complete(params),
    heard: (method, count) => notices.heard(method, count),
    seen: method => notices.seen(method),
    forget: method => notices.forget(method),
    tasks: client.experimental.tasks,
    close: async () => {
      if (http) await transport.terminateSession();
      // From here on the client cuts its own streams and reports that as an error.
      closing = true;
      await client.close();
    },
    ended: async () => { if (!http) await processEnded(pid); },
  };
}

/** A tool as a task: all that the client tells of it until its end. */
async function runAsTask({ tasks }, name, args) {
  const told = [];
  for await (const message of tasks.callToolStream({ name, arguments: args }, undefined, { task: { ttl: 60_000 } })) {
    if (message.type === 'error') throw message.error;
    told.push(message);
  }
  return { task: told.find(({ type }) => type === 'taskCreated').task, result: told.at(-1).result };
}

async function tasks({ session, person }) {
  const { task, result } = await within(runAsTask(session, 'slow_compute', { seconds: 0.2, label: 'it' }), 'a task');
  assert.match(text(result), /Computed it/);
  assert.equal(task.status, 'working');
  const { taskId } = task;
  assert.equal((await within(session.tasks.getTask(taskId), 'tasks/get')).status, 'completed');
  assert.match(text(await within(session.tasks.getTaskResult(taskId, CallToolResultSchema), 'tasks/result')), /Computed it/);
  assert.ok((await within(session.tasks.listTasks(), 'tasks/list')).tasks.some(listed => listed.taskId === taskId));

  person.answers.push({ action: 'accept', content: { confirm: true } });
  const asked = await within(runAsTask(session, 'confirm_delete', { filename: 'a.txt' }), 'a task that asks');
  assert.match(text(asked.result), /Would delete a\.txt/);
  assert.match(person.questions.elicitation.splice(0)[0].message, /a\.txt/);

  const endless = session.tasks.callToolStream({ name: 'slow_compute', arguments: { seconds: 600 } }, undefined, { task: {} });
  const { value: { task: running } } = await within(endless.next(), 'a task to cancel');
  assert.equal((await within(session.tasks.cancelTask(running.taskId), 'tasks/cancel')).status, 'cancelled');
  assert.equal((await within(session.tasks.getTask(running.taskId), 'tasks/get')).status, 'cancelled');
  await assert.rejects(within(session.tasks.cancelTask(running.taskId), 'tasks/cancel'), ({ code }) => code === -32602);
  await endless.return();
  await assert.rejects(within(session.tasks.getTask('nobody'), 'tasks/get'), ({ code }) => code === -32602);
}

const client = { client: 'typescript sdk 1', connect, tasks, ...subject };
await (subject.server === 'freehold' ? run(client) : runFeatures(client, collectWarnings()));
