//! Calls of other systems to the internal listener.

use serde_json::json;
use wxgate::sandbox::TokenKind;

use super::{Answer, Caller};

impl Caller {
    /// A request to the internal listener.
    pub fn internal_request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.system
            .request(method.parse().unwrap(), format!("http://{}{path}", self.internal))
    }

    /// Asks for the token in the format of WeChat's classic API.
    pub async fn asks_for_token(&self, app_id: &str, secret: &str) -> Answer {
        let query = format!("grant_type=client_credential&appid={app_id}&secret={secret}");
        self.internal_get(&format!("/cgi-bin/token?{query}")).await
    }

    /// The holder of the default account's AppSecret asks for the token.
    pub async fn token(&self) -> String {
        let account = self.wechat.account();
        let answer = self
            .asks_for_token(account.app_id.as_str(), account.secret.expose())
            .await;
        answer.body["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer:?}"))
            .to_owned()
    }

    /// The same with the stable API.
    pub async fn asks_for_stable_token(&self, force_refresh: bool) -> Answer {
        let account = self.wechat.account();
        let body = json!({
            "grant_type": "client_credential",
            "appid": account.app_id.as_str(),
            "secret": account.secret.expose(),
            "force_refresh": force_refresh,
        });
        self.send(self.internal_request("POST", "/cgi-bin/stable_token").json(&body))
            .await
    }

    /// Asks for the ticket with `token`.
    pub async fn asks_for_ticket(&self, token: &str) -> Answer {
        self.internal_get(&format!("/cgi-bin/ticket/getticket?access_token={token}&type=jsapi"))
            .await
    }

    /// A cheap call of WeChat's, passed through.
    pub async fn calls_wechat(&self, token: &str) -> Answer {
        self.internal_get(&format!("/cgi-bin/getcallbackip?access_token={token}"))
            .await
    }

    /// The token that WeChat accepts now.
    pub fn good_token(&self) -> String {
        let token = self
            .wechat
            .sandbox
            .current_token(&self.wechat.account().app_id, TokenKind::Stable);
        token.unwrap().expose().to_owned()
    }

    /// The operator renews the default account's credential of this kind.
    pub async fn operator_renews(&self, kind: &str, key: &str) -> Answer {
        let path = format!("/credentials/{}/{kind}/renew", self.wechat.account().app_id);
        self.send(self.internal_request("POST", &path).bearer_auth(key)).await
    }
}
