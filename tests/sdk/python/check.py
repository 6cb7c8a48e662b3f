"""A public SDK against the gateway. Only its base URL is changed; its token URL is a literal, so
that takes a subclass. Without a base URL the SDK is as it is, and finds the gateway as WeChat's host.

    python check.py <gateway, or ""> <AppID> <AppSecret> <photo>
"""

import json
import sys

from wechatpy import WeChatClient

gateway, app_id, secret, photo = sys.argv[1:]


class Client(WeChatClient):
    API_BASE_URL = gateway + "/cgi-bin/"

    def fetch_access_token(self):
        params = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
        return self._fetch_access_token(self.API_BASE_URL + "token", params)


client = (Client if gateway else WeChatClient)(app_id, secret)
token = client.access_token
ticket = client.jsapi.get_ticket()["ticket"]
with open(photo, "rb") as file:
    media_id = client.media.upload("image", file)["media_id"]
with open(photo, "rb") as file:
    same = client.media.download(media_id).content == file.read()
print(json.dumps({"token": token, "ticket": ticket, "media_id": media_id, "same": same}))
