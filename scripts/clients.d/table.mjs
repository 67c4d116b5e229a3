// node table.mjs TALLIES: the closing table of scripts/clients. Exit 1 when a line of it failed.
import { readFileSync } from 'node:fs';

const tallies = readFileSync(process.argv[2], 'utf8').trim().split('\n').map(line => JSON.parse(line));
const rows = tallies.map(({ client, transport, revision, server, passed, total, failed, without }) => [
  client, transport, revision, server, `${passed} of ${total}`,
  failed.length > 0 ? `FAILED: ${failed.join('; ')}` : 'ok',
  without.join('; '),
]);
const table = [['client', 'transport', 'revision', 'server', 'checks', 'result', 'not applicable'], ...rows];
const widths = table[0].map((_, column) => Math.max(...table.map(row => row[column].length)));
for (const row of table) console.log(row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd());
process.exit(tallies.some(({ failed, total }) => failed.length > 0 || total === 0) ? 1 : 0);
