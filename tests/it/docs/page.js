'use strict';
// Opens the page of a README as a phone does: runs its script, with WeChat's `wx` and the browser played here, against a
// real gateway and the sandbox.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const vm = require('node:vm');

const [readme, photoFile, gateway, wechat, nowhere] = process.argv.slice(2);
const html = /```html\n([\s\S]*?)```/.exec(fs.readFileSync(readme, 'utf8'))[1];
const script = /<script>\n([\s\S]*?)<\/script>/.exec(html)[1];
const photo = fs.readFileSync(photoFile);

const ANDROID = 'Mozilla/5.0 (Linux; Android 14) Mobile MicroMessenger/8.0.49';
const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) MicroMessenger/8.0.49';
const PAGE = 'https://h5.example.com/p?a=1&from=singlemessage&isappinstalled=0';

// What the page says for a name of the code table.
const says = (name) => new RegExp(`case '${name}': return '([^']+)'`).exec(script)[1];

async function post(url, body, type) {
  const answer = await fetch(url, { method: 'POST', headers: { 'Content-Type': type }, body });
  return answer.json();
}

// The WeChat app: `seen` is the URL that it takes the page to be at.
function phone(seen, { cancels = false, serverId } = {}) {
  let failed, ready;
  return {
    error(callback) { failed = callback; },
    ready(callback) { ready = callback; },
    async config(config) {
      assert.deepEqual([...config.jsApiList], ['chooseImage', 'uploadImage']);
      const result = await post(`${wechat}/sandbox/verify`, JSON.stringify({ ...config, url: seen() }), 'application/json');
      if (result.errMsg !== 'config:ok') failed(result);
      ready();
    },
    chooseImage({ success, cancel }) {
      if (cancels) cancel({ errMsg: 'chooseImage:cancel' });
      else success({ errMsg: 'chooseImage:ok', localIds: ['weixin://resourceid/1'] });
    },
    async uploadImage({ localId, success }) {
      assert.equal(localId, 'weixin://resourceid/1');
      success(serverId ? { serverId } : await post(`${wechat}/sandbox/upload`, photo, 'image/jpeg'));
    },
  };
}

async function until(what, holds) {
  for (let turn = 0; turn < 2000; turn += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited in vain until ${what}`);
}

// Opens the page and waits until it is usable, or says why not.
async function open({ userAgent = ANDROID, at = gateway, sees, ...manner } = {}) {
  const location = { href: `${PAGE}#/route` };
  const newElement = () => ({ disabled: false, hidden: true, textContent: '', addEventListener(_, f) { this.click = f; } });
  const elements = { pick: { ...newElement(), disabled: true }, notice: newElement(), picture: newElement() };
  const wx = phone(sees || (() => location.href.split('#')[0]), manner);
  const document = { getElementById: (id) => elements[id] };
  const context = vm.createContext({ wx, document, location, navigator: { userAgent }, fetch, URL, setTimeout });
  const own = script.replace(/^const GATEWAY = .*$/m, `const GATEWAY = ${JSON.stringify(at)};`);
  assert.notEqual(own, script);
  vm.runInContext(own, context);
  await until('the page is usable', () => !elements.pick.disabled || elements.notice.textContent);
  return { ...elements, location, context };
}

const stories = {
  async 'a photo is stored and shown'() {
    const { pick, notice, picture } = await open();
    await pick.click();
    assert.deepEqual([notice.textContent, pick.disabled, picture.hidden], ['', false, false]);
    const stored = await fetch(picture.src);
    assert.deepEqual(Buffer.from(await stored.arrayBuffer()), photo);
  },
  async 'a user who cancels is told nothing'() {
    const { pick, notice, picture } = await open({ cancels: true });
    await pick.click();
    assert.deepEqual([notice.textContent, pick.disabled, picture.hidden], ['', false, true]);
  },
  async 'an expired photo'() {
    const { pick, notice } = await open({ serverId: 'no-such-media' });
    await pick.click();
    assert.deepEqual([notice.textContent, pick.disabled], [says('MEDIA_NOT_FOUND'), false]);
  },
  async 'a signature for another URL'() {
    const { pick, notice } = await open({ sees: () => 'https://h5.example.com/other' });
    assert.match(notice.textContent, /invalid signature/);
    assert.equal(pick.disabled, true);
  },
  async 'a gateway out of reach'() {
    const { notice } = await open({ at: nowhere });
    assert.equal(notice.textContent, says('NO_CONNECTION'));
  },
  async 'a plain browser'() {
    const { pick, notice } = await open({ userAgent: 'Mozilla/5.0 (X11; Linux x86_64)' });
    assert.match(notice.textContent, /WeChat|微信/);
    assert.equal(pick.disabled, true);
  },
  async 'a history route on Android: the present URL'() {
    const { location, context } = await open();
    location.href = 'https://h5.example.com/next';
    await context.configure();
  },
  async 'a history route on iOS: the landing URL'() {
    const { location, context } = await open({ userAgent: IPHONE, sees: () => PAGE });
    location.href = 'https://h5.example.com/next';
    await context.configure();
  },
};

(async () => {
  for (const [name, story] of Object.entries(stories)) {
    await story().catch((error) => {
      console.error(`${name}: ${error.stack}`);
      process.exitCode = 1;
    });
  }
})();
