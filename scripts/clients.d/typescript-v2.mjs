// TypeScript client 2.x, in the session era (its default) and in the stateless one.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { collectWarnings, processEnded, run, subjectFromArguments, watchProgressOrder } from './checks.mjs';
import { Notices, runFeatures } from './features.mjs';

const subject = subjectFromArguments();
const stateless = subject.revision >= '2026-07-28';

function clientOf(person) {
  const client = new Client({ name: 'freehold-clients', version: '1.0.0' }, {
    ...(stateless ? { versionNegotiation: { mode: { pin: subject.revision } } } : {}),
    ...(person ? { capabilities: { sampling: {}, elicitation: { form: {} }, roots: {} } } : {}),
  });
  if (!person) return client;
  client.setRequestHandler('sampling/createMessage', ({ params }) => person.sample(params));
  client.setRequestHandler('elicitation/create', ({ params }) => person.elicit(params));
  client.setRequestHandler('roots/list', () => person.roots());
  return client;
}

async function connect(person) {
  const http = subject.transport === 'http';
  const errors = [];
  const transport = http
    ? new StreamableHTTPClientTransport(subject.url)
    : new StdioClientTransport({ command: subject.command, args: subject.args, stderr: 'inherit' });
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
    revision: client.getNegotiatedProtocolVersion(),
    serverName: () => client.getServerVersion()?.name,
    capabilities: () => client.getServerCapabilities(),
    ping: () => client.ping(),
    listTools: async () => (await client.listTools()).tools,
    call: (name, args, { meta, ...options } = {}) => client.callTool({ name, arguments: args, _meta: meta }, options),
    page: (method, cursor) => client.request({ method, params: cursor === undefined ? {} : { cursor } }),
    setLevel: level => client.setLoggingLevel(level),
    listResources: async () => (await client.listResources()).resources,
    listTemplates: async () => (await client.listResourceTemplates()).resourceTemplates,
    readResource: uri => client.readResource({ uri }),
    subscribe: uri => client.subscribeResource({ uri }),
    unsubscribe: uri => client.unsubscribeResource({ uri }),
    listen: async filter => {
      const subscription = await client.listen(filter);
      return () => subscription.close();
    },
    listPrompts: async () => (await client.listPrompts()).prompts,
    getPrompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: params => client.complete(params),
    heard: (method, count) => notices.heard(method, count),
    seen: method => notices.seen(method),
    forget: method => notices.forget(method),
    close: async () => {
      if (http && !stateless) await transport.terminateSession();
      // From here on the client cuts its own streams and reports that as an error.
      closing = true;
      await client.close();
    },
    ended: async () => { if (!http) await processEnded(pid); },
  };
}

const client = { client: 'typescript client 2', connect, renewsCodes: true, ...subject };
await (subject.server === 'freehold' ? run(client) : runFeatures(client, collectWarnings()));
