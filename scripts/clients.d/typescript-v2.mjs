// TypeScript client 2.x, in the session era (its default) and in the stateless one.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { processEnded, run, subjectFromArguments, watchProgressOrder } from './checks.mjs';

const subject = subjectFromArguments();
const stateless = subject.revision >= '2026-07-28';

async function connect() {
  const http = subject.transport === 'http';
  const errors = [];
  const transport = http
    ? new StreamableHTTPClientTransport(subject.url)
    : new StdioClientTransport({ command: subject.command, args: subject.args, stderr: 'inherit' });
  const client = new Client({ name: 'freehold-clients', version: '1.0.0' },
    stateless ? { versionNegotiation: { mode: { pin: subject.revision } } } : {});
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
    ping: () => client.ping(),
    listTools: async () => (await client.listTools()).tools,
    call: (name, args, options) => client.callTool({ name, arguments: args }, options),
    close: async () => {
      if (http && !stateless) await transport.terminateSession();
      // From here on the client cuts its own streams and reports that as an error.
      closing = true;
      await client.close();
    },
    ended: async () => { if (!http) await processEnded(pid); },
  };
}

await run({ client: 'typescript client 2', connect, ...subject });
