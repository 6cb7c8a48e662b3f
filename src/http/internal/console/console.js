'use strict';
// Refreshes the page, counts down, and sends the operator's actions. The page is readable without it.

const REFRESH_MS = 5_000;
const TIMEOUT_MS = 10_000;
const $ = (id) => document.getElementById(id);

// Seconds by which the gateway's clock is ahead of this one.
let ahead = 0;
let paused = false;
let running = null;

function readClock() {
  ahead = Number($('fresh').dataset.now) - Date.now() / 1000;
}

// Formats durations as the server does.
const UNITS = document.querySelector('.tools').dataset.units.split('|');
function span(seconds) {
  const counts = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const first = counts.findIndex((count) => count > 0);
  if (first < 0) return `0 ${UNITS[3]}`;
  const words = counts.map((count, index) => `${count} ${UNITS[index]}`);
  return words.filter((_, index) => index === first || (index === first + 1 && counts[index] > 0)).join(' ');
}

function countDown() {
  for (const left of document.querySelectorAll('[data-ends]')) {
    left.textContent = span(Math.max(0, Math.floor(Number(left.dataset.ends) - Date.now() / 1000 - ahead)));
  }
}

function setStale(isStale) {
  document.documentElement.classList.toggle('is-stale', isStale);
  const notice = $('stale');
  notice.hidden = !isStale;
  // Only a change is announced.
  const text = isStale ? notice.dataset.text : '';
  if (notice.textContent !== text) notice.textContent = text;
}

async function refresh() {
  if (running || paused || document.hidden) return;
  running = new AbortController();
  const limit = setTimeout(() => running.abort(), TIMEOUT_MS);
  try {
    const response = await fetch(location.href, { signal: running.signal, cache: 'no-store' });
    if (!response.ok) throw new Error(response.status);
    const page = new DOMParser().parseFromString(await response.text(), 'text/html');
    const fresh = page.getElementById('fresh');
    if (!fresh) throw new Error('not the console');
    if (!paused && !isSelecting()) show(fresh, page.title);
    setStale(false);
  } catch {
    setStale(true);
  } finally {
    clearTimeout(limit);
    running = null;
  }
}

// Do not replace text that the reader is selecting.
function isSelecting() {
  const selection = getSelection();
  return !selection.isCollapsed && $('fresh').contains(selection.anchorNode);
}

// Nothing in #fresh takes focus, so replacing it loses none; the browser keeps the scroll position.
function show(fresh, title) {
  const state = fresh.querySelector('#state').textContent;
  if (state !== $('state').textContent) $('announcement').textContent = state;
  $('fresh').replaceWith(document.adoptNode(fresh));
  document.title = title;
  readClock();
  countDown();
}

function pause() {
  paused = !paused;
  const button = $('pause');
  const other = button.dataset.resume;
  button.dataset.resume = button.textContent;
  button.textContent = other;
  if (!paused) refresh();
}

// The operator's key is kept in this tab only.
const KEY = 'wxgate-operator-key';
const remember = {
  get: () => { try { return sessionStorage.getItem(KEY) || ''; } catch { return ''; } },
  set: (key) => { try { sessionStorage.setItem(KEY, key); } catch { /* Storage is disabled: the key stays in the field. */ } },
};

function setUpActions(form) {
  const key = $('key');
  const update = () => {
    remember.set(key.value);
    for (const button of form.querySelectorAll('[data-action]')) button.disabled = !key.value;
  };
  key.value = remember.get();
  key.addEventListener('input', update);
  $('forget').addEventListener('click', () => { key.value = ''; update(); key.focus(); });
  // Enter in the key field presses no button: a renewal is asked for by name.
  form.addEventListener('submit', (event) => event.preventDefault());
  for (const button of form.querySelectorAll('[data-action]')) {
    button.addEventListener('click', () => act(form, button, key.value));
  }
  update();
}

async function act(form, button, key) {
  const output = button.parentElement.querySelector('output');
  const say = (word, detail, className) => {
    output.className = className;
    output.textContent = `${button.textContent.trim()}: ${form.dataset[word]}${detail ? ` – ${detail}` : ''}`;
  };
  // Not disabled: that would take the focus away.
  if (button.ariaBusy === 'true') return;
  button.ariaBusy = 'true';
  say('working', '', '');
  try {
    const response = await fetch(button.dataset.action, { method: 'POST', headers: { Authorization: `Bearer ${key}` } });
    const answer = await response.json().catch(() => ({}));
    if (response.status === 401) say('wrong', '', 'bad');
    else if (!response.ok) say('failed', answer.message || `HTTP ${response.status}`, 'bad');
    else if (answer.changed === false) say('unchanged', answer.fingerprint, 'good');
    else say('done', answer.fingerprint, 'good');
  } catch {
    say('unreachable', '', 'bad');
  }
  button.ariaBusy = 'false';
  refresh();
}

readClock();
setInterval(countDown, 1_000);
setInterval(refresh, REFRESH_MS);
document.addEventListener('visibilitychange', refresh);
$('pause').hidden = false;
$('pause').addEventListener('click', pause);
if ($('actions')) setUpActions($('actions'));
