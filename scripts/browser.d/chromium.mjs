// A headless Chromium, driven by the DevTools protocol.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Only ever means failure.
const LIMIT_MS = 30_000;

export const within = (what, promise, limit = LIMIT_MS) => {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`waited for ${what}`)), limit); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

// It crashes at its start now and then, which is no verdict on the page.
const STARTS = 3;
const REMOVALS = 50;

async function launch(binary) {
  const profile = mkdtempSync(join(tmpdir(), 'freehold-browser-'));
  const child = spawn(binary, [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', '--no-first-run',
    '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank',
  ], { stdio: ['ignore', 'ignore', 'pipe'] });
  const address = await within('the address of the browser', new Promise((found, fail) => {
    let text = '';
    child.stderr.on('data', chunk => {
      text += chunk;
      const match = text.match(/DevTools listening on (ws:\S+)/);
      if (match) found(match[1]);
    });
    child.on('exit', () => fail(new Error(`the browser ended: ${text}`)));
  }));
  return { child, profile, address };
}

async function launched(binary) {
  for (let start = 1; ; start += 1) {
    try {
      return await launch(binary);
    } catch (error) {
      if (start === STARTS) throw error;
      console.error(`start ${start} of ${STARTS} failed: ${error.message}`);
    }
  }
}

export async function startChromium(binary) {
  const { child, profile, address } = await launched(binary);
  const socket = new WebSocket(address);
  await within('the browser', new Promise((open, fail) => { socket.onopen = open; socket.onerror = fail; }));
  const waiting = new Map();
  const pages = new Map();
  let last = 0;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.id) {
      const { done, fail } = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) fail(new Error(message.error.message)); else done(message.result);
    } else {
      pages.get(message.sessionId)?.(message);
    }
  };
  const send = (method, params = {}, sessionId) => {
    last += 1;
    const id = last;
    const answer = new Promise((done, fail) => waiting.set(id, { done, fail }));
    socket.send(JSON.stringify({ id, method, params, sessionId }));
    return within(method, answer, 2 * LIMIT_MS);
  };
  const openPage = () => newPage(send, pages);
  const stop = async () => {
    child.removeAllListeners('exit');
    const ended = new Promise(done => child.on('exit', done));
    child.kill();
    await ended;
    await remove(profile);
  };
  return { openPage, stop };
}

// The browser's other processes outlive it for a moment and still write there.
async function remove(folder) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (attempt === REMOVALS) return console.error(`${folder} stays behind: ${error.message}`);
      await new Promise(done => setTimeout(done, 100));
    }
  }
}

async function newPage(send, pages) {
  const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
  const errors = [];
  let loaded = () => {};
  pages.set(sessionId, ({ method, params }) => {
    if (method === 'Page.loadEventFired') loaded();
    if (method === 'Runtime.exceptionThrown') errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error') errors.push(JSON.stringify(params.args));
    if (method === 'Log.entryAdded' && params.entry.level === 'error') errors.push(`${params.entry.text} ${params.entry.url ?? ''}`);
  });
  const ask = (method, params) => send(method, params, sessionId);
  await Promise.all([ask('Page.enable'), ask('Runtime.enable'), ask('Log.enable')]);
  const evaluate = async expression => {
    const { result, exceptionDetails } = await ask('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  return {
    errors,
    evaluate,
    open: async url => {
      const load = new Promise(done => { loaded = done; });
      await ask('Page.navigate', { url });
      await within(url, load);
    },
    // Resolves once the expression is true; looks whenever the page changes.
    until: (what, expression, limit) => within(what, evaluate(`new Promise(done => {
      const look = () => { if (${expression}) { watch.disconnect(); done(true); } };
      const watch = new MutationObserver(look);
      watch.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
      look();
    })`), limit),
    press: async (key, modifiers = {}) => {
      const text = key.length === 1 ? key : undefined;
      await ask('Input.dispatchKeyEvent', { type: 'keyDown', key, text, ...modifiers });
      await ask('Input.dispatchKeyEvent', { type: 'keyUp', key, ...modifiers });
    },
    type: text => ask('Input.insertText', { text }),
    look: (width, height, scheme, mobile = false) => Promise.all([
      ask('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile }),
      ask('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] }),
    ]),
    screenshot: async file => {
      const { data } = await ask('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
      writeFileSync(file, Buffer.from(data, 'base64'));
    },
  };
}
