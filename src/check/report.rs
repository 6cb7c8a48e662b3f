//! The findings of a check, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::account::AppId;

/// The state of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and an operator should know.
    Warning,
    /// The gateway can't do its work with this.
    Failed,
}

impl State {
    fn mark(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: `settings`, `js_domains`, `redis`, `wechat`, `clock`, `account`, `image_store`,
    /// `auth`.
    pub check: &'static str,
    /// The account, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<AppId>,
    pub state: State,
    /// What was seen. Holds no secret.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Finding {
    fn new(check: &'static str, state: State, message: impl Into<String>) -> Self {
        Self {
            check,
            app_id: None,
            state,
            message: message.into(),
            cure: None,
        }
    }

    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, State::Ok, message)
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, State::Warning, message)
    }

    pub(super) fn failed(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, State::Failed, message)
    }

    pub(super) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    pub(super) fn about(mut self, app_id: &AppId) -> Self {
        self.app_id = Some(app_id.clone());
        self
    }

    fn differs_in_account_only(&self, other: &Self) -> bool {
        let all_but_account = |it: &Self| {
            (
                it.check,
                it.state,
                it.app_id.is_some(),
                it.message.clone(),
                it.cure.clone(),
            )
        };
        all_but_account(self) == all_but_account(other)
    }

    /// What it is about, with the account.
    #[must_use]
    pub fn subject(&self) -> String {
        match &self.app_id {
            None => self.check.to_owned(),
            Some(app_id) => format!("{} {app_id}", self.check),
        }
    }
}

/// All findings.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The worst of the findings.
    pub state: State,
    /// In a fixed order.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        let worst = findings.iter().map(|finding| finding.state).max();
        Self {
            state: worst.unwrap_or(State::Ok),
            findings,
        }
    }

    /// The findings in this state.
    pub fn in_state(&self, state: State) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.state == state)
    }
}

/// Above this number of accounts of which the same is true, they have one line together.
const ACCOUNTS_APART: usize = 5;

/// Findings of which only the account differs.
struct Alike<'a> {
    finding: &'a Finding,
    app_ids: Vec<&'a AppId>,
}

impl Report {
    fn alike(&self) -> Vec<Alike<'_>> {
        let mut all: Vec<Alike<'_>> = Vec::new();
        for finding in &self.findings {
            let same = all
                .iter_mut()
                .find(|alike| alike.finding.differs_in_account_only(finding));
            match (same, &finding.app_id) {
                (Some(alike), Some(app_id)) => alike.app_ids.push(app_id),
                (_, app_id) => all.push(Alike {
                    finding,
                    app_ids: app_id.iter().collect(),
                }),
            }
        }
        all
    }
}

impl Alike<'_> {
    /// What the lines about it begin with, and the accounts of those that are about many and not ok.
    fn subjects(&self) -> (Vec<String>, Option<String>) {
        let check = self.finding.check;
        let app_ids = self.app_ids.iter().map(|app_id| app_id.as_str());
        match self.app_ids.len() {
            0 => (vec![check.to_owned()], None),
            many if many > ACCOUNTS_APART => {
                let named = (self.finding.state != State::Ok).then(|| name_some(&app_ids.collect::<Vec<_>>()));
                (vec![format!("{check}, {many} accounts")], named)
            }
            _ => (app_ids.map(|app_id| format!("{check} {app_id}")).collect(), None),
        }
    }
}

/// The first of `names`, and how many there are beside them.
pub fn name_some(names: &[&str]) -> String {
    const NAMED: usize = 10;
    let (first, more) = names.split_at(names.len().min(NAMED));
    let more = match more.len() {
        0 => String::new(),
        many => format!(" and {many} more (--json has all)"),
    };
    format!("{}{more}", first.join(", "))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alike = self.alike();
        let subjects: Vec<_> = alike.iter().map(Alike::subjects).collect();
        let all = subjects.iter().flat_map(|(subjects, _)| subjects);
        let width = all.map(String::len).max().unwrap_or_default();
        for (alike, (subjects, accounts)) in alike.iter().zip(&subjects) {
            let finding = alike.finding;
            for subject in subjects {
                writeln!(f, "{:<7}  {subject:<width$}  {}", finding.state.mark(), finding.message)?;
                if let Some(accounts) = accounts {
                    writeln!(f, "{:7}  {:width$}  {accounts}", "", "")?;
                }
                if let Some(cure) = &finding.cure {
                    writeln!(f, "{:7}  {:width$}  what to do: {cure}", "", "")?;
                }
            }
        }
        let count = |state| self.in_state(state).count();
        let (ok, warnings, failed) = (count(State::Ok), count(State::Warning), count(State::Failed));
        write!(f, "\n{ok} ok, {warnings} warnings, {failed} failed")
    }
}
