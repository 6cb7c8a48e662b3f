//! The names of Redis keys.

use crate::account::AppId;

const APP_ID: &str = "{app_id}";

text! {
    /// The name of a Redis key, in which `{app_id}` stands for the account.
    pub struct KeyTemplate: is_template,
    "expected a Redis key such as \"wxgate:token:{app_id}\" (not empty, no white space, no braces except {app_id})"
}

fn is_template(text: &str) -> bool {
    // Redis itself accepts any bytes, but a key that can't be typed into redis-cli is a mistake.
    let odd = |c: char| c.is_whitespace() || c.is_control();
    !text.is_empty() && !text.contains(odd) && !text.replace(APP_ID, "").contains(['{', '}'])
}

impl KeyTemplate {
    /// The key of one account.
    pub fn fill(&self, app_id: &AppId) -> String {
        self.0.replace(APP_ID, app_id.as_str())
    }

    /// Whether each account gets its own key.
    pub fn names_account(&self) -> bool {
        self.0.contains(APP_ID)
    }
}
