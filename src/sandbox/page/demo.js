'use strict';
// The demo page: what an H5 page does with wxgate, each step shown with its request and answer.
// In WeChat, steps 2 to 4 are wx.config, wx.chooseImage and wx.uploadImage; here the sandbox plays
// the WeChat app.

const query = new URLSearchParams(location.search);
// The folder that the page is in: a proxy may publish it below a path.
const HERE = new URL('.', location.href).href.replace(/\/$/, '');
const GATEWAY = (query.get('gateway') || HERE).replace(/\/+$/, '');
const APP_ID = query.get('appId') || '';
const PAGE_URL = location.href.split('#')[0];
const TIMEOUT_MS = 40_000;

const TEXTS = {
  zh: {
    demo: '演示', tagline: '页面签名与照片转存，一步一步看得见', photo: '照片',
    placeholder: '拍一张照片，看它走完全程', camera: '拍照', album: '相册', sample: '示例照片',
    steps: '过程', again: '重新开始', retry: '再试一次', sent: '请求内容', answer: '返回结果',
    footer: '微信由本机沙箱模拟，不会连接真实的微信。故障开关在沙箱自身地址的 <code>/sandbox</code>。',
    waiting: '等待', busy: '进行中', failed: '失败', yours: '轮到你',
    uploading: '正在转存…', stored: '已存入', identical: '已存入，与原图逐字节一致', broken: '失败，见下方说明',
    preview: '所选照片', storedPicture: '图片库里的照片',
    sign: ['签名', '网关为当前页面签名'], config: ['wx.config', '微信校验签名和页面 URL'],
    choose: ['选择照片', 'wx.chooseImage：拍照、相册或示例'], upload: ['wx.uploadImage', '照片先上传到微信，得到 serverId'],
    store: ['转存', '网关用 serverId 取回照片，存入图片库'],
    sameUrl: '请求签名的 URL 与当前页面逐字节一致', otherUrl: '请求签名的 URL 与当前页面不一致（第 {} 个字节之后开始不同），微信会报 invalid signature',
    askedFor: '请求签名的 URL', pageUrl: '当前页面的 URL',
    noConnection: '无法连接', noAnswer: '响应超时', notJson: '响应不是 JSON',
  },
  en: {
    demo: 'demo', tagline: 'A signed page and a stored photo, step by step', photo: 'Photo',
    placeholder: 'Take a photo and follow it all the way', camera: 'Camera', album: 'Album', sample: 'Sample',
    steps: 'Steps', again: 'Start over', retry: 'Try again', sent: 'Sent', answer: 'Answer',
    footer: 'The sandbox simulates WeChat; nothing is sent to the real one. Set faults at <code>/sandbox</code> on its own address.',
    waiting: 'waiting', busy: 'working', failed: 'failed', yours: 'your turn',
    uploading: 'Storing…', stored: 'Stored', identical: 'Stored, byte for byte the original', broken: 'Failed; see below',
    preview: 'The photo you chose', storedPicture: 'The photo in the image store',
    sign: ['Signature', 'The gateway signs this page'], config: ['wx.config', 'WeChat checks signature and page URL'],
    choose: ['Choose a photo', 'wx.chooseImage: camera, album or sample'], upload: ['wx.uploadImage', 'The photo goes to WeChat first, for a serverId'],
    store: ['Store', 'The gateway fetches it by serverId into the image store'],
    sameUrl: 'The signed URL is the page\'s, byte for byte', otherUrl: 'The signed URL is not the page\'s (they differ after {} bytes): WeChat will say invalid signature',
    askedFor: 'signed', pageUrl: 'the page\'s',
    noConnection: 'No connection', noAnswer: 'No answer in time', notJson: 'The answer is not JSON',
  },
};

