import { Wxgate } from './wxgate.js';

// What to tell the user, by the failure's `error`. Keep only the language that you need.
const MESSAGES = {
  NOT_IN_WECHAT: ['请在微信里打开这个页面', 'Please open this page in WeChat.'],
  NO_CONNECTION: ['网络不通，请检查网络后重试', 'No connection. Check your network and try again.'],
  CONFIG_REFUSED: ['微信没有授权这个页面，请关闭后重新打开', 'WeChat did not accept this page. Please close it and open it again.'],
  DOMAIN_NOT_ALLOWED: ['这个页面不能使用拍照功能', 'Photos can’t be taken on this page.'],
  UNAUTHORIZED: ['请重新登录', 'Please sign in again.'],
  MEDIA_NOT_FOUND: ['照片已过期，请重新选择', 'The photo has expired. Please choose it again.'],
  MEDIA_REJECTED: ['这不是可以保存的图片，或者图片太大', 'This is not a picture that can be stored, or it is too large.'],
  RATE_LIMITED: ['操作太频繁，请稍后再试', 'Too many attempts. Please wait a moment.'],
  OVERLOADED: ['上传的人太多，请稍后再试', 'Many photos are being uploaded. Please try again in a moment.'],
  CREDENTIAL_UNAVAILABLE: ['系统繁忙，请稍后再试', 'The system is busy. Please try again in a moment.'],
  REQUEST_TIMEOUT: ['系统繁忙，请稍后再试', 'The system is busy. Please try again in a moment.'],
  FILE_UPLOAD_ERROR: ['照片没有保存成功，请重试', 'The photo could not be stored. Please try again.'],
};

const chinese = document.documentElement.lang.startsWith('zh');
const say = (zh, en) => (chinese ? zh : en);
const gateway = document.querySelector('meta[name=wxgate]').content;
const [pick, notice, picture] = ['pick', 'notice', 'picture'].map((id) => document.getElementById(id));

const wxgate = new Wxgate({ gateway });
// A photo that reached WeChat but not the gateway: the next attempt stores it without asking for another one.
let waiting;

function explain({ error, code, message, traceId, mediaId }) {
  const known = MESSAGES[error];
  const unknown = [`没有成功（${code ?? message}）`, `It did not work (${code ?? message}).`];
  notice.textContent = say(...(known || unknown)) + (known || !traceId ? '' : ` ${traceId}`);
  // For debugging, and for the page's tests.
  notice.dataset.code = code ?? '';
  notice.dataset.error = error ?? '';
  waiting = mediaId;
  pick.textContent = waiting ? say('重试', 'Try again') : say('拍照', 'Take a photo');
}

async function run(work) {
  pick.disabled = true;
  notice.textContent = '';
  try {
    await work();
  } catch (failure) {
    explain(failure);
    console.error(failure);
  }
  pick.disabled = false;
}

pick.addEventListener('click', () => run(async () => {
  const url = await (waiting ? wxgate.store(waiting) : wxgate.pickAndUpload());
  waiting = undefined;
  pick.textContent = say('拍照', 'Take a photo');
  if (!url) return;
  picture.src = url;
  picture.hidden = false;
}));

// Optional, because pickAndUpload() does it too; but so the page reports a problem before it is used.
run(() => wxgate.config());
