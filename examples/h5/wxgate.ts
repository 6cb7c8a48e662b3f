/**
 * Photos from a page inside WeChat into your image store, by way of wxgate.
 *
 * The page loads WeChat's own script first (jweixin-1.6.0.js, or the npm package weixin-js-sdk). Import this module before
 * the router: it keeps the URL that the page was opened at.
 */

/** iOS checks signatures against this URL until the page is closed, even if a router changes `location`. */
const LANDING_URL = location.href;

const ATTEMPTS = 3;
/** Time-out of one request. The gateway's own is 30 s (`server.request_timeout`). */
const REQUEST_LIMIT_MS = 40_000;
/** The longest wait before another attempt. */
const LONGEST_WAIT_MS = 5_000;
/** How long the WeChat app may take to check a signature. */
const CONFIG_LIMIT_MS = 15_000;

/** The part of WeChat's script that is used: the global `wx`, or the default export of weixin-js-sdk. */
export interface WeChatScript {
  config(options: { appId: string; timestamp: number; nonceStr: string; signature: string; jsApiList: any[] }): void;
  ready(callback: () => void): void;
  error(callback: (result: any) => void): void;
  checkJsApi(options: any): void;
  chooseImage(options: any): void;
  uploadImage(options: any): void;
}

export interface Options {
  /** The gateway's address, such as `https://wxgate.example.com`; `''` if it has the page's own origin. */
  gateway: string;
  /** WeChat's script; the global `wx` if left out. */
  wx?: WeChatScript;
  /** Which account signs; the gateway's first one if left out. */
  appId?: string;
  /** APIs of WeChat's that the page uses besides those of this module. */
  jsApiList?: string[];
  /** Headers of the upload, read each time: `() => ({ Authorization: 'Bearer …' })` if `[auth]` requires one. */
  headers?: () => Record<string, string>;
}

export interface PickOptions {
  sizeType?: ('original' | 'compressed')[];
  sourceType?: ('album' | 'camera')[];
}

/** Failures without an answer from the gateway. These codes are negative; the gateway's are positive. */
const OWN_CODES = {
  /** The page is open in another browser, in which WeChat's script never calls a callback. */
  NOT_IN_WECHAT: -1,
  /** The gateway can't be reached, does not answer, or does not allow the page's origin. */
  NO_CONNECTION: -2,
  /** Something else answered instead of it, such as a proxy. */
  NO_ENVELOPE: -3,
  /** WeChat refused `wx.config`; the message is WeChat's. */
  CONFIG_REFUSED: -4,
  /** A call of WeChat's script failed; the message is WeChat's. */
  WECHAT_FAILED: -5,
};

/** After these errors the user has to choose a photo again. */
const PHOTO_IS_LOST = ['MEDIA_NOT_FOUND', 'MEDIA_REJECTED'];

interface Envelope {
  code: number;
  error: string;
  message: string;
  data: unknown;
  errcode?: number;
  traceId?: string;
}

/** Every failure of this module. `code` or `error` alone decides what to tell the user. */
export class WxgateError extends Error {
  readonly name = 'WxgateError';
  /** The gateway's code, see its docs/reference/http.md; negative if the failure is not the gateway's. */
  readonly code: number;
  /** The code's name, such as `MEDIA_NOT_FOUND` or `NO_CONNECTION`. */
  readonly error: string;
  /** WeChat's own code, if WeChat gave the gateway one. */
  readonly errcode?: number;
  /** Identifies the request in the gateway's log. */
  readonly traceId?: string;
  /** The photo that WeChat already has: call `store()` with it, so that the user need not choose it again. */
  mediaId?: string;
  /** When to try again, in milliseconds; undefined if trying again does not help. */
  readonly retryAfterMs?: number;

  constructor(failure: Omit<Envelope, 'data'>, retryAfterMs?: number) {
    super(failure.message);
    // If classes are compiled to functions, `instanceof` does not work for errors without this.
    Object.setPrototypeOf(this, WxgateError.prototype);
    this.code = failure.code;
    this.error = failure.error;
    this.errcode = failure.errcode;
    this.traceId = failure.traceId;
    this.retryAfterMs = retryAfterMs;
  }
}

function own(error: keyof typeof OWN_CODES, message: string, retryAfterMs?: number): WxgateError {
  return new WxgateError({ code: OWN_CODES[error], error, message }, retryAfterMs);
}

const sleep = (ms: number) => new Promise<void>((resolve) => { setTimeout(resolve, ms); });

/** The URL that the WeChat app checks the signature against; the fragment is never signed. */
export function signedUrl(): string {
  const isIos = /iphone|ipad|ipod/i.test(navigator.userAgent);
  return (isIos ? LANDING_URL : location.href).split('#')[0];
}

/** Whether the page is open in the WeChat app. */
export const isInWeChat = () => /micromessenger/i.test(navigator.userAgent);

/** One gateway, for one page. */
export class Wxgate {
  private readonly options: Options;
  /** The URL that WeChat has checked, or is checking. */
  private configured?: { url: string; done: Promise<void> };

  constructor(options: Options) {
    this.options = options;
  }

