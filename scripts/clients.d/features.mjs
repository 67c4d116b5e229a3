// Every feature that a client can drive, on `examples/everything`. features.json says which of them the server has at
// each revision; one that it declares without being listed there fails the run, so that no feature stays without its
// checks. A client file brings `connect(person)`, which returns a session; `person` is what answers the server's questions.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { runRows, text, within } from './checks.mjs';

export const FEATURES = JSON.parse(readFileSync(new URL('features.json', import.meta.url), 'utf8'));
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel';
const ROOT = 'file:///home/everybody/project';
const PAGES_MOST = 64;

/** Answers what the server asks, and remembers the questions. */
class Person {
  questions = { sampling: [], elicitation: [] };
  rootsAsked = 0;
  /** What `elicit` answers to its next questions. */
  answers = [];

  sample(params) {
    this.questions.sampling.push(params);
    return { role: 'assistant', model: 'a-person', content: { type: 'text', text: 'As the model says' } };
  }

  elicit(params) {
    this.questions.elicitation.push(params);
    return this.answers.shift() ?? { action: 'cancel' };
  }

  roots() {
    this.rootsAsked += 1;
    return { roots: [{ uri: ROOT, name: 'project' }] };
  }
}

function eventually(session, method, count = 1) {
  return within(session.heard(method, count), method);
}

const blocks = (result, type) => result.content.filter(block => block.type === type);

async function content({ session }) {
  const call = tool => within(session.call(tool, {}), tool);
  assert.ok(text(await call('test_simple_text')).length > 0);
  const [image] = blocks(await call('test_image_content'), 'image');
  assert.equal(image.mimeType, 'image/png');
  assert.equal(Buffer.from(image.data, 'base64').subarray(1, 4).toString(), 'PNG');
  const [audio] = blocks(await call('test_audio_content'), 'audio');
  assert.equal(audio.mimeType, 'audio/wav');
  assert.equal(Buffer.from(audio.data, 'base64').subarray(0, 4).toString(), 'RIFF');
  const [embedded] = blocks(await call('test_embedded_resource'), 'resource');
  assert.ok(embedded.resource.uri && embedded.resource.text);
  const mixed = (await call('test_multiple_content_types')).content.map(block => block.type);
  assert.deepEqual(mixed, ['text', 'image', 'resource']);
}

async function errors({ session }) {
  const result = await within(session.call('test_error_handling', {}), 'test_error_handling');
  assert.equal(result.isError, true);
  assert.match(blocks(result, 'text')[0].text, /intentionally returns an error/);
}

async function progress({ session }) {
  const told = [];
  text(await within(session.call('test_tool_with_progress', {}, { onprogress: step => told.push(step) }), 'progress'));
  // The last of the three may come in one piece with the answer, and these clients read that first.
  assert.ok(told.length >= 2, `${told.length} steps`);
  told.forEach(({ progress: figure }, index) => assert.ok(index === 0 || figure > told[index - 1].progress));
}

async function logging({ session, sessions }) {
  const logged = async level => {
    session.forget('notifications/message');
    if (sessions) await within(session.setLevel(level), 'logging/setLevel');
    const meta = sessions ? undefined : { [LOG_LEVEL]: level };
    text(await within(session.call('test_tool_with_logging', {}, { meta }), 'test_tool_with_logging'));
    return session.seen('notifications/message');
  };
  const told = await logged('debug');
  assert.ok(told.length >= 1, 'nothing was logged');
  told.forEach(({ level, data }) => assert.ok(level && data !== undefined));
  assert.deepEqual(await logged('emergency'), [], 'only emergencies were asked for');
}

async function sampling({ session, person }) {
  const prompt = 'What is the capital of France?';
  const result = await within(session.call('test_sampling', { prompt }), 'sampling');
  assert.match(text(result), /As the model says/);
  const [question] = person.questions.sampling.splice(0);
  assert.equal([question.messages[0].content].flat()[0].text, prompt);
  assert.ok(question.maxTokens > 0);
}

async function elicitation({ session, person }) {
  const answers = [{ action: 'accept', content: { username: 'Ada', email: 'ada@example.org' } }, { action: 'decline' }, { action: 'cancel' }];
  for (const answer of answers) {
    person.answers.push(answer);
    const result = await within(session.call('test_elicitation', { message: 'Who are you?' }), 'elicitation');
    assert.match(text(result), new RegExp(answer.action));
    if (answer.content) assert.match(text(result), /Ada/);
  }
  const questions = person.questions.elicitation.splice(0);
  assert.deepEqual(questions.map(question => question.message), answers.map(() => 'Who are you?'));
  assert.equal(questions[0].requestedSchema.type, 'object');

  person.answers.push({ action: 'accept', content: {} });
  text(await within(session.call('test_elicitation_sep1034_defaults', {}), 'defaults'));
  person.answers.push({ action: 'decline' });
  text(await within(session.call('test_elicitation_sep1330_enums', {}), 'enums'));
  const [defaults, enums] = person.questions.elicitation.splice(0);
  assert.equal(defaults.requestedSchema.properties.age.default, 30);
  assert.equal(enums.requestedSchema.properties.titledSingle.oneOf.length, 3);
}

