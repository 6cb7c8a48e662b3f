'use strict';

// A public SDK against the gateway. Only its base URL is changed.
//
//   node check.js <gateway> <AppID> <AppSecret> <photo>

const fs = require('fs');
const API = require('co-wechat-api');

async function main([gateway, appId, secret, photo]) {
  const api = new API(appId, secret);
  api.prefix = `${gateway}/cgi-bin/`;

  const { accessToken } = await api.ensureAccessToken();
  const { ticket } = await api.getTicket();
  const uploaded = await api.uploadImageMedia(photo);
  const downloaded = await api.getMedia(uploaded.media_id);
  const same = Buffer.compare(downloaded, fs.readFileSync(photo)) === 0;
  console.log(JSON.stringify({ token: accessToken, ticket, media_id: uploaded.media_id, same }));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