// What an error means, and what to do: by the gateway's code, or by WeChat's errMsg.
const MEANINGS = {
  1001: ['参数缺失或格式不正确。', 'A parameter is missing or malformed.'],
  1002: ['页面 URL 无法按收到的内容签名：应发送 encodeURIComponent(location.href.split(\'#\')[0])。', 'This page URL can\'t be signed as sent: send encodeURIComponent(location.href.split(\'#\')[0]).'],
  1003: ['页面域名不在该公众号的 js_domains 范围内。', 'The page\'s host is not among the account\'s js_domains.'],
  1004: ['网关没有配置这个 appId。', 'This appId is not configured in the gateway.'],
  1005: ['上传需要密钥或 token，见 [auth]。', 'Uploading needs a key or a token, see [auth].'],
  1006: ['请求过多，请稍后再试。', 'Too many requests; try again soon.'],
  1007: ['请求体过大。', 'The request body is too large.'],
  1008: ['请求体必须是 application/json。', 'The body must be application/json.'],
  1009: ['路径不存在。网关在其他地址时，用 /?gateway=http://主机:端口 指定。', 'No such route. Is the gateway elsewhere? Open /?gateway=http://host:port.'],
  1010: ['请求方法不正确。', 'Wrong HTTP method.'],
  2001: ['无法连接微信，或微信没有响应。', 'WeChat could not be reached, or did not answer.'],
  2002: ['微信返回的 HTTP 状态码不是 200。', 'WeChat answered with a status other than 200.'],
  2003: ['微信的响应为空、不完整，或与接口约定不符。', 'WeChat\'s answer was empty, cut off, or not what it promises.'],
  2004: ['微信拒绝了请求，原因见 errcode。', 'WeChat refused; the errcode says why.'],
  2005: ['serverId 无效、已过期（三天），或属于其他公众号。', 'The serverId is invalid, older than three days, or another account\'s.'],
  2006: ['不是允许的图片类型，或图片过大。', 'Not an allowed kind of picture, or too large.'],
  3001: ['图片库出错或拒绝接收。', 'The image store failed or refused.'],
  4001: ['当前没有可用的微信凭证，请稍后再试；errcode 说明微信拒绝的原因。', 'No usable WeChat credential now; try again soon. An errcode says why WeChat refuses.'],
  4002: ['同时上传过多，请稍后再试。', 'Too many uploads at once; try again soon.'],
  4003: ['处理超时。', 'It took too long.'],
  5000: ['网关内部错误，用 traceId 查日志。', 'A bug in the gateway; look for the traceId in its log.'],
  'config:invalid signature': ['签名不正确：页面 URL 已变化，或 ticket 已失效。', 'The signature is wrong: the page URL has changed, or the ticket is no longer valid.'],
  'config:fail': ['参数缺失。', 'Parameters are missing.'],
  40048: ['页面域名不在该公众号的 JS接口安全域名里。', 'The page\'s host is not among the account\'s JS domains.'],
  [-1]: ['微信系统繁忙。', 'WeChat is busy.'],
  40001: ['access_token 已被其他系统获取的新 token 取代，或 AppSecret 错误。', 'The access_token was replaced by another system\'s, or the AppSecret is wrong.'],
  40007: ['微信没有这个 media_id。', 'WeChat does not know this media_id.'],
  40013: ['微信没有这个 appId。', 'WeChat does not know this appId.'],
  40125: ['AppSecret 错误。', 'The AppSecret is wrong.'],
  40164: ['网关的出口 IP 不在公众号的 IP 白名单里。', 'The gateway\'s address is not in the account\'s IP whitelist.'],
  45009: ['今天的调用次数已用完。', 'Today\'s quota is used up.'],
  'uploadImage:fail': ['微信没有接收这张照片。', 'WeChat did not accept the photo.'],
};

const $ = (id) => document.getElementById(id);
const remember = {
  get: () => { try { return localStorage.getItem('language'); } catch { return null; } },
  set: (value) => { try { localStorage.setItem('language', value); } catch { /* Private browsing. */ } },
};
let language = remember.get() || (navigator.language.startsWith('zh') ? 'zh' : 'en');
const say = (key) => TEXTS[language][key];

// A step is what its card shows; draw() is the only one that touches the card.
const steps = ['sign', 'config', 'choose', 'upload', 'store'].map((name) => ({ name, state: 'waiting', card: newCard() }));
const [SIGN, CONFIG, CHOOSE, UPLOAD, STORE] = steps;
let photo = null;
let signed = null;
// The run under way; a new one ends it, so that late answers about an earlier photo change nothing.
let current = new AbortController();

