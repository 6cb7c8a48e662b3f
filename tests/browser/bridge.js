// What the WeChat app adds to a page: the bridge that WeChat's own script calls. The sandbox checks signatures and takes
// photos, as WeChat's servers do. `phone` is { sandbox, ios, photo, cancels, serverId }.
(phone) => {
  const landingUrl = location.href;
  const localId = phone.ios ? 'wxLocalResource://imageid1' : 'weixin://resourceid/1';
  // iOS checks the URL at which the page was opened, Android the current one.
  const checkedUrl = () => (phone.ios ? landingUrl : location.href).split('#')[0];
  // What each URL may use.
  const permitted = new Map();
  const calls = [];

  async function post(path, body) {
    const answer = await fetch(phone.sandbox + path, { method: 'POST', body });
    return answer.json();
  }

  const apis = {
    async preVerifyJSAPI({ verifyAppId, verifyTimestamp, verifyNonceStr, verifySignature, verifyJsApiList }) {
      const url = checkedUrl();
      permitted.delete(url);
      const { errMsg } = await post('/sandbox/verify', JSON.stringify({
        appId: verifyAppId, timestamp: verifyTimestamp, nonceStr: verifyNonceStr, signature: verifySignature, url,
      }));
      if (errMsg === 'config:ok') permitted.set(url, verifyJsApiList);
      return { err_msg: errMsg.replace('config:invalid', 'config:fail_invalid').replace('config', 'preVerifyJSAPI') };
    },
    async getNetworkType() {
      return { err_msg: 'network_type:wifi' };
    },
    async checkJsApi({ jsApiList }) {
      const result = Object.fromEntries(jsApiList.map((name) => [name, name in apis]));
      return { errMsg: 'checkJsApi:ok', checkResult: phone.ios ? result : JSON.stringify(result) };
    },
    async chooseImage() {
      if (phone.cancels) return { errMsg: 'chooseImage:cancel' };
      return { errMsg: 'chooseImage:ok', localIds: phone.ios ? [localId] : JSON.stringify([localId]) };
    },
    async uploadImage(args) {
      if (args.localId !== localId) return { errMsg: 'uploadImage:fail' };
      if (phone.serverId) return { errMsg: 'uploadImage:ok', serverId: phone.serverId };
      return post(`/sandbox/upload?appId=${args.verifyAppId}`, Uint8Array.from(phone.photo));
    },
  };

  async function answer(name, args) {
    calls.push(name);
    if (!apis[name]) return { err_msg: `${name}:function_not_exist` };
    if (['preVerifyJSAPI', 'getNetworkType'].includes(name)) return apis[name](args);
    const list = permitted.get(checkedUrl());
    if (!list) return { errMsg: `${name}:the permission value is offline verifying` };
    return list.includes(name) ? apis[name](args) : { err_msg: `${name}:access_denied` };
  }

  function install() {
    window.WeixinJSBridge = {
      calls,
      on() {},
      invoke(name, args, callback = () => {}) {
        answer(name, args).then(callback, (error) => console.error(`the phone: ${error}`));
      },
    };
    document.dispatchEvent(new Event('WeixinJSBridgeReady'));
  }

  // On iOS it exists before the page, on Android it is added afterwards.
  if (phone.ios) install();
  else document.addEventListener('DOMContentLoaded', () => setTimeout(install));
}
