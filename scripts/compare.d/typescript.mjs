// The TypeScript SDK's Streamable HTTP server with the tools that `compare` drives: typescript.mjs PORT. Sessions are kept as
// the SDK's guide shows (serving, "Pin a client to a session"); options are left as they come.
import { createMcpExpressApp } from '@modelcontextprotocol/express';
import { NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node';
import { McpServer, isInitializeRequest } from '@modelcontextprotocol/server';
import { randomUUID } from 'node:crypto';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';

// Between two messages that are published.
const PAUSE_MS = 5;
// Others get their turn after so many notifications.
const TURN = 16;

const joined = new Set();
let handlers = 0;

const text = text => ({ content: [{ type: 'text', text }] });

// A handler that is counted while it runs.
const counted = handler => async (args, ctx) => {
  handlers += 1;
  try {
    return await handler(args, ctx);
  } finally {
    handlers -= 1;
  }
};

const never = (_, { mcpReq: { signal } }) => new Promise(resolve => {
  const cancelled = () => resolve(text('cancelled'));
  if (signal.aborted) cancelled();
  else signal.addEventListener('abort', cancelled, { once: true });
});

function block({ ms }) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  return text('blocked');
}

async function ask({ n }, { mcpReq }) {
  const answer = await mcpReq.elicitInput({
    mode: 'form',
    message: `question ${n}`,
    requestedSchema: { type: 'object', properties: {} },
  });
  return text(answer.action);
}

async function progress({ count, bytes }, { mcpReq }) {
  const message = 'x'.repeat(bytes);
  const { progressToken } = mcpReq._meta;
  for (let sent = 1; sent <= count; sent += 1) {
    await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: sent, total: count, message } });
    if (sent % TURN === 0) await turn();
  }
  return text('sent');
}

async function send(server, count, bytes) {
  const text = 'x'.repeat(bytes);
  for (let number = 1; number <= count; number += 1) {
    await server.sendLoggingMessage({ level: 'error', data: `${number} ${text}` });
    await pause(PAUSE_MS);
  }
}

async function publish({ count, bytes }) {
  await Promise.all([...joined].map(server => send(server, count, bytes)));
  return text('published');
}

function buildServer() {
  const server = new McpServer({ name: 'compare-typescript', version: '1.0.0' }, { capabilities: { logging: {} } });
  const number = z.number().int().nonnegative();
  const tool = (name, shape, handler) =>
    server.registerTool(name, { description: name, inputSchema: z.object(shape) }, handler);
  tool('echo', { text: z.string() }, async args => text(args.text));
  tool('running', {}, async () => text(String(handlers)));
  tool('never', {}, counted(never));
  tool('stubborn', {}, counted(() => new Promise(() => {})));
  tool('sleep', { ms: number }, counted(async ({ ms }) => { await pause(ms); return text('slept'); }));
  tool('block', { ms: number }, counted(block));
  tool('ask', { n: number }, counted(ask));
  tool('progress', { count: number, bytes: number }, counted(progress));
  tool('burst', { bytes: number }, async ({ bytes }) => text('x'.repeat(bytes)));
  tool('panic', {}, counted(() => { throw new Error('on purpose'); }));
  tool('join', {}, async () => { joined.add(server); return text('joined'); });
  tool('publish', { count: number, bytes: number }, counted(publish));
  return server;
}

const sessions = new Map();

async function open(req, res) {
  const server = buildServer();
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    onsessioninitialized: id => { sessions.set(id, transport); },
  });
  transport.onclose = () => {
    joined.delete(server);
    if (transport.sessionId) sessions.delete(transport.sessionId);
  };
  await server.connect(transport);
  await transport.handleRequest(req, res, req.body);
}

const refuse = (res, status, code, message) => res.status(status).json({ jsonrpc: '2.0', error: { code, message }, id: null });

async function route(req, res) {
  const id = req.headers['mcp-session-id'];
  if (id && sessions.has(id)) await sessions.get(id).handleRequest(req, res, req.body);
  else if (!id && isInitializeRequest(req.body)) await open(req, res);
  else if (id) refuse(res, 404, -32001, 'Session not found');
  else refuse(res, 400, -32000, 'Bad Request: Session ID required');
}

const app = createMcpExpressApp();
for (const verb of ['post', 'get', 'delete']) app[verb]('/mcp', route);
app.listen(Number(process.argv[2]), '127.0.0.1');