async function severalQuestions({ session, person }) {
  const accept = fields => ({ action: 'accept', content: fields });
  person.answers.push(accept({ name: 'Ada' }));
  text(await within(session.call('test_input_required_result_multiple_inputs', {}), 'multiple inputs'));
  assert.equal(person.questions.sampling.splice(0).length, 1);
  assert.equal(person.questions.elicitation.splice(0).length, 1);
  person.answers.push(accept({ ok: true }));
  assert.match(text(await within(session.call('test_input_required_result_request_state', {}), 'request state')), /state-ok/);
  person.answers.push(accept({ name: 'Ada' }), accept({ color: 'blue' }));
  text(await within(session.call('test_input_required_result_multi_round', {}), 'multi round'));
  assert.equal(person.questions.elicitation.splice(0).length, 3);
}

async function roots({ session, person }) {
  const before = person.rootsAsked;
  assert.ok(text(await within(session.call('test_list_roots', {}), 'roots')).includes(ROOT));
  assert.equal(person.rootsAsked, before + 1);
}

async function listChanged({ session, sessions }) {
  const method = 'notifications/tools/list_changed';
  const stop = sessions ? () => {} : await within(session.listen({ toolsListChanged: true }), 'listen');
  session.forget(method);
  text(await within(session.call('test_trigger_tool_change', {}), 'test_trigger_tool_change'));
  await eventually(session, method);
  await stop();
}

async function resources({ session, sessions, subject }) {
  const uris = (await within(session.listResources(), 'resources/list')).map(({ uri }) => uri);
  assert.ok(uris.includes('test://static-text') && uris.includes('test://static-binary'), uris.join());
  const read = async uri => (await within(session.readResource(uri), 'resources/read')).contents[0];
  const plain = await read('test://static-text');
  assert.equal(plain.uri, 'test://static-text');
  assert.ok(plain.text.length > 0);
  const binary = await read('test://static-binary');
  assert.equal(Buffer.from(binary.blob, 'base64').subarray(1, 4).toString(), 'PNG');
  const templates = (await within(session.listTemplates(), 'resources/templates/list')).map(({ uriTemplate }) => uriTemplate);
  assert.ok(templates.includes('test://template/{id}/data'), templates.join());
  assert.match((await read('test://template/123/data')).text, /123/);
  await assert.rejects(within(session.readResource('test://nobody'), 'resources/read'),
    ({ code }) => code === (sessions && !subject.renewsCodes ? -32002 : -32602));
}

async function resourceUpdates({ session, sessions }) {
  const uri = 'test://watched-resource';
  const method = 'notifications/resources/updated';
  const stop = sessions ? (await within(session.subscribe(uri), 'subscribe'), () => within(session.unsubscribe(uri), 'unsubscribe'))
    : await within(session.listen({ resourceSubscriptions: [uri] }), 'listen');
  session.forget(method);
  text(await within(session.call('test_trigger_resource_update', {}), 'test_trigger_resource_update'));
  const [updated] = await eventually(session, method);
  assert.equal(updated.uri, uri);
  await stop();
}

async function prompts({ session }) {
  const names = (await within(session.listPrompts(), 'prompts/list')).map(({ name }) => name);
  const get = async (name, args) => (await within(session.getPrompt(name, args), name)).messages;
  for (const name of ['test_simple_prompt', 'test_prompt_with_arguments', 'test_prompt_with_embedded_resource', 'test_prompt_with_image']) {
    assert.ok(names.includes(name), `no prompt ${name}`);
  }
  assert.equal((await get('test_simple_prompt'))[0].content.type, 'text');
  const [filled] = await get('test_prompt_with_arguments', { arg1: 'hello', arg2: 'world' });
  assert.match(filled.content.text, /hello.*world/);
  const embedded = await get('test_prompt_with_embedded_resource', { resourceUri: 'test://example-resource' });
  assert.equal(embedded.find(({ content: block }) => block.type === 'resource').content.resource.uri, 'test://example-resource');
  const image = (await get('test_prompt_with_image')).find(({ content: block }) => block.type === 'image');
  assert.equal(image.content.mimeType, 'image/png');
  await assert.rejects(get('no_such_prompt'), ({ code }) => code === -32602);
}

async function promptThatAsks({ session, person }) {
  person.answers.push({ action: 'accept', content: { context: 'a rainy day' } });
  const { messages } = await within(session.getPrompt('test_input_required_result_prompt'), 'prompt');
  assert.ok(JSON.stringify(messages).includes('a rainy day'), JSON.stringify(messages));
  person.questions.elicitation.splice(0);
}

