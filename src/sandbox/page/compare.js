'use strict';
// The URL that a signing call asked for, against the URL of the page that made it: WeChat checks the signature against the
// page's URL, byte for byte.

// The `url` of a signing call as the gateway reads it: decoded once, a + stays a +, without a fragment. Null if it can't be.
function askedFor(path) {
  const value = /[?&]url=([^&#]*)/.exec(path)?.[1];
  try {
    return value ? decodeURIComponent(value).split('#')[0] : null;
  } catch {
    return null;
  }
}

// Both texts as [before, differing, after]; whole escapes such as %E4 are marked.
function marked(left, right) {
  const units = [left, right].map((text) => text.match(/%[0-9a-fA-F]{2}|./gsu) ?? []);
  const [a, b] = units;
  const shorter = Math.min(a.length, b.length);
  let head = 0;
  while (head < shorter && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  return units.map((all) => [all.slice(0, head), all.slice(head, all.length - tail), all.slice(all.length - tail)]
    .map((part) => part.join('')));
}

const bytesIn = (text) => new TextEncoder().encode(text).length;

// Fills the element with what the call asked for and the page's URL, the difference marked; `say` gives the words.
function showComparison(element, asked, page, say) {
  const same = asked === page;
  const line = (label, [before, differing, after]) => {
    const [term, text, code, mark] = ['dt', 'dd', 'code', 'mark'].map((name) => document.createElement(name));
    term.textContent = say(label);
    mark.textContent = differing;
    code.append(before, ...(same ? [] : [mark]), after);
    text.append(code);
    return [term, text];
  };
  const [first, second] = marked(asked, page);
  const verdict = document.createElement('p');
  verdict.textContent = same ? say('sameUrl') : say('otherUrl').replace('{}', bytesIn(first[0]));
  const list = document.createElement('dl');
  list.append(...line('askedFor', first), ...line('pageUrl', second));
  element.dataset.same = same;
  element.replaceChildren(verdict, list);
}
