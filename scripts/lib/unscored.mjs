// The scenarios that the suite runs but does not judge (extensions, pending ones), judged by the same
// rule as the scored ones: node unscored.mjs REQUIREMENTS LOG [BASELINE]. Exit 1 on a new failure, on an
// `unscored` entry that passes, and on any baseline entry that names nothing in its set.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

const [requirementsFile, logFile, baselineFile] = process.argv.slice(2);
const requirements = parse(readFileSync(requirementsFile, 'utf8'));
const baseline = (baselineFile && parse(readFileSync(baselineFile, 'utf8'))) || {};
const log = readFileSync(logFile, 'utf8').replace(/\x1b\[[0-9;]*m/g, '');

const verdicts = new Map([...log.matchAll(/^([✓✗]) ([^:\s]+): \d+ passed/gm)].map(([, mark, name]) => [name, mark === '✓']));
const unscored = requirements.not_scored.filter(entry => entry.leg === 'server').map(entry => entry.scenario);
const expected = baseline.unscored ?? [];

const problems = [];
for (const name of unscored) {
  if (!verdicts.has(name)) problems.push(`${name}: did not run`);
  else if (!verdicts.get(name) && !expected.includes(name)) problems.push(`${name}: new failure (unscored)`);
  else if (verdicts.get(name) && expected.includes(name)) problems.push(`${name}: passes, remove it from unscored`);
}
for (const name of requirements.server) {
  if (!verdicts.has(name)) problems.push(`${name}: did not run`);
}
for (const name of expected) {
  if (!unscored.includes(name)) problems.push(`${name}: no unscored scenario has this name`);
}
for (const name of (baseline.server ?? []).map(entry => String(entry).split(':')[0])) {
  if (!requirements.server.includes(name)) problems.push(`${name}: no scored scenario has this name`);
}

for (const problem of problems) console.error(`  ${problem}`);
const passed = unscored.filter(name => verdicts.get(name)).length;
console.log(`unscored ${passed} of ${unscored.length}, ${expected.length} expected to fail`);
process.exit(problems.length > 0 ? 1 : 0);
