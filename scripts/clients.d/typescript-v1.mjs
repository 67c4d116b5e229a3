// TypeScript SDK 1.x: the session era only.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { processEnded, run, subjectFromArguments, watchProgressOrder } from './checks.mjs';

const subject = subjectFromArguments();

/** 1.x keeps the negotiated revision to itself, except that it tells its transport. */
function spyRevision(transport) {
  const spied = { revision: undefined };
  const tell = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = revision => { spied.revision = revision; tell?.(revision); };
  return spied;
}

async function connect() {
  const http = subject.transport === 'http';
  const errors = [];
  const transport = http
    ? new StreamableHTTPClientTransport(subject.url)
    : new StdioClientTransport({ command: subject.command, args: subject.args, stderr: 'inherit' });
  const spied = spyRevision(transport);
  const client = new Client({ name: 'freehold-clients', version: '1.0.0' });
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
    ping: () => client.ping(),
    listTools: async () => (await client.listTools()).tools,
    call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
    close: async () => {
      if (http) await transport.terminateSession();
      // From here on the client cuts its own streams and reports that as an error.
      closing = true;
      await client.close();
    },
    ended: async () => { if (!http) await processEnded(pid); },
  };
}

await run({ client: 'typescript sdk 1', connect, ...subject });
