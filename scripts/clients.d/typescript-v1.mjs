// TypeScript SDK 1.x: the session era only.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema, ListToolsResultSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { collectWarnings, processEnded, run, subjectFromArguments, watchProgressOrder } from './checks.mjs';
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
    close: async () => {
      if (http) await transport.terminateSession();
      // From here on the client cuts its own streams and reports that as an error.
      closing = true;
      await client.close();
    },
    ended: async () => { if (!http) await processEnded(pid); },
  };
}

const client = { client: 'typescript sdk 1', connect, ...subject };
await (subject.server === 'freehold' ? run(client) : runFeatures(client, collectWarnings()));
