// The client takes WeChat's script as its npm package types it.
import wx from 'weixin-js-sdk';
import { Wxgate, WxgateError } from './wxgate';
const wxgate = new Wxgate({ gateway: '', wx, headers: () => ({ Authorization: 'Bearer token' }) });
export const url: Promise<string | null> = wxgate.pickAndUpload({ sourceType: ['camera'] });
export const code = (error: unknown): number | undefined => (error instanceof WxgateError ? error.code : undefined);
