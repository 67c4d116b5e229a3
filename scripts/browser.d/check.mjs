// The admin page as a browser shows it. Arguments: the browser, the example `busy`, a folder for screenshots.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { startChromium, within } from './chromium.mjs';

const [chromium, busy, folder] = process.argv.slice(2);
const problems = [];
const check = (what, holds, seen) => {
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}${seen === undefined ? '' : ` (${seen})`}`);
  if (!holds) problems.push(what);
};

const server = spawn(busy, ['127.0.0.1:0'], { stdio: ['pipe', 'pipe', 'inherit'] });
const url = await within('the address of the page', new Promise(found => {
  let text = '';
  server.stdout.on('data', chunk => { text += chunk; if (text.includes('\n')) found(text.trim()); });
}));
const does = line => server.stdin.write(`${line}\n`);
const browser = await startChromium(chromium);

// One of them may come at a bad moment for the machine.
const LOADS = 7;
const FIRST_PAINT_MS = 300;

const median = figures => figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)];

// From the click to the first content, as the browser measures it.
async function firstPaint(page) {
  await page.open(url);
  return page.evaluate(`new Promise(done => new PerformanceObserver(list => {
    const first = list.getEntriesByName('first-contentful-paint')[0];
    if (first) done(first.startTime);
  }).observe({ type: 'paint', buffered: true }))`);
}

async function content(page) {
  // The first one starts the browser's own machinery.
  await page.open(url);
  const paints = [];
  for (let load = 0; load < LOADS; load += 1) paints.push(await firstPaint(page));
  const paint = median(paints);
  check(`first paint within ${FIRST_PAINT_MS} ms, in the median of ${LOADS} loads`, paint <= FIRST_PAINT_MS,
    `${Math.round(paint)} ms; ${paints.map(Math.round).join(', ')}`);
  await page.until('the live badge', `document.getElementById('live').textContent === 'live'`);
  check('the page says that it is live and the server ready', await page.evaluate(
    `document.title === 'Freehold' && document.getElementById('status').textContent.trim() === 'ready'`));
  for (const [id, text] of [['calls', 'report'], ['classes', 'index'], ['breakers', 'upstream'], ['sessions', 'in all'], ['locks', 'ledger']]) {
    await page.until(`${text} in ${id}`, `document.getElementById('${id}').textContent.includes('${text}')`);
  }
  await page.until('a line of rates', `document.querySelector('#rates .rate').getAttribute('d').includes('L')`);
  await page.until('a line of latencies', `document.querySelector('#latencies .p99').getAttribute('d').includes('L')`);
  const before = await page.evaluate(`document.getElementById('tiles').textContent`);
  await page.until('another figure', `document.getElementById('tiles').textContent !== ${JSON.stringify(before)}`);
  check('all parts are there, and change', true);
}

async function deadlock(page) {
  // Beside it there may be some that are suspected only: on a slow machine the waiters wait for long.
  const proven = `[...document.querySelectorAll('#reports li')].find(item => item.textContent.includes('PROVEN'))`;
  check('no deadlock yet', await page.evaluate(`!${proven}`));
  const begun = Date.now();
  does('deadlock');
  await page.until('the report', `${proven}`);
  const took = Date.now() - begun;
  check('a deadlock is on the page within a second', took <= 1000, `${took} ms`);
  const id = await page.evaluate(`${proven}.querySelector('a').textContent.trim()`);
  check('the ring is drawn, with its victim', await page.evaluate(
    `document.querySelectorAll('#graph .arrow.ring').length === 2 && document.querySelectorAll('#graph .node.victim').length === 1`));
  return id;
}

async function keyboard(page) {
  await page.press('/');
  check('a slash leads to the search', await page.evaluate(`document.activeElement.id === 'q'`));
  await page.type('ledger');
  await page.until('what fits', `document.getElementById('calls').textContent.includes('fit the search')`);
  const others = await page.evaluate(`[...document.querySelectorAll('#calls tbody tr')].some(row => row.textContent.includes('look_up'))`);
  check('only what fits is listed', !others);
  check('the focus stays where it is', await page.evaluate(`document.activeElement.id === 'q'`));
  check('the search is in the address', (await page.evaluate('location.search')) === '?q=ledger');
  await page.press('Escape');
  await page.until('the end of the search', `location.search === '' && !document.getElementById('calls').textContent.includes('fit the search')`);
  await page.open(url);
  await page.press('Tab');
  check('the first stop of the keyboard leads to the content', await page.evaluate(`document.activeElement.className === 'skip'`));
}

const shot = (page, name) => page.screenshot(join(folder, `${name}.png`));
// Nothing is wider than the window but what scrolls by itself.
const fitsWindow = page => page.evaluate('document.documentElement.scrollWidth <= document.documentElement.clientWidth');

try {
  const page = await browser.openPage();
  await page.look(1280, 900, 'light');
  await content(page);
  does('waiters 60');
  does('break');
  await page.until('the waiters', `document.getElementById('graph').textContent.includes(' x look_up')`);
  await page.until('the breaker', `document.querySelector('#breakers .bad')`);
  const id = await deadlock(page);
  await shot(page, 'light');
  await keyboard(page);
  await page.look(1280, 900, 'dark');
  await shot(page, 'dark');
  await page.look(390, 844, 'light', true);
  check('a phone need not scroll sideways', await fitsWindow(page));
  await shot(page, 'phone');
  await page.look(390, 844, 'dark', true);
  await shot(page, 'phone-dark');

  await page.look(1280, 900, 'light');
  does('crowd 10000');
  await page.until('the crowd', `/1?0,\\d{3} in all/.test(document.getElementById('calls').textContent)`);
  await page.until('a later picture of it', `document.getElementById('live').textContent === 'live'`);
  check('10,000 handlers are one row', await page.evaluate(
    `[...document.querySelectorAll('#calls tbody tr')].some(row => row.textContent.includes('sleep') && row.textContent.includes('10,000'))`));
  await shot(page, 'crowd');
  // Far longer than a look serves where there is so much to look at.
  does('block 5000');
  await page.until('the finding', `document.getElementById('findings').textContent.includes('blocks the thread')`);
  check('not ready while a thread is blocked', await page.evaluate(`document.getElementById('status').textContent.includes('not ready')`));
  await shot(page, 'blocked');
  await page.until('the end of it', `document.getElementById('status').textContent.trim() === 'ready'`);

  const report = await browser.openPage();
  await report.look(1280, 900, 'light');
  await report.open(`${url}admin/reports/${id}`);
  check('the report has a page', await report.evaluate(`document.title.startsWith('${id}') && document.querySelectorAll('.arrow.ring').length === 2`));
  await shot(report, 'report');
  await report.look(390, 844, 'dark', true);
  check('also on a phone', await fitsWindow(report));
  await shot(report, 'report-phone');
  await report.open(`${url}admin/reports/${id}.svg`);
  check('the drawing stands alone', await report.evaluate(`document.documentElement.tagName === 'svg'`));
  await report.look(600, 200, 'light');
  await shot(report, 'svg');
  check('no error in the console', page.errors.length === 0 && report.errors.length === 0, [...page.errors, ...report.errors].join('; ') || undefined);
} catch (error) {
  check(error.message, false);
} finally {
  await browser.stop();
  server.stdin.end();
  server.kill();
}
console.log(problems.length === 0 ? `all is well; screenshots are in ${folder}` : `${problems.length} failed`);
process.exit(problems.length === 0 ? 0 : 1);