function newCard() {
  const card = $('step').content.firstElementChild.cloneNode(true);
  $('steps').append(card);
  return card;
}

function draw(step) {
  const { card, state } = step;
  const part = (name) => card.querySelector(`.${name}`);
  const [title, about] = say(step.name);
  card.dataset.state = state;
  part('badge').textContent = state === 'done' ? '✓' : state === 'failed' ? '!' : steps.indexOf(step) + 1;
  card.querySelector('h3').textContent = title;
  part('about').textContent = about;
  const waits = step === CHOOSE && state === 'waiting' ? say('yours') : say(state);
  part('state').textContent = state === 'done' ? step.took ?? '✓' : waits;
  part('step-body').hidden = !step.request;
  if (!step.request) return;
  part('method').textContent = step.request.method;
  part('path').textContent = step.request.path;
  fill(part('sent'), 'sent', step.request.body);
  fill(part('answer'), 'answer', step.answer);
  const asked = step === SIGN ? askedFor(step.request.path) : null;
  part('compared').hidden = asked === null;
  if (asked !== null) showComparison(part('compared'), asked, location.href.split('#')[0], say);
  const trouble = part('trouble');
  trouble.hidden = state !== 'failed';
  if (state === 'failed') {
    part('what').textContent = typeof step.problem === 'function' ? step.problem() : step.problem;
    const meanings = step.meanings.map((key) => MEANINGS[key]?.[language === 'zh' ? 0 : 1]);
    part('why').textContent = meanings.filter(Boolean).join(language === 'zh' ? '' : ' ');
    part('retry').textContent = say('retry');
    part('retry').onclick = () => run(steps.indexOf(step));
  }
}

function fill(details, label, content) {
  details.hidden = content === undefined;
  details.querySelector('summary').textContent = say(label);
  if (content === undefined) return;
  const pre = details.querySelector('pre');
  pre.replaceChildren(...(typeof content === 'string' ? [content] : colored(JSON.stringify(content, null, 2))));
}

// Pretty JSON as text and spans.
function colored(json) {
  const pieces = json.split(/("(?:[^"\\]|\\.)*"(?:\s*:)?|-?\d+(?:\.\d+)?|true|false|null)/);
  return pieces.map((piece, at) => {
    if (at % 2 === 0) return piece;
    const span = document.createElement('span');
    span.className = piece.endsWith(':') ? 'key' : piece.startsWith('"') ? 'text' : 'number';
    span.textContent = piece;
    return span;
  });
}

function set(step, change) {
  Object.assign(step, change);
  draw(step);
}

function reset(from) {
  for (const step of steps.slice(from)) {
    set(step, { state: 'waiting', request: undefined, answer: undefined, took: undefined });
  }
}

class Problem extends Error {
  // `text` is a string, or a function that says it in the language of the moment.
  constructor(text, ...meanings) {
    super('');
    Object.assign(this, { text, meanings });
  }
}

// fetch and read within TIMEOUT_MS, and no longer than the run goes on.
async function fetchWithin(run, url, options, read) {
  const limit = new AbortController();
  const stop = () => limit.abort();
  run.signal.addEventListener('abort', stop);
  const timer = setTimeout(stop, TIMEOUT_MS);
  try {
    const response = await fetch(url, { ...options, cache: 'no-store', signal: limit.signal });
    return { status: response.status, body: await response[read]() };
  } catch {
    throw new Problem(() => say(limit.signal.aborted ? 'noAnswer' : 'noConnection'), 1009);
  } finally {
    clearTimeout(timer);
    run.signal.removeEventListener('abort', stop);
    run.signal.throwIfAborted();
  }
}