  /**
   * Has the page signed, and the signature checked by WeChat. Call it as often as you like: it does something only if the
   * URL has changed. In a single-page app, call it before using an API of WeChat's at a new route; `pickAndUpload()` does
   * that itself.
   */
  config(): Promise<void> {
    if (!isInWeChat()) return Promise.reject(own('NOT_IN_WECHAT', 'the page is not open in WeChat'));
    const url = signedUrl();
    if (!this.configured || this.configured.url !== url) {
      const done = this.configure(url);
      this.configured = { url, done };
      done.catch(() => { if (this.configured && this.configured.done === done) this.configured = undefined; });
    }
    return this.configured.done;
  }

  /** Lets the user take or choose a photo and has it stored. Returns the stored picture's URL; null if the user cancels. */
  async pickAndUpload(options: PickOptions = {}): Promise<string | null> {
    await this.config();
    const { sizeType = ['compressed'], sourceType = ['camera', 'album'] } = options;
    const chosen = await ask(this.wx.chooseImage, { count: 1, sizeType, sourceType });
    if (!chosen) return null;
    const uploaded = await ask(this.wx.uploadImage, { localId: chosen.localIds[0], isShowProgressTips: 1 });
    return uploaded && this.store(uploaded.serverId);
  }

  /** Has a photo stored that WeChat already has. Returns the stored picture's URL. The same photo is stored only once. */
  async store(mediaId: string): Promise<string> {
    const { appId, gateway, headers } = this.options;
    try {
      const stored = await this.call('/p/active/weChatOa/upload', {
        method: 'POST',
        headers: { ...(headers && headers()), 'Content-Type': 'application/json' },
        body: JSON.stringify({ mediaId, appId }),
      });
      return new URL(stored as string, gateway || location.href).href;
    } catch (error) {
      if (error instanceof WxgateError && !PHOTO_IS_LOST.includes(error.error)) error.mediaId = mediaId;
      throw error;
    }
  }

  private get wx(): WeChatScript {
    const wx = this.options.wx || (window as { wx?: WeChatScript }).wx;
    if (!wx) throw own('WECHAT_FAILED', "WeChat's script is not loaded");
    return wx;
  }

  private async configure(url: string): Promise<void> {
    const { appId, jsApiList = [] } = this.options;
    const account = appId ? `&appId=${encodeURIComponent(appId)}` : '';
    const signed = await this.call(`/wechat/jsSDK?url=${encodeURIComponent(url)}${account}`);
    const apis = ['checkJsApi', 'chooseImage', 'uploadImage', ...jsApiList];
    await checked(this.wx, { ...(signed as any), jsApiList: apis });
  }

  /** Returns the answer's `data`. Both routes can be called again safely, so transient failures are retried. */
  private async call(path: string, options: RequestInit = {}): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await once(this.options.gateway + path, options, attempt);
      } catch (error) {
        const wait = error instanceof WxgateError ? error.retryAfterMs : undefined;
        if (wait === undefined || wait > LONGEST_WAIT_MS || attempt === ATTEMPTS) throw error;
        await sleep(wait);
      }
    }
  }
}

/** One request. Only transient failures say when to try again: lost connections, and answers with Retry-After. */
async function once(url: string, options: RequestInit, attempt: number): Promise<unknown> {
  // Exponential back-off with jitter, so that not all phones retry at once.
  const soon = 500 * 2 ** (attempt - 1) * (0.5 + Math.random());
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), REQUEST_LIMIT_MS);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { ...options, signal: limit.signal });
    text = await response.text();
  } catch (cause) {
    throw own('NO_CONNECTION', String(cause), soon);
  } finally {
    clearTimeout(timer);
  }
  const answer = envelope(text);
  if (!answer) throw own('NO_ENVELOPE', `HTTP ${response.status}`, response.status >= 500 ? soon : undefined);
  if (answer.code === 0) return answer.data;
  const seconds = Number(response.headers.get('Retry-After'));
  throw new WxgateError(answer, seconds > 0 ? seconds * 1000 : undefined);
}

function envelope(text: string): Envelope | null {
  try {
    const answer = JSON.parse(text);
    return typeof answer.code === 'number' ? answer : null;
  } catch {
    return null;
  }
}

/** Calls an API of WeChat's; null if the user cancels. */
function ask(api: (options: any) => void, options: object): Promise<any> {
  return new Promise((resolve, reject) => {
    api({
      ...options,
      success: resolve,
      cancel: () => resolve(null),
      fail: (result: { errMsg: string }) => reject(own('WECHAT_FAILED', result.errMsg)),
    });
  });
}

/** Settles when WeChat has checked the signature. */
function checked(wx: WeChatScript, signed: Parameters<WeChatScript['config']>[0]): Promise<void> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const settle = (act: () => void) => { settled = true; clearTimeout(timer); act(); };
    const refuse = (why: string) => settle(() => reject(own('CONFIG_REFUSED', why)));
    const timer = setTimeout(() => refuse('config:no answer'), CONFIG_LIMIT_MS);

    // Before wx.config, because the script drops a result without a callback. After a refusal it calls both, this one first.
    wx.error((result: { errMsg: string }) => refuse(result.errMsg));
    // After the page's first wx.config has been answered, wx.ready calls back at once and ignores later ones. Then only
    // calling an API shows the result: it is refused until the signature has been checked.
    let before = true;
    let again = false;
    wx.ready(() => { if (before) again = true; else settle(resolve); });
    before = false;
    wx.config(signed);
    const probe = () => settled || wx.checkJsApi({
      jsApiList: ['chooseImage'],
      success: () => settle(resolve),
      fail: () => setTimeout(probe, 100),
    });
    if (again) probe();
  });
}