async function completion({ session }) {
  const complete = value => within(session.complete(
    { ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' }, argument: { name: 'arg1', value } }), 'completion/complete');
  const { completion: all } = await complete('');
  assert.ok(all.values.length > 0 && all.values.length <= 100);
  const start = all.values[0].slice(0, 1);
  const { completion: some } = await complete(start);
  assert.ok(some.values.length > 0 && some.values.every(value => value.startsWith(start)), some.values.join());
}

/** Page by page, what the client's own walk gives, each once. */
async function pagination({ session }) {
  const names = [];
  let cursor;
  let pages = 0;
  do {
    const page = await within(session.page('tools/list', cursor), 'a page');
    names.push(...page.tools.map(({ name }) => name));
    cursor = page.nextCursor;
    pages += 1;
  } while (cursor !== undefined && pages < PAGES_MOST);
  assert.ok(pages > 1, 'there is but one page');
  assert.equal(cursor, undefined, `more than ${PAGES_MOST} pages`);
  assert.equal(new Set(names).size, names.length, 'a tool stands twice');
  assert.deepEqual((await within(session.listTools(), 'tools/list')).map(({ name }) => name).sort(), [...names].sort());
  await assert.rejects(within(session.page('tools/list', 'no cursor of yours'), 'a page'), ({ code }) => code === -32602);
}

/** What the server declares, by the name that the feature has here. */
function declared(capabilities) {
  return [
    ['resources', capabilities.resources], ['prompts', capabilities.prompts], ['completion', capabilities.completions],
    ['logging', capabilities.logging], ['resource updates', capabilities.resources?.subscribe],
    ['list changed', capabilities.tools?.listChanged], ['tasks', capabilities.tasks],
  ].filter(([, value]) => value).map(([name]) => name);
}

/** The rows: [name, feature, does it apply to this client and transport, check]. */
function featureRows(subject) {
  const sessions = subject.revision < '2026-07-28';
  const can = name => !(subject.cannot ?? []).includes(name);
  return [
    ['content', 'content', true, content],
    ['errors of tools', 'errors', true, errors],
    ['progress', 'progress', can('progress'), progress],
    ['logging', 'logging', can('logging'), logging],
    ['sampling', 'sampling', can('sampling'), sampling],
    ['elicitation', 'elicitation', can('elicitation'), elicitation],
    ['several questions', 'several questions', !sessions && can('elicitation'), severalQuestions],
    ['roots', 'roots', can('roots'), roots],
    ['list changed', 'list changed', can('list changed'), listChanged],
    ['resources', 'resources', true, resources],
    ['resource updates', 'resource updates', can('resource updates'), resourceUpdates],
    ['prompts', 'prompts', true, prompts],
    ['a prompt that asks', 'a prompt that asks', !sessions && can('elicitation'), promptThatAsks],
    ['completion', 'completion', can('completion'), completion],
    ['pagination', 'pagination', can('pagination'), pagination],
    ['tasks', 'tasks', subject.tasks !== undefined, subject.tasks],
  ];
}

/**
 * Runs the checks of a client library. `subject.tasks` is its own check of tasks, if it has any. `subject.cannot` names the features that the client cannot drive; one that
 * `renewsCodes` reports the codes of older revisions as those of the newest.
 */
export function runFeatures(subject, warnings) {
  const sessions = subject.revision < '2026-07-28';
  const person = new Person();
  const has = new Set(FEATURES[subject.revision]);
  let session;
  const rows = featureRows(subject)
    .map(([name, feature, applies, check]) => [name, applies && has.has(feature), () => check({ session, person, sessions, subject })]);
  return runRows({ ...subject, server: 'everything' }, [
    ['connect', true, async () => {
      session = await within(subject.connect(person), 'connect');
      assert.equal(session.revision, subject.revision);
      const missing = declared(session.capabilities()).filter(name => !has.has(name));
      assert.deepEqual(missing, [], 'the server has these: list them in features.json');
    }],
    ...rows,
    ['close', true, async () => {
      await within(session.close(), 'close');
      await within(session.ended(), 'end of the server process');
      assert.deepEqual([...session.errors, ...session.order.late], []);
    }],
    ['no warning from the client', true, async () => assert.deepEqual(warnings, [])],
  ]);
}

/** What the server tells, for `session.heard`, `seen` and `forget`. */
export class Notices {
  #seen = [];
  #waiters = [];

  tell(method, params) {
    this.#seen.push({ method, params });
    this.#waiters = this.#waiters.filter(wake => !wake());
  }

  seen(method) {
    return this.#seen.filter(notice => notice.method === method).map(({ params }) => params);
  }

  forget(method) {
    this.#seen = this.#seen.filter(notice => notice.method !== method);
  }

  heard(method, count) {
    return new Promise(resolve => {
      const wake = () => {
        const seen = this.seen(method);
        if (seen.length < count) return false;
        resolve(seen);
        return true;
      };
      if (!wake()) this.#waiters.push(wake);
    });
  }
}