// Makes the step's request and gives its JSON; `shown` stands for a body that is no JSON.
async function call(step, method, base, path, { json, blob, shown } = {}) {
  set(step, { state: 'busy', request: { method, path, body: json ?? shown }, answer: undefined });
  const start = performance.now();
  const headers = json ? { 'Content-Type': 'application/json' } : {};
  const options = { method, headers, body: json ? JSON.stringify(json) : blob };
  const { status, body } = await fetchWithin(current, base + path, options, 'text');
  step.took = `${Math.round(performance.now() - start)} ms`;
  try {
    set(step, { answer: JSON.parse(body) });
  } catch {
    set(step, { answer: body.slice(0, 2000) || `HTTP ${status}` });
    throw new Problem(() => `HTTP ${status}: ${say('notJson')}`, status === 404 ? 1009 : 5000);
  }
  return step.answer;
}

// The same with the gateway's envelope taken off.
async function callGateway(step, method, path, options) {
  const answer = await call(step, method, GATEWAY, path, options);
  if (answer.code === 0) return answer.data;
  const errcode = answer.errcode === undefined ? '' : ` · errcode ${answer.errcode}`;
  throw new Problem(`${answer.code} ${answer.error ?? ''}${errcode}: ${answer.message ?? ''}`, answer.code, answer.errcode);
}

async function callPhone(step, path, options) {
  const answer = await call(step, 'POST', HERE, path, options);
  if (/:ok$/.test(answer.errMsg)) return answer;
  const code = /错误码：(\d+)/.exec(answer.errMsg)?.[1];
  throw new Problem(answer.errMsg, code ?? answer.errMsg);
}

const WORK = {
  async sign() {
    const appId = APP_ID && `&appId=${encodeURIComponent(APP_ID)}`;
    signed = await callGateway(SIGN, 'GET', `/wechat/jsSDK?url=${encodeURIComponent(PAGE_URL)}${appId}`);
  },
  async config() {
    await callPhone(CONFIG, '/sandbox/verify', { json: { ...signed, jsApiList: ['chooseImage', 'uploadImage'], url: PAGE_URL } });
  },
  async choose() {
    set(CHOOSE, { request: undefined, took: size(photo) });
  },
  async upload() {
    const shown = `${photo.type || 'application/octet-stream'}, ${size(photo)}`;
    const path = `/sandbox/upload?appId=${encodeURIComponent(signed.appId)}`;
    photo.serverId = (await callPhone(UPLOAD, path, { blob: photo, shown })).serverId;
  },
  async store() {
    const json = { mediaId: photo.serverId, ...(APP_ID && { appId: APP_ID }) };
    const url = await callGateway(STORE, 'POST', '/p/active/weChatOa/upload', { json });
    await showStored(photo, new URL(url, GATEWAY).href);
  },
};

// Does the steps in order, from this one until the photo is needed and not there.
async function run(from) {
  current.abort();
  const mine = current = new AbortController();
  reset(from);
  for (const step of steps.slice(from)) {
    if (step === CHOOSE && !photo) return;
    set(step, { state: 'busy' });
    if (step === UPLOAD) frame('busy', 'uploading');
    try {
      await WORK[step.name]();
    } catch (error) {
      if (mine.signal.aborted) return;
      set(step, { state: 'failed', problem: error.text ?? String(error), meanings: error.meanings ?? [] });
      step.card.scrollIntoView({ block: 'nearest' });
      if (photo) frame('failed', 'broken');
      return;
    }
    if (mine.signal.aborted) return;
    set(step, { state: 'done' });
  }
}

function frame(state, caption) {
  $('frame').dataset.state = state;
  $('frame').dataset.caption = caption ?? '';
  $('caption').hidden = !caption;
  $('caption').textContent = caption ? say(caption) : '';
}

function choose(blob) {
  if (!blob) return;
  photo = blob;
  showPicture(URL.createObjectURL(blob), 'preview');
  $('facts').hidden = true;
  // A page that is not signed yet, or not any more, is signed first.
  run(CONFIG.state === 'done' ? steps.indexOf(CHOOSE) : 0);
}

function showPicture(url, alt) {
  const picture = $('picture');
  if (picture.src.startsWith('blob:')) URL.revokeObjectURL(picture.src);
  picture.src = url;
  picture.dataset.alt = alt;
  picture.alt = say(alt);
  picture.hidden = false;
  $('placeholder').hidden = true;
}

async function showStored(blob, url) {
  const [original, stored] = await Promise.all([blob.arrayBuffer(), bytesOf(url)]);
  showPicture(url, 'storedPicture');
  frame('stored', stored && same(original, stored) ? 'identical' : 'stored');
  const link = document.createElement('a');
  link.href = link.textContent = url;
  link.target = '_blank';
  link.rel = 'noopener';
  $('facts').replaceChildren(link);
  $('facts').hidden = false;
}

// A store elsewhere may not let scripts look; then there is nothing to compare.
async function bytesOf(url) {
  try {
    const { status, body } = await fetchWithin(current, url, {}, 'arrayBuffer');
    return status === 200 ? body : null;
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

function same(a, b) {
  const [left, right] = [new Uint8Array(a), new Uint8Array(b)];
  return left.length === right.length && left.every((byte, at) => byte === right[at]);
}

function size(blob) {
  return blob.size < 1e6 ? `${Math.ceil(blob.size / 1e3)} kB` : `${(blob.size / 1e6).toFixed(1)} MB`;
}

// A small landscape, never the same twice.
function drawSample() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1200, height: 900 });
  const context = canvas.getContext('2d');
  const hue = Math.random() * 360;
  const sky = context.createLinearGradient(0, 0, 0, 900);
  sky.addColorStop(0, `hsl(${hue} 60% 28%)`);
  sky.addColorStop(0.65, `hsl(${hue + 40} 75% 68%)`);
  sky.addColorStop(1, `hsl(${hue + 60} 85% 82%)`);
  context.fillStyle = sky;
  context.fillRect(0, 0, 1200, 900);
  context.fillStyle = `hsl(${hue + 60} 95% 92%)`;
  context.beginPath();
  context.arc(300 + Math.random() * 600, 430, 85, 0, 7);
  context.fill();
  for (let ridge = 0; ridge < 4; ridge += 1) {
    const [base, phase] = [480 + ridge * 105, Math.random() * 9];
    context.fillStyle = `hsl(${hue + 15} ${34 - ridge * 3}% ${46 - ridge * 10}%)`;
    context.beginPath();
    context.moveTo(0, 900);
    for (let x = 0; x <= 1200; x += 12) {
      const bumps = Math.sin(x / 130 + phase) * 55 + Math.sin(x / 47 + phase * 2) * 20 + Math.sin(x / 19 + phase) * 6;
      context.lineTo(x, base - bumps);
    }
    context.lineTo(1200, 900);
    context.fill();
  }
  context.fillStyle = 'rgb(255 255 255 / 85%)';
  context.font = '600 34px system-ui, sans-serif';
  context.fillText(`wxgate · ${new Date().toLocaleString()}`, 48, 74);
  return new Promise((resolve) => { canvas.toBlob(resolve, 'image/jpeg', 0.9); });
}

function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen === 'zh' ? 'zh-CN' : 'en';
  document.title = `wxgate ${say('demo')}`;
  for (const element of document.querySelectorAll('[data-text]')) element.innerHTML = say(element.dataset.text);
  const other = chosen === 'zh' ? 'en' : 'zh';
  Object.assign($('language'), { textContent: other === 'zh' ? '中文' : 'EN', lang: other });
  $('language').title = other === 'zh' ? '切换到中文' : 'Switch to English';
  $('language').onclick = () => { remember.set(other); speak(other); };
  if (!$('picture').hidden) $('picture').alt = say($('picture').dataset.alt);
  const caption = $('frame').dataset.caption;
  if (caption) $('caption').textContent = say(caption);
  steps.forEach(draw);
}

for (const input of [$('camera'), $('album')]) {
  input.addEventListener('change', () => {
    choose(input.files[0]);
    // So that the same file can be chosen again.
    input.value = '';
  });
}
$('sample').addEventListener('click', async () => choose(await drawSample()));
$('again').addEventListener('click', () => {
  photo = null;
  $('picture').hidden = true;
  $('placeholder').hidden = false;
  $('facts').hidden = true;
  frame('empty');
  run(0);
});
// The page's URL is another one then.
addEventListener('popstate', () => draw(SIGN));
speak(language);
run(0);
